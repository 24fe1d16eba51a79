"""Collects the cells of MPII's RELEASE structure into flat lists, one entry per rectangle or point.

mpii.py converts them to numbers all at once: uint8, int16, float64, text and empty cells become float64 before any
arithmetic, in which uint8 would overflow.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from posernn.data import schemas
from posernn.data.matlab import NO_CELL, as_struct, entries_of, fields_of, first_entry_of, numbers_in, text_of
from posernn.runtime.progress import Advance

FIRST_PIXEL = 1.0
"""MPII counts pixels (and images, rectangles and videos) from 1, as Matlab does; posernn counts from 0."""


class Cells(NamedTuple):
    """Cells as scipy reads them. Lists have one entry per rectangle, those in `points` one per point."""

    image_index: list[int]
    person_index: list[int]
    single_person: list[bool]
    center: list[Sequence[np.ndarray]]  # x y
    scale: list[np.ndarray]
    head_box: list[Sequence[np.ndarray]]  # x1 y1 x2 y2
    num_points: list[int]
    points: dict[str, list[np.ndarray]]  # x, y, id, is_visible; points of all rectangles, concatenated


def collect(release: np.void, names: list[str | None], progress: Advance) -> tuple[Cells, list[schemas.Reject]]:
    """Collect the cells of all rectangles, and reject images without any.

    This is the only slow loop over the release, so that it only appends.

    Args:
        release: the RELEASE record.
        names: of the images; None where unreadable.
        progress: called with the number of images done and of all images.
    """
    cells = Cells([], [], [], [], [], [], [], {"x": [], "y": [], "id": [], "is_visible": []})
    rejected: list[schemas.Reject] = []
    annorects = release["annolist"].ravel()["annorect"].tolist()
    alone = list(release["single_person"].ravel())  # cells, or one number per image
    for index, (name, annorect) in enumerate(zip(names, annorects, strict=True)):
        if index % 500 == 0:
            progress(index, len(annorects))
        rectangles = entries_of(as_struct(annorect))
        if not rectangles:
            rejected.append((name or "", index, None, "no person is annotated"))
            continue
        if name is None:
            rejected.append(("", index, None, "the image has no name"))
            continue
        numbers = numbers_in(np.asarray(alone[index]))  # of rectangles, from 1
        rejected += [
            (name, index, None, f"single_person names rectangle {number:g}, the image has {len(rectangles)}")
            for number in numbers
            if number not in range(1, len(rectangles) + 1)
        ]
        for person, rectangle in enumerate(rectangles):
            cells.image_index.append(index)
            cells.person_index.append(person)
            cells.single_person.append(person + FIRST_PIXEL in numbers)
            cells.scale.append(rectangle.get("scale", NO_CELL))
            center = first_entry_of(rectangle.get("objpos"))
            cells.center.append((center.get("x", NO_CELL), center.get("y", NO_CELL)))
            cells.head_box.append([rectangle.get(side, NO_CELL) for side in ("x1", "y1", "x2", "y2")])
            points = _points(rectangle.get("annopoints"))
            cells.num_points.append(points.size)
            point_fields = fields_of(points)
            for field, column in cells.points.items():
                if field in point_fields:
                    column += points[field].ravel().tolist()
                else:
                    column += [NO_CELL] * points.size
    progress(len(annorects), len(annorects))
    return cells, rejected


def _points(annopoints: object) -> np.ndarray:
    """Return the array of points in `annopoints`; empty if there is none. The order of its fields varies."""
    points = as_struct(first_entry_of(annopoints).get("point", NO_CELL))
    return points if {"x", "y", "id"} <= set(fields_of(points)) else NO_CELL


def image_name(image: Any) -> str | None:
    """Return `image.name`, or None if it is missing or unreadable."""
    return text_of(first_entry_of(image).get("name"))
