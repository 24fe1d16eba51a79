"""Matlab's .mat files as scipy reads them: one variable, with progress, and what its cells say as numbers and text."""

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
"""What scipy makes of an empty cell; stands for absent fields too."""


def read_variable(path: Path, name: str, progress: Advance = silent) -> Any:
    """Read one variable of a .mat file; None if the file holds no such variable.

    Args:
        path: a file of Matlab 5 to 7.2.
        name: of the variable.
        progress: told of the kB read so far, and of all.
    Raises:
        InputError: missing, or not a file that scipy reads.
    """
    try:
        with _CountedFile(path, progress) as file:
            return loadmat(io.BufferedReader(file, 1 << 17), variable_names=[name]).get(name)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a Matlab file, got nothing; put it there, see data/README.md") from error
    except OSError as error:
        raise InputError(f"{path}: expected a Matlab file, got {error.strerror or error}; fetch it again") from error
    except Exception as error:  # scipy raises whatever its parser trips over
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: expected a file of Matlab 5 to 7.2, got: {what}; fetch it again") from error


class _CountedFile(io.FileIO):
    """A file that tells how much of it was read: scipy itself does not."""

    def __init__(self, path: Path, progress: Advance):
        super().__init__(path)
        self._progress = progress
        self._kilobytes = (path.stat().st_size + 999) // 1000

    def readinto(self, buffer):
        count = super().readinto(buffer)
        self._progress((self.tell() + 999) // 1000, self._kilobytes)
        return count


def fields_of(struct: object) -> tuple[str, ...]:
    """Names of a structure's fields; none for anything else."""
    return (struct.dtype.names or ()) if isinstance(struct, np.ndarray) else ()


def entries_of(struct: object) -> list[dict[str, Any]]:
    """Entries of a structure array, each with its fields by name; none for anything else."""
    names = fields_of(struct)
    # numpy's own records look a field up by name ten times slower.
    return [dict(zip(names, entry, strict=True)) for entry in struct.ravel().tolist()] if names else []  # type: ignore[attr-defined]


def first_entry_of(struct: object) -> dict[str, Any]:
    """Fields of a structure's first entry by name; none where there is no entry, and for anything else."""
    names = fields_of(struct)
    return dict(zip(names, struct.item(0), strict=True)) if names and struct.size else {}  # type: ignore[attr-defined]


def numbers_of(cells: Sequence[Any]) -> Float[np.ndarray, "K"]:
    """Cells of one number each, of whatever type, as float64.

    Args:
        cells: K cells. The characters '1' are the number 1.
    Returns:
        (K,); NaN for empty cells and whatever is not one number.
    """
    try:
        values = np.array([cell.item() if cell.size == 1 else np.nan for cell in cells], dtype=np.float64)
        if values.ndim == 1:
            return values
    except (AttributeError, TypeError, ValueError, OverflowError):
        pass  # somewhere there is a cell of another kind: one by one then
    return np.array([_number_of(cell) for cell in cells], dtype=np.float64)


def _number_of(cell: object) -> float:
    if not isinstance(cell, np.ndarray) or cell.size != 1 or cell.dtype.kind not in "biufU":
        return np.nan
    try:
        return float(cell.item())
    except (ValueError, OverflowError):
        return np.nan


def text_of(cell: object) -> str | None:
    """A cell of printable characters in one line; None for anything else, and where nothing is to be seen."""
    if not isinstance(cell, np.ndarray) or cell.size != 1 or cell.dtype.kind != "U":
        return None
    text = str(cell.item())
    damaged = "\N{REPLACEMENT CHARACTER}" in text  # what scipy makes of bytes that are no characters
    return text if text.strip() and text.isprintable() and not damaged else None
