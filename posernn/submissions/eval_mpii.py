"""Reads and writes predictions in the form of MPII's evaluation toolkit: a structure `pred` like RELEASE.annolist.

`pred(i).annorect(r)` is rectangle r of image i of the release; `annopoints.point` has `x`, `y` (from 1) and `id`. The
toolkit wants the test images: `pred = pred(RELEASE.img_train == 0)`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from scipy.io import savemat

from posernn.data import schemas
from posernn.data.cells import FIRST_PIXEL, image_name
from posernn.data.matlab import entries_of, first_entry_of, numbers_of
from posernn.pose.skeleton import NUM_JOINTS
from posernn.runtime.errors import InputError
from posernn.runtime.files import replacing

EMPTY = np.empty((0, 0))


class Annolist(NamedTuple):
    """Predictions of a structure.

    Attributes:
        joints: (N, 16, 2) xy, px from 1; NaN where the file has none.
        keys: image, position in the structure, rectangle from 0, of each row.
    """

    joints: Float[np.ndarray, "N 16 2"]
    keys: list[tuple[str, int, int]]


def read(path: Path, annolist: Any) -> Annolist:
    """Read the rectangles that have joints.

    Args:
        path: of the file, for messages.
        annolist: the structure, as scipy reads it.
    Raises:
        InputError: there are none, or an image has no name.
    """
    joints, keys = [], []
    for index, entry in enumerate(entries_of(annolist)):
        for person, rectangle in enumerate(entries_of(entry["annorect"])):
            points = entries_of(first_entry_of(rectangle.get("annopoints")).get("point"))
            if not points:
                continue
            name = image_name(entry["image"])
            if name is None:
                raise InputError(f"{path}: expected image.name in every entry, got none in entry {index + 1}; add it")
            id_x_y = np.stack([numbers_of([point[axis] for point in points]) for axis in ("id", "x", "y")])  # (3, K)
            known = np.isin(id_x_y[0], range(NUM_JOINTS))
            of_person = np.full((NUM_JOINTS, 2), np.nan)
            of_person[id_x_y[0, known].astype(int)] = id_x_y[1:, known].T
            joints.append(of_person)
            keys.append((name, index, person))
    if not joints:
        raise InputError(f"{path}: expected annorect.annopoints.point with x, y and id, got none; add predictions")
    return Annolist(np.stack(joints), keys)


def write(path: Path, predictions: pa.Table, people: pa.Table) -> None:
    """Write predictions as `pred`, with one entry for each image of the release.

    Rectangles without a prediction keep their `objpos`, so that the toolkit counts the same rectangles in `pred` as in
    the annotations.

    Args:
        path: .mat file of Matlab 5.
        predictions: `schemas.PREDICTIONS`.
        people: `schemas.PEOPLE` of the release, for the names of its images and the centres of its people.
    Raises:
        InputError: a predicted person is not in the release, or the file cannot be written.
    """
    centers = dict(zip(_keys(people), schemas.to_numpy(people, "center_image").astype(np.float64), strict=True))
    joints = dict(zip(_keys(predictions), schemas.to_numpy(predictions, "joints_image").tolist(), strict=True))
    unknown = joints.keys() - centers.keys()
    if unknown:
        image, person = min(unknown)
        raise InputError(f"{path}: expected people of the release, got image {image}, person {person}; see --people")
    of_image: dict[int, dict[int, Any]] = {}
    for (image, person), center in centers.items():
        of_image.setdefault(image, {})[person] = _rectangle(center, joints.get((image, person)))
    names = dict(zip(people["image_index"].to_pylist(), people["image"].to_pylist(), strict=True))
    pred = np.empty((1, max(names) + 1), dtype=[("image", object), ("annorect", object)])
    for image in range(pred.size):
        rectangles = of_image.get(image, {})
        annorect = [rectangles.get(person, _EMPTY_RECTANGLE) for person in range(max(rectangles, default=-1) + 1)]
        pred[0, image] = (_struct(name=names.get(image, "")), _array(annorect) if annorect else EMPTY)
    with replacing(path) as partial:
        savemat(partial, {"pred": pred}, do_compression=True, appendmat=False)


_EMPTY_RECTANGLE = (EMPTY, EMPTY)


def _rectangle(center: np.ndarray, joints: Any) -> tuple[Any, Any]:
    x, y = center + FIRST_PIXEL
    objpos = _struct(x=x, y=y) if np.isfinite(center).all() else EMPTY
    if joints is None:
        return objpos, EMPTY
    points = np.empty((1, NUM_JOINTS), dtype=[("x", object), ("y", object), ("id", object)])
    for joint, (u, v) in enumerate(joints):
        points[0, joint] = (u + FIRST_PIXEL, v + FIRST_PIXEL, float(joint))
    return objpos, _struct(point=points)


def _array(rectangles: list[tuple[Any, Any]]) -> np.ndarray:
    array = np.empty((1, len(rectangles)), dtype=[("objpos", object), ("annopoints", object)])
    for number, rectangle in enumerate(rectangles):
        array[0, number] = rectangle
    return array


def _struct(**values: Any) -> np.ndarray:
    struct = np.empty((1, 1), dtype=[(name, object) for name in values])
    struct[0, 0] = tuple(values.values())
    return struct


def _keys(table: pa.Table) -> list[tuple[int, int]]:
    return list(zip(table["image_index"].to_pylist(), table["person_index"].to_pylist(), strict=True))
