"""An annotation file -> tables, read in a process with limits: what the parse stage calls."""

from pathlib import Path

import pyarrow as pa

from posernn.data import mpii
from posernn.runtime.confined import read_confined
from posernn.runtime.progress import progress_bar


def read(path: Path) -> tuple[int, pa.Table, pa.Table]:
    """Read and parse an annotation file that nobody vouches for.

    Returns:
        the number of images, people (`schemas.PEOPLE`) and rejects (`schemas.REJECTED`); see `mpii.parse_release`.
    Raises:
        InputError: missing, no such file, or one that ends its reader or goes beyond the limits.
    """
    return read_confined(read_here, path)


def read_here(path: Path) -> tuple[int, pa.Table, pa.Table]:
    """`read`, in this process. It shows its progress itself: from the other process nobody else can."""
    with progress_bar("reading", "kB") as progress:
        release = mpii.read_release(path, progress)
    with progress_bar("parsing", "images") as progress:
        return release["annolist"].size, *mpii.parse_release(release, progress)
