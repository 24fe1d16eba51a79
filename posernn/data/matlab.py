"""Reads a variable of a Matlab .mat file with scipy, and converts its cells to numbers and text."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.io import loadmat

from posernn.runtime.errors import InputError
from posernn.runtime.progress import Advance, silent

NO_CELL = np.empty((0, 0))
"""An empty cell as scipy returns it; also stands for absent fields."""


def read_variable(path: Path, name: str, progress: Advance = silent) -> Any:
    """Read one variable of a .mat file; return None if the file has no such variable.

    Args:
        path: file in the format of Matlab 5 to 7.2.
        name: of the variable.
        progress: called with the kB read so far and the kB in all.
    Raises:
        InputError: the file is missing, or scipy cannot read it.
    """
    try:
        with _CountedFile(path, progress) as file:
            return loadmat(io.BufferedReader(file, 1 << 17), variable_names=[name]).get(name)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a Matlab file, got nothing; put it there, see data/README.md") from error
    except OSError as error:
        raise InputError(f"{path}: expected a Matlab file, got {error.strerror or error}; fetch it again") from error
    except Exception as error:  # scipy raises exceptions of any type on damaged files
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: expected a file of Matlab 5 to 7.2, got: {what}; fetch it again") from error


class _CountedFile(io.FileIO):
    """A file that reports the progress of reading, which scipy does not do."""

    def __init__(self, path: Path, progress: Advance):
        super().__init__(path)
        self._progress = progress
        self._kilobytes = (path.stat().st_size + 999) // 1000

    def readinto(self, buffer):
        count = super().readinto(buffer)
        self._progress((self.tell() + 999) // 1000, self._kilobytes)
        return count


def fields_of(struct: object) -> tuple[str, ...]:
    """Return the names of a structure's fields; none if it is no structure."""
    return (struct.dtype.names or ()) if isinstance(struct, np.ndarray) else ()


def entries_of(struct: object) -> list[dict[str, Any]]:
    """Return the entries of a structure array as dicts of fields; none if it is no structure."""
    names = fields_of(struct)
    # Looking up a field of a numpy record by name is ten times slower.
    return [dict(zip(names, entry, strict=True)) for entry in struct.ravel().tolist()] if names else []  # type: ignore[attr-defined]


def first_entry_of(struct: object) -> dict[str, Any]:
    """Return the first entry of a structure array as a dict; empty if there is no entry or no structure."""
    names = fields_of(struct)
    return dict(zip(names, struct.item(0), strict=True)) if names and struct.size else {}  # type: ignore[attr-defined]


def numbers_of(cells: Sequence[Any]) -> Float[np.ndarray, "K"]:
    """Convert cells of one number each, of any type, to float64.

    Args:
        cells: K cells. The text '1' is the number 1.
    Returns:
        (K,); NaN for empty cells and for cells that are not one number.
    """
    try:
        values = np.array([cell.item() if cell.size == 1 else np.nan for cell in cells], dtype=np.float64)
        if values.ndim == 1:
            return values
    except (AttributeError, TypeError, ValueError, OverflowError):
        pass  # at least one cell is of another kind: convert them one by one
    return np.array([_number_of(cell) for cell in cells], dtype=np.float64)


def _number_of(cell: object) -> float:
    if not isinstance(cell, np.ndarray) or cell.size != 1 or cell.dtype.kind not in "biufU":
        return np.nan
    try:
        return float(cell.item())
    except (ValueError, OverflowError):
        return np.nan


def text_of(cell: object) -> str | None:
    """Return a cell's text if it is one line of printable characters and not blank, else None."""
    if not isinstance(cell, np.ndarray) or cell.size != 1 or cell.dtype.kind != "U":
        return None
    text = str(cell.item())
    damaged = "\N{REPLACEMENT CHARACTER}" in text  # scipy's replacement for undecodable bytes
    return text if text.strip() and text.isprintable() and not damaged else None
