"""Annotation files -> tables of people and rejects, read in a process of its own with limits.

A data set's folder has MPII's RELEASE .mat, or COCO keypoints JSON: one file, or train.json and val.json.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from posernn.data import coco, coco_file, mpii
from posernn.runtime.confined import read_confined
from posernn.runtime.errors import InputError
from posernn.runtime.progress import progress_bar


class Annotations(NamedTuple):
    """The people of a data set."""

    num_images: int
    people: pa.Table  # schemas.PEOPLE
    rejected: pa.Table  # schemas.REJECTED
    notes: list[str]  # sentences about joints that were left out


def read(source: Path) -> Annotations:
    """Read and parse untrusted annotation files.

    Args:
        source: a data set's folder, or one annotation file.
    Returns:
        the people, rejects and notes. People of val.json have the split val, all others of COCO files train.
    Raises:
        InputError: a file is missing or damaged, crashes its reader, or exceeds the limits on time or memory; an image
            is in train.json and in val.json.
    """
    paths = find(source)
    if paths[0].suffix != ".json":
        return read_confined(read_here, paths[0])
    found = read_confined(partial(read_coco_here, split="train", first_image=0), paths[0])
    if len(paths) == 1:
        return found
    val = read_confined(partial(read_coco_here, split="val", first_image=found.num_images), paths[1])
    return _joined(found, val, source)


def find(source: Path) -> list[Path]:
    """Find the annotation files of a data set: one file, or train.json and val.json.

    Raises:
        InputError: there is no file, or several of which it is not clear which one to read.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"{source}: expected the folder of a data set, got nothing; see data/README.md")
    found = sorted(source.glob("*.mat")) + sorted([*source.glob("*.json"), *source.glob("annotations/*.json")])
    if len(found) == 1 or [path.name for path in found] == ["train.json", "val.json"]:
        return found
    names = ", ".join(str(path.relative_to(source)) for path in found) or "none"
    raise InputError(
        f"{source}: expected one annotation file, MPII's .mat or COCO keypoints .json, or train.json and val.json, got "
        f"{names}; see data/README.md"
    )


def _joined(train: Annotations, val: Annotations, folder: Path) -> Annotations:
    both = set(train.people["image"].to_pylist()) & set(val.people["image"].to_pylist())
    if both:
        raise InputError(
            f"{folder}: expected each image in train.json or in val.json, got {len(both)} in both, first {min(both)}; "
            "remove them from one"
        )
    return Annotations(
        train.num_images + val.num_images,
        pa.concat_tables([train.people, val.people]),
        pa.concat_tables([train.rejected, val.rejected]),
        list(dict.fromkeys(train.notes + val.notes)),
    )


def read_here(path: Path) -> Annotations:
    """Read and parse a RELEASE .mat in this process, with progress bars: `read` runs this in another process."""
    with progress_bar("reading", "kB") as progress:
        release = mpii.read_release(path, progress)
    with progress_bar("parsing", "images") as progress:
        return Annotations(release["annolist"].size, *mpii.parse_release(release, progress))


def read_coco_here(path: Path, split: str, first_image: int) -> Annotations:
    """Read and parse a COCO file in this process, with a progress bar: `read` runs this in another process."""
    contents = coco_file.read_file(path)
    with progress_bar("parsing", "annotations") as progress:
        return Annotations(len(contents["images"]), *coco.parse(contents, path, split, first_image, progress))
