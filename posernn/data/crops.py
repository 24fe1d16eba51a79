"""people.parquet + images -> shards: crops all people in parallel and writes data/crops.

cropping.py crops one image, shards.py writes the files. Shards hold people in the order of the release, train before
val: the same people and images give the same bytes, whatever the number of processes.
"""

import json
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from posernn.data import schemas, shards
from posernn.data.cropping import Annotation, Box, Crop, crops_of_images
from posernn.data.shards import SPLITS, Folder
from posernn.pose import geometry
from posernn.runtime import parallel
from posernn.runtime.errors import InputError
from posernn.runtime.progress import Advance, silent

SHARD_BYTES = 10_000_000
SHARD_PEOPLE = 1000
"""A shard ends at the limit that it reaches first: small enough to hold several in memory, and few files for DVC."""
IMAGES_PER_TASK = 16
ROWS_AT_A_TIME = 1000

_METADATA = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
"""Tells Hugging Face `datasets` that the column `image` holds pictures."""


class NoCropsError(InputError):
    """Raised where no person has a crop; `rejected` (`schemas.REJECTED`) has the reasons."""

    def __init__(self, message: str, rejected: pa.Table):
        super().__init__(message)
        self.rejected = rejected


def write_crops(
    people: pa.Table,
    images: Path,
    folder: Folder,
    *,
    box: Box,
    padding: float,
    keep_aspect: bool,
    side: int,
    jpeg_quality: int,
    margin: float = 0.0,
    executor: Executor | None = None,
    progress: Advance = silent,
) -> pa.Table:
    """Crop the single-person people of train and val and write the crops as shards.

    Args:
        people: `schemas.PEOPLE`.
        images: folder of the images.
        folder: where to write the shards (`schemas.CROPS`); see `shards.replacing`.
        box, padding, keep_aspect, side, jpeg_quality: as in `cropping.crops_of_image`.
        margin: border of the training crops on each side, as a share of `side`: the augmentation shows parts of it.
        executor: decodes and crops the images; None: this process does.
        progress: called with the number of people done and of all people.
    Returns:
        people without a crop (`schemas.REJECTED`).
    Raises:
        NoCropsError: no person has a crop.
        InputError: a worker died, or the shards cannot be written.
    """
    selected = [select(people, split) for split in SPLITS]
    crop = partial(
        crops_of_images,
        images=images.resolve(),  # a worker may have another working directory
        box=box,
        padding=padding,
        keep_aspect=keep_aspect,
        side=side,
        jpeg_quality=jpeg_quality,
    )
    total = sum(table.num_rows for table in selected)
    rejected: list[schemas.Reject] = []
    done = 0
    with shards.replacing(folder) as write_shard:
        for split, table in zip(SPLITS, selected, strict=True):
            names = _rows(table, "image", "image_index", "person_index")
            cropped = partial(crop, border=border(margin, side) if split == "train" else 0)
            crops = parallel.in_order(cropped, _images(table), per_task=IMAGES_PER_TASK, executor=executor)
            shard: list[tuple[int, Crop]] = []
            size = number = 0
            for row, (name, found) in enumerate(zip(names, crops, strict=True)):
                if isinstance(found, str):
                    rejected.append((*name, found))
                else:
                    shard.append((row, found))
                    size += len(found.jpeg)
                if shard and (size >= SHARD_BYTES or len(shard) >= SHARD_PEOPLE or row == table.num_rows - 1):
                    write_shard(split, number, _shard_table(table, shard))
                    shard, size, number = [], 0, number + 1
                done += 1
                progress(done, total)
        if len(rejected) == total:
            why = f"none for {total} people, the first because {rejected[0][3]}" if rejected else "no people at all"
            raise NoCropsError(
                f"{images}: expected images of single people, got {why}; put the images there",
                schemas.rejected_table(rejected),
            )
    return schemas.rejected_table(rejected)


def border(margin: float, side: int) -> int:
    """Compute the border of the training crops, px on each side, from the margin, a share of the crop's side."""
    return round(margin * side)


def select(people: pa.Table, split: str) -> pa.Table:
    """Return the people of a split that get a crop: single people with at least one joint, in the release's order."""
    usable = np.asarray(pc.equal(people["split"], split), dtype=bool)
    usable &= schemas.to_numpy(people, "single_person") & schemas.to_numpy(people, "annotated").any(axis=1)
    return people.filter(pa.array(usable)).sort_by([("image_index", "ascending"), ("person_index", "ascending")])


def _rows(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield some columns of each row as Python objects, a few rows at a time to bound the memory."""
    for batch in table.select(names).to_batches(max_chunksize=ROWS_AT_A_TIME):
        yield from zip(*(column.to_pylist() for column in batch), strict=True)


def _annotations(table: pa.Table) -> Iterator[Annotation]:
    for start in range(0, table.num_rows, ROWS_AT_A_TIME):
        part = table.slice(start, ROWS_AT_A_TIME)
        yield from map(
            Annotation,
            schemas.to_numpy(part, "joints_image").astype(np.float64),
            schemas.to_numpy(part, "annotated"),
            schemas.to_numpy(part, "center_image").astype(np.float64),
            schemas.to_numpy(part, "scale").tolist(),
        )


def _images(table: pa.Table) -> Iterator[tuple[str, list[Annotation]]]:
    """Yield each image with its people; the rows of an image are adjacent."""
    people = zip(_rows(table, "image", "image_index"), _annotations(table), strict=True)
    for (name, _), rows in groupby(people, key=lambda row: row[0]):
        yield name, [annotation for _, annotation in rows]


def _shard_table(people: pa.Table, shard: list[tuple[int, Crop]]) -> pa.Table:
    """Return the rows of `schemas.CROPS` for (row number of a person, crop)."""
    people = people.take([row for row, _ in shard])
    crop_to_image = np.stack([crop.crop_to_image for _, crop in shard])  # (N, 2, 3)
    joints_image = schemas.to_numpy(people, "joints_image")  # (N, 16, 2)
    joints_crop = geometry.transform(joints_image.astype(np.float64), geometry.invert(crop_to_image))
    made = {
        "image": pa.array(
            [
                {"bytes": crop.jpeg, "path": path}
                for (_, crop), path in zip(shard, people["image"].to_pylist(), strict=True)
            ],
            schemas.CROPS.field("image").type,
        ),
        "crop_to_image": schemas.from_numpy(crop_to_image.reshape(-1, 6), schemas.CROPS.field("crop_to_image").type),
        "joints_crop": schemas.from_numpy(joints_crop, schemas.JOINTS),
    }
    columns = [made[name] if name in made else people[name] for name in schemas.CROPS.names]
    return pa.table(columns, schema=schemas.CROPS.with_metadata(_METADATA))
