"""Annotation file -> tables of people and rejects, read in a process of its own with limits."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from posernn.data import mpii
from posernn.runtime.confined import read_confined
from posernn.runtime.progress import progress_bar


class Annotations(NamedTuple):
    """The people of an annotation file."""

    num_images: int
    people: pa.Table  # schemas.PEOPLE
    rejected: pa.Table  # schemas.REJECTED
    notes: list[str]  # sentences about what was left out of people


def read(path: Path) -> Annotations:
    """Read and parse an untrusted annotation file.

    Raises:
        InputError: the file is missing or damaged, crashes its reader, or exceeds the limits on time or memory.
    """
    return read_confined(read_here, path)


def read_here(path: Path) -> Annotations:
    """Read and parse in this process, with progress bars of its own: `read` runs this in another process."""
    with progress_bar("reading", "kB") as progress:
        release = mpii.read_release(path, progress)
    with progress_bar("parsing", "images") as progress:
        return Annotations(release["annolist"].size, *mpii.parse_release(release, progress))
