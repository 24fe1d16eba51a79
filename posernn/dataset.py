"""Crops -> batches. Which people a batch holds, and how they are augmented, depends on seed and iteration alone.

So a training that goes on after a kill sees what it would have seen, and nothing depends on the number of workers.
"""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from posernn import schemas
from posernn.progress import Advance, silent
from posernn.shards import read_crops

DECODED_LIMIT = 8 * 2**30
"""Bytes of pixels that are kept decoded in memory; beyond, crops are decoded again in each epoch."""


@dataclass(frozen=True, eq=False)
class Crops:
    """The people of one split.

    Attributes:
        images: people's numbers (B,) -> crops (B, 3, S, S) uint8.
        joints_unit: (N, J, 2) xy; 0 where not annotated.
        annotated: (N, J).
        crop_size: S, px.
    """

    images: Callable[[Int[np.ndarray, "B"]], UInt8[Tensor, "B 3 S S"]]
    joints_unit: Float[Tensor, "N 16 2"]
    annotated: Bool[Tensor, "N 16"]
    crop_size: int

    def __len__(self) -> int:
        return len(self.joints_unit)


def decode(jpegs: Sequence[bytes], progress: Advance = silent) -> UInt8[Tensor, "N 3 S S"]:
    """Decode crops of one size, on all cores.

    Args:
        jpegs: N JPEG files.
        progress: is told how many are done.
    Returns:
        (N, 3, S, S) RGB.
    Raises:
        ValueError: no crop, or crops of different sizes.
    """
    if not jpegs:
        raise ValueError("decode: expected at least one crop, got none")
    size = Image.open(io.BytesIO(jpegs[0])).size
    images = np.empty((len(jpegs), size[1], size[0], 3), dtype=np.uint8)

    def decode_into(index: int) -> None:
        with Image.open(io.BytesIO(jpegs[index])) as image:
            if image.size != size:
                raise ValueError(f"decode: expected crops of {size} px, got {image.size}")
            images[index] = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))

    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding Python's lock
        for done, _ in enumerate(pool.map(decode_into, range(len(jpegs))), start=1):
            progress(done, len(jpegs))
    return torch.from_numpy(images).permute(0, 3, 1, 2)  # a view: channels last in memory, as convolutions like it


def load(folder: Path, split: str, progress: Advance = silent) -> Crops:
    """Read the crops of one split; keep them decoded where they fit.

    Raises:
        InputError: no crops there.
    """
    table = read_crops(folder, split, ["image", "joints_crop", "annotated"])
    jpegs = table["image"].combine_chunks().field("bytes")
    annotated = schemas.to_numpy(table, "annotated")
    size = Image.open(io.BytesIO(jpegs[0].as_py())).width
    joints_unit = np.where(annotated[..., None], schemas.to_numpy(table, "joints_crop") / size, 0.0)
    if len(table) * 3 * size**2 <= DECODED_LIMIT:
        decoded = decode(jpegs.to_pylist(), progress)

        def images(people: Int[np.ndarray, "B"]) -> UInt8[Tensor, "B 3 S S"]:
            return decoded[torch.from_numpy(people)]
    else:

        def images(people: Int[np.ndarray, "B"]) -> UInt8[Tensor, "B 3 S S"]:
            return decode([jpegs[int(person)].as_py() for person in people])

    return Crops(
        images=images,
        joints_unit=torch.from_numpy(joints_unit.astype(np.float32)),
        annotated=torch.from_numpy(annotated.astype(bool)),
        crop_size=size,
    )


@lru_cache(maxsize=4)
def _shuffled(num_people: int, seed: int, epoch: int) -> Int[np.ndarray, "N"]:
    return np.random.default_rng([seed, epoch]).permutation(num_people)


def batch_people(num_people: int, batch_size: int, iteration: int, seed: int) -> Int[np.ndarray, "B"]:
    """Who is in a batch: batches cut one endless row of shuffled epochs, so each has the full size.

    Args:
        num_people: N.
        batch_size: B.
        iteration: number of the batch, from 0.
        seed: of the shuffling.
    Returns:
        (B,) numbers of people.
    """
    positions = np.arange(iteration * batch_size, (iteration + 1) * batch_size)
    epochs, places = np.divmod(positions, num_people)
    return np.array([_shuffled(num_people, seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])
