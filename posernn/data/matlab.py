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
        what, remedy = _other_format(path) or (f"a damaged one ({_one_line(error)})", "fetch it again")
        raise InputError(f"{path}: expected a file of Matlab 5 to 7.2, got {what}; {remedy}") from error


SAVE_V7 = "save RELEASE again with save -v7"
UNPACK = "unpack it"

_FORMATS = (
    (b"MATLAB 7.3", "one of Matlab 7.3", SAVE_V7),
    (b"\x89HDF\r\n", "an HDF5 file", SAVE_V7),
    (b"\x1f\x8b", "a gzip file", UNPACK),
    (b"PK\x03\x04", "a zip file", UNPACK),
    (b"BZh", "a bzip2 file", UNPACK),
    (b"\xfd7zXZ", "an xz file", UNPACK),
    (b"7z\xbc\xaf", "a 7z file", UNPACK),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with git lfs pull"),
)
"""How files of other formats begin, their name, and what to do with them."""


def _other_format(path: Path) -> tuple[str, str] | None:
    """Name the format of a file that is not of Matlab 5 to 7.2, and what to do with it; None: not recognised."""
    with path.open("rb") as file:
        start = file.read(200)
    for beginning, name, remedy in _FORMATS:
        if start.startswith(beginning):
            return name, remedy
    text = start.decode("ascii", errors="replace")
    if text.lstrip()[:1] == "<":
        return "a web page", "download the file itself"
    is_text = bool(text) and all(letter.isprintable() or letter.isspace() for letter in text)
    return ("a text file", SAVE_V7) if is_text and "\N{REPLACEMENT CHARACTER}" not in text else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


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


def as_struct(cells: Any) -> Any:
    """Convert a cell array of structures to a structure array with the fields of all; return other values unchanged.

    A list of Python dicts is saved as such a cell array. A cell that is no structure becomes an entry of empty fields,
    so that the others keep their numbers.
    """
    if not isinstance(cells, np.ndarray) or cells.dtype != object:
        return cells
    entries = [entry for cell in cells.ravel().tolist() for entry in (entries_of(cell) or [{}])]
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    struct = np.empty((1, len(entries)), dtype=[(name, object) for name in names])
    for place, entry in enumerate(entries):
        for name in names:
            struct[0, place][name] = entry.get(name, NO_CELL)
    return struct


def entries_of(struct: object) -> list[dict[str, Any]]:
    """Return the entries of a structure array as dicts of fields; none if it is no structure."""
    names = fields_of(struct)
    # Looking up a field of a numpy record by name is ten times slower.
    return [dict(zip(names, entry, strict=True)) for entry in struct.ravel().tolist()] if names else []  # type: ignore[attr-defined]


def first_entry_of(struct: object) -> dict[str, Any]:
    """Return the first entry of a structure array as a dict; empty if there is no entry or no structure."""
    struct = _inside_cell(struct)
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


def numbers_in(cell: object) -> list[float]:
    """Return all numbers of a cell, of any class, as text, or each in a cell of its own; NaN for anything else."""
    cells = cell.ravel().tolist() if isinstance(cell, np.ndarray) and cell.dtype == object else [cell]
    numbers: list[float] = []
    for inner in cells:
        if isinstance(inner, np.ndarray) and (inner.dtype.kind in "biuf" or inner.size == 0):
            numbers += inner.ravel().tolist()
        else:
            numbers += numbers_of([inner]).tolist()
    return numbers


def _inside_cell(cell: Any) -> Any:
    """Return the content of a cell array of one cell, however deep it lies; other values unchanged."""
    while isinstance(cell, np.ndarray) and cell.dtype == object and cell.size == 1:
        cell = cell.item()
    return cell


def _number_of(cell: object) -> float:
    cell = _inside_cell(cell)
    if not isinstance(cell, np.ndarray) or cell.size != 1 or cell.dtype.kind not in "biufU":
        return np.nan
    try:
        return float(cell.item())
    except (ValueError, OverflowError):
        return np.nan


def text_of(cell: object) -> str | None:
    """Return a cell's text if it is one line of printable characters and not blank, else None."""
    cell = _inside_cell(cell)
    if not isinstance(cell, np.ndarray) or cell.size != 1 or cell.dtype.kind != "U":
        return None
    text = str(cell.item())
    damaged = "\N{REPLACEMENT CHARACTER}" in text  # scipy's replacement for undecodable bytes
    return text if text.strip() and text.isprintable() and not damaged else None
