"""Reads the boxes of people in many photos from a CSV or JSON file."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jaxtyping import Float

from posernn.inference import boxes
from posernn.runtime import files
from posernn.runtime.errors import InputError

COLUMNS = ("x0", "y0", "x1", "y1")

Row = tuple[str, str, Any]
"""Where the box stands in the file, the name of its photo, xyxy in image px as written there."""


def read(path: Path, photos: Sequence[Path]) -> dict[Path, Float[np.ndarray, "P 4"]]:
    """Read the boxes of photos; several rows of a photo are several people.

    Args:
        path: CSV with the columns image, x0, y0, x1, y1; or JSON: a list of objects with `image` and `box_image`, as
            `posernn predict` writes it, or COCO's `images` and `annotations`.
        photos: a name of the file belongs to the photo whose path ends with it: `1.jpg` or `a/1.jpg`.
    Returns:
        (P, 4) xyxy, image px, of each photo that has any.
    Raises:
        InputError: the file is missing or malformed, a box has not four numbers, or a name is not that of one photo.
    """
    rows = list(_rows_of_json(path) if path.suffix.lower() == ".json" else _rows_of_csv(path))
    by_name: dict[str, list[Path]] = {}
    for photo in photos:
        by_name.setdefault(photo.name, []).append(photo)
    found: dict[Path, list[np.ndarray]] = {}
    for where, name, box in rows:
        parts = PurePath(name).parts
        owners = [photo for photo in by_name.get(PurePath(name).name, []) if photo.parts[-len(parts) :] == parts]
        if not owners and PurePath(name) in photos:
            owners = [Path(name)]
        if len(owners) != 1:
            got = f"{len(owners)} of them, {owners[0]} and {owners[1]}" if owners else "none"
            raise InputError(f"{where}: expected the name of one photo, got {name}, that of {got}; correct the name")
        found.setdefault(owners[0], []).append(boxes.as_boxes(where, box))
    return {photo: np.concatenate(of_photo) for photo, of_photo in found.items()}


def _rows_of_csv(path: Path) -> Iterator[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in ("image", *COLUMNS) if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}: expected the columns image, {', '.join(COLUMNS)}, got none called {', '.join(missing)}; "
                    "add a header"
                )
            for row in reader:
                yield f"{path}: line {reader.line_num}", row["image"], [row[name] for name in COLUMNS]
    except OSError as error:
        raise InputError(f"{path}: expected a CSV file of boxes, got {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file in UTF-8, got {error}; save it anew") from error


def _rows_of_json(path: Path) -> Iterator[Row]:
    content = files.read_json(path)
    try:
        if isinstance(content, dict):
            yield from _rows_of_coco(path, content)
        else:
            for number, entry in enumerate(content):
                yield f"{path}: entry {number}", entry["image"], entry["box_image"]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InputError(
            f'{path}: expected a list of {{"image": ..., "box_image": [x0, y0, x1, y1]}}, or COCO\'s images and '
            f"annotations, got neither ({error!r}); see docs/how-to/predict.md"
        ) from error


def _rows_of_coco(path: Path, content: dict[str, Any]) -> Iterator[Row]:
    names = {image["id"]: image["file_name"] for image in content["images"]}
    for number, annotation in enumerate(content["annotations"]):
        x, y, width, height = annotation["bbox"]
        # COCO's origin is the corner of the first pixel, here it is its centre.
        box = [x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5]
        yield f"{path}: annotation {number}", names[annotation["image_id"]], box
