"""Shards -> batches of a training: loads a split's crops into memory and chooses the people of each batch.

The people of a batch depend on the seed and the iteration alone, so that a resumed training sees the batches that an
uninterrupted one sees, whatever the number of processes.
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
from posernn.runtime.errors import InputError
from posernn.runtime.machine import num_cores
from posernn.runtime.progress import Advance, silent

DECODED_LIMIT = 8 * 2**30
"""Bytes of decoded pixels to keep in memory. Larger splits are decoded again in each epoch."""
CROPS_PER_TASK = 64
"""Crops that a thread decodes at a time."""
FORMATS = ("JPEG",)
"""Crops are JPEG: skip format detection."""


@dataclass(frozen=True, eq=False)
class Crops:
    """The crops of one split and their joints.

    Attributes:
        images: function from row numbers (B,) to crops (B, 3, M, M) uint8; M is S and a border on each side.
        joints_unit: (N, J, 2) xy, unit of the crop without its border; 0 where not annotated.
        annotated: (N, J).
        crop_size: S, px.
        border: px, for augmentation.
    """

    images: Callable[[Int[np.ndarray, "B"]], UInt8[Tensor, "B 3 M M"]]
    joints_unit: Float[Tensor, "N 16 2"]
    annotated: Bool[Tensor, "N 16"]
    crop_size: int
    border: int = 0

    def __len__(self) -> int:
        return len(self.joints_unit)


def decode(jpegs: Sequence[bytes], progress: Advance = silent) -> UInt8[Tensor, "N 3 S S"]:
    """Decode crops of one size on all cores.

    Args:
        jpegs: N JPEG files.
        progress: called with the numbers of decoded crops and of all crops.
    Returns:
        (N, 3, S, S) RGB.
    Raises:
        ValueError: there is no crop, or crops differ in size.
    """
    if not jpegs:
        raise ValueError("decode: expected at least one crop, got none")
    images = np.empty((len(jpegs), *_shape(jpegs[0])), dtype=np.uint8)
    for done in _decode_into(images, jpegs):
        progress(done, len(jpegs))
    return _channels_first(images)


def _shape(jpeg: bytes) -> tuple[int, int, int]:
    """Return height, width and channels of a crop."""
    width, height = Image.open(io.BytesIO(jpeg), formats=FORMATS).size
    return height, width, 3


def _decode_into(images: UInt8[np.ndarray, "N S S 3"], jpegs: Sequence[bytes]) -> Iterator[int]:
    """Decode the crops into `images`; yield the number of decoded crops after each task.

    Raises:
        ValueError: a crop differs in size.
    """

    def decode_some(start: int) -> int:
        for index in range(start, min(start + per_task, len(jpegs))):
            with Image.open(io.BytesIO(jpegs[index]), formats=FORMATS) as image:
                if (image.height, image.width) != images.shape[1:3]:
                    raise ValueError(f"decode: expected crops of {images.shape[2:0:-1]} px, got {image.size}")
                images[index] = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        return min(start + per_task, len(jpegs))

    # Few large tasks: with one task per crop, threads that contend for the GIL are slower than a single thread.
    per_task = max(1, min(CROPS_PER_TASK, math.ceil(len(jpegs) / num_cores())))
    starts = range(0, len(jpegs), per_task)
    yield from (_threads().map if len(starts) > 1 else map)(decode_some, starts)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Return the pool that decodes; Pillow releases the GIL while it decodes."""
    return ThreadPoolExecutor(num_cores())


def _channels_first(images: UInt8[np.ndarray, "N S S 3"]) -> UInt8[Tensor, "N 3 S S"]:
    """Return a view in channels_last memory format, which convolutions prefer."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


class _Decoded:
    """Keeps crops decoded in memory."""

    def __init__(self, num_people: int, shape: tuple[int, int, int]) -> None:
        self._images = np.empty((num_people, *shape), dtype=np.uint8)
        self._done = 0

    def add(self, jpegs: Sequence[bytes]) -> Iterator[int]:
        """Append crops; yield the number of crops so far."""
        for done in _decode_into(self._images[self._done : self._done + len(jpegs)], jpegs):
            yield self._done + done
        self._done += len(jpegs)

    def images(self, people: Int[np.ndarray, "B"]) -> UInt8[Tensor, "B 3 S S"]:
        return _channels_first(self._images)[torch.from_numpy(people)]


class _Encoded:
    """Keeps crops as JPEGs in a memory-mapped temporary file and decodes them when a batch needs them."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- is kept as long as the crops
        self._ends = [0]

    def add(self, jpegs: Sequence[bytes]) -> Iterator[int]:
        """Append crops; yield the number of crops so far."""
        self._file.writelines(jpegs)
        self._ends += (self._ends[-1] + np.cumsum([len(jpeg) for jpeg in jpegs])).tolist()
        yield len(self._ends) - 1

    def images(self, people: Int[np.ndarray, "B"]) -> UInt8[Tensor, "B 3 S S"]:
        return decode([self._bytes[self._ends[person] : self._ends[person + 1]] for person in people.tolist()])

    @cached_property
    def _bytes(self) -> mmap.mmap:
        self._file.flush()
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)


def load(folder: Folder, split: str, progress: Advance = silent, *, crop_size: int | None = None) -> Crops:
    """Read the crops of one split; keep them decoded in memory if they fit, else encoded in a temporary file.

    Memory use is DECODED_LIMIT at most, plus 0.2 kB per person.

    Args:
        folder: the shards.
        split: train or val.
        progress: called with the numbers of decoded crops and of all crops.
        crop_size: S, px; pixels beyond are the border. None: the crops have no border.

    Raises:
        InputError: the folder holds no crops of the split, is incomplete, or its crops are smaller.
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
        joints.append(schemas.to_numpy(table, "joints_crop"))
    assert store is not None  # read_shards yields at least one table
    crop_size = crop_size or shape[0]
    border, odd = divmod(shape[0] - crop_size, 2)
    if border < 0 or odd:
        raise InputError(f"{folder}: expected crops of {crop_size} px, got {shape[0]}; run the stage crops again")
    joints_unit = ((np.concatenate(joints) - border) / crop_size).astype(np.float32)
    annotated = np.concatenate(flags)  # (N, J)
    return Crops(
        images=store.images,
        joints_unit=torch.from_numpy(np.where(annotated[..., None], joints_unit, np.float32(0))),
        annotated=torch.from_numpy(annotated),
        crop_size=crop_size,
        border=border,
    )


@lru_cache(maxsize=4)
def _shuffled(num_people: int, seed: int, epoch: int) -> Int[np.ndarray, "N"]:
    return np.random.default_rng([seed, epoch]).permutation(num_people)


def batch_people(num_people: int, batch_size: int, iteration: int, seed: int) -> Int[np.ndarray, "B"]:
    """Choose the people of a batch: a slice of an endless sequence of epochs, each shuffled anew.

    Every batch is full: one that begins at the end of an epoch ends in the next.

    Args:
        num_people: N.
        batch_size: B.
        iteration: number of the batch, from 0.
        seed: of the shuffles.
    Returns:
        (B,) row numbers.
    """
    positions = np.arange(iteration * batch_size, (iteration + 1) * batch_size)
    epochs, places = np.divmod(positions, num_people)
    return np.array([_shuffled(num_people, seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])
