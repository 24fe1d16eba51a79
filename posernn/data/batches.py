"""Crops -> batches. Which people a batch holds, and how they are augmented, depends on seed and iteration alone.

So a training that goes on after a kill sees what it would have seen, and nothing depends on the number of workers.
"""

import io
import math
import mmap
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from posernn.data import schemas, shards
from posernn.data.shards import Folder
from posernn.runtime.machine import num_cores
from posernn.runtime.progress import Advance, silent

DECODED_LIMIT = 8 * 2**30
"""Bytes of pixels that are kept decoded in memory; beyond, crops are decoded again in each epoch."""
CROPS_PER_TASK = 64
"""Decoded by a thread at a time."""
FORMATS = ("JPEG",)
"""Saves Pillow asking all of its formats whose a crop is."""


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
    images = np.empty((len(jpegs), *_shape(jpegs[0])), dtype=np.uint8)
    for done in _decode_into(images, jpegs):
        progress(done, len(jpegs))
    return _channels_first(images)


def _shape(jpeg: bytes) -> tuple[int, int, int]:
    """Height, width and channels of a crop."""
    width, height = Image.open(io.BytesIO(jpeg), formats=FORMATS).size
    return height, width, 3


def _decode_into(images: UInt8[np.ndarray, "N S S 3"], jpegs: Sequence[bytes]) -> Iterator[int]:
    """Decode each crop to its place; gives how many are done.

    Raises:
        ValueError: a crop has another size.
    """

    def decode_some(start: int) -> int:
        for index in range(start, min(start + per_task, len(jpegs))):
            with Image.open(io.BytesIO(jpegs[index]), formats=FORMATS) as image:
                if (image.height, image.width) != images.shape[1:3]:
                    raise ValueError(f"decode: expected crops of {images.shape[2:0:-1]} px, got {image.size}")
                images[index] = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        return min(start + per_task, len(jpegs))

    # Few large tasks: threads that pass each other Python's lock for every crop take longer than one alone.
    per_task = max(1, min(CROPS_PER_TASK, math.ceil(len(jpegs) / num_cores())))
    starts = range(0, len(jpegs), per_task)
    yield from (_threads().map if len(starts) > 1 else map)(decode_some, starts)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Pillow decodes without holding Python's lock."""
    return ThreadPoolExecutor(num_cores())


def _channels_first(images: UInt8[np.ndarray, "N S S 3"]) -> UInt8[Tensor, "N 3 S S"]:
    """A view: channels last in memory, as convolutions like it."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


class _Decoded:
    """Crops as pixels in memory."""

    def __init__(self, num_people: int, shape: tuple[int, int, int]) -> None:
        self._images = np.empty((num_people, *shape), dtype=np.uint8)
        self._done = 0

    def add(self, jpegs: Sequence[bytes]) -> Iterator[int]:
        """Take more crops; gives how many are there."""
        for done in _decode_into(self._images[self._done : self._done + len(jpegs)], jpegs):
            yield self._done + done
        self._done += len(jpegs)

    def images(self, people: Int[np.ndarray, "B"]) -> UInt8[Tensor, "B 3 S S"]:
        return _channels_first(self._images)[torch.from_numpy(people)]


class _Encoded:
    """Crops as JPEGs in a temporary file, decoded whenever they are needed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the crops
        self._ends = [0]

    def add(self, jpegs: Sequence[bytes]) -> Iterator[int]:
        """Take more crops; gives how many are there."""
        self._file.writelines(jpegs)
        self._ends += (self._ends[-1] + np.cumsum([len(jpeg) for jpeg in jpegs])).tolist()
        yield len(self._ends) - 1

    def images(self, people: Int[np.ndarray, "B"]) -> UInt8[Tensor, "B 3 S S"]:
        return decode([self._bytes[self._ends[person] : self._ends[person + 1]] for person in people.tolist()])

    @cached_property
    def _bytes(self) -> mmap.mmap:
        self._file.flush()
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)


def load(folder: Folder, split: str, progress: Advance = silent) -> Crops:
    """Read the crops of one split; keep them decoded in memory where they fit, else encoded in a temporary file.

    Memory grows up to DECODED_LIMIT, and by 0.2 kB for each person.

    Raises:
        InputError: no crops there.
    """
    num_people = shards.num_crops(folder, split)
    store: _Decoded | _Encoded | None = None
    joints, flags = [], []
    for table in shards.read_shards(folder, split, ["image", "joints_crop", "annotated"]):
        jpegs = table["image"].combine_chunks().field("bytes").to_pylist()
        if store is None:
            shape = _shape(jpegs[0])
            store = _Decoded(num_people, shape) if num_people * math.prod(shape) <= DECODED_LIMIT else _Encoded()
        for done in store.add(jpegs):
            progress(done, num_people)
        flags.append(schemas.to_numpy(table, "annotated").astype(bool))
        joints.append((schemas.to_numpy(table, "joints_crop") / shape[0]).astype(np.float32))
    assert store is not None  # read_shards gives at least one
    annotated = np.concatenate(flags)  # (N, J)
    return Crops(
        images=store.images,
        joints_unit=torch.from_numpy(np.where(annotated[..., None], np.concatenate(joints), np.float32(0))),
        annotated=torch.from_numpy(annotated),
        crop_size=shape[0],
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
