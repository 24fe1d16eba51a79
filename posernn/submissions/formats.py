"""Reads files of predictions as projects publish them: NumPy, Matlab, HDF5, JSON and this project's Parquet.

An array has a row for each person of a list. The lengths of its axes say which is which: 16 joints, 2 coordinates (or
3: x, y, confidence), and the rest people.
"""

import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from posernn.data import matlab, schemas
from posernn.pose.skeleton import NUM_JOINTS
from posernn.runtime import files
from posernn.runtime.confined import read_confined
from posernn.runtime.errors import InputError
from posernn.submissions import eval_mpii

FORMATS = (".parquet", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".json")
VARIABLES = ("preds", "pred", "predictions")
"""Names of the array in .npz, .mat and HDF5 files; a file with a single array may call it anything."""

Key = tuple[str, int, int]
"""Image, image_index, person_index."""


class Submission(NamedTuple):
    """Predictions of a file.

    Attributes:
        joints: (N, 16, 2) xy, image px as the file counts them.
        keys: the people of the rows; None: those of a list.
        base: the number of the first pixel by the file's format.
        certain: the format leaves no other base.
    """

    joints: Float[np.ndarray, "N 16 2"]
    keys: list[Key] | None
    base: int
    certain: bool = False


def read(path: Path, num_people: int | None = None) -> Submission:
    """Read predictions.

    Args:
        path: .parquet: `predictions.parquet` of the evaluate stage; .npy; .npz, .mat, .h5: an array called `preds`, or
            evalMPII's `pred` in a .mat; .json: nested lists, or the results of mmpose.
        num_people: of the list, where the file does not name its people.
    Raises:
        InputError: no such file, a damaged one, or one without predictions.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"{path}: expected predictions in {', '.join(FORMATS)}, got {suffix or 'no suffix'}; rename it"
        )
    if not path.is_file():
        raise InputError(f"{path}: expected predictions, got nothing; check the path")
    if suffix == ".parquet":
        table = files.read_table(path, schemas.PREDICTIONS, schemas.PREDICTIONS.names)
        return Submission(schemas.to_numpy(table, "joints_image").astype(np.float64), keys_of(table), 0, certain=True)
    if suffix == ".json":
        return Submission(joints_of(path, _array_of_json(path, files.read_json(path)), num_people), None, 0)
    if suffix in (".npy", ".npz"):
        return Submission(joints_of(path, _read_numpy(path), num_people), None, 1)
    if _is_hdf5(path):  # Matlab's files from 7.3 on, too
        return Submission(joints_of(path, _read_hdf5(path), num_people), None, 1)
    if suffix != ".mat":
        raise InputError(f"{path}: expected an HDF5 file, got another one; download it again")
    array = read_confined(_read_matlab, path)
    if isinstance(array, eval_mpii.Annolist):
        return Submission(array.joints, array.keys, 1, certain=True)
    return Submission(joints_of(path, array, num_people), None, 1)


def keys_of(table: pa.Table) -> list[Key]:
    """Return the keys of the people in a table."""
    return list(zip(*(table[name].to_pylist() for name in ("image", "image_index", "person_index")), strict=True))


def joints_of(where: Path | str, array: Any, num_people: int | None = None) -> Float[np.ndarray, "N 16 2"]:
    """Bring an array into the order people, joints, xy.

    Args:
        where: for the message.
        array: (N, 16, 2) with its axes in any order, x y confidence instead of x y, or (N, 32) and (N, 48).
        num_people: N, if it is known: it decides where the lengths of the axes leave a choice.
    Raises:
        InputError: no axes of 16 joints and 2 or 3 coordinates, or no numbers.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{where}: expected numbers, got {array.dtype}; save an array of (N, {NUM_JOINTS}, 2)")
    if array.ndim == 2 and array.shape[1] in (2 * NUM_JOINTS, 3 * NUM_JOINTS):
        array = array.reshape(len(array), NUM_JOINTS, -1)
    possible = [
        array.transpose(order)[..., :2].astype(np.float64)
        for order in itertools.permutations(range(3))  # the usual order first
        if array.ndim == 3 and array.shape[order[1]] == NUM_JOINTS and array.shape[order[2]] in (2, 3)
    ]
    if not possible:
        raise InputError(
            f"{where}: expected people x {NUM_JOINTS} joints x 2 coordinates, got {array.shape}; "
            "save them in MPII's order"
        )
    return next((joints for joints in possible if len(joints) == num_people), possible[0])


def _read_numpy(path: Path) -> np.ndarray:
    try:
        content = np.load(path, allow_pickle=False)
        return content if isinstance(content, np.ndarray) else _pick(path, {name: content[name] for name in content})
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: expected a NumPy array, got {error}; download it again") from error


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(520)
    return b"\x89HDF\r\n\x1a\n" in (start[:8], start[512:])  # Matlab writes 512 bytes of text before it


def _read_hdf5(path: Path) -> np.ndarray:
    import h5py

    try:
        with h5py.File(path) as file:
            arrays = {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: expected an HDF5 file, got {error}; download it again") from error
    return _pick(path, arrays)


def _read_matlab(path: Path) -> "np.ndarray | eval_mpii.Annolist":
    arrays = {name: matlab.read_variable(path, name) for name in (*VARIABLES, "annolist")}
    for array in arrays.values():
        if {"annorect", "image"} <= set(matlab.fields_of(array)):
            return eval_mpii.read(path, array)
    return _pick(path, {name: array for name, array in arrays.items() if array is not None})


def _pick(path: Path, arrays: dict[str, Any]) -> np.ndarray:
    """Pick the array of predictions."""
    for name in VARIABLES:
        if name in arrays:
            return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    there = ", ".join(sorted(arrays)) or "none"
    raise InputError(f"{path}: expected an array called {VARIABLES[0]}, got {there}; rename it")


def _array_of_json(path: Path, content: Any) -> Any:
    """Find the joints in JSON: nested lists, `{"preds": ...}`, or mmpose's lists of people or batches."""
    if isinstance(content, dict):
        content = _pick(path, content)
    try:
        if content and isinstance(content[0], dict):
            return np.array([joints for _, joints in sorted(_people_of_json(content), key=lambda person: person[0])])
        return np.array(content, dtype=np.float64)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            f"{path}: expected nested lists of people x {NUM_JOINTS} joints x 2, or mmpose's results, got {error!r}; "
            "see docs/how-to/score.md"
        ) from error


def _people_of_json(content: list[dict[str, Any]]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number and the joints of each person, xy and perhaps a confidence."""
    number = 0
    for entry in content:
        joints = np.array(entry["preds"] if "preds" in entry else entry["keypoints"], dtype=np.float64)
        people = joints.reshape(-1, NUM_JOINTS, joints.shape[-1] if joints.ndim > 1 else len(joints) // NUM_JOINTS)
        numbers = entry.get("bbox_ids", [entry["bbox_id"]] if "bbox_id" in entry else None)
        for place, person in enumerate(people):
            yield (numbers[place] if numbers else number), person
            number += 1
