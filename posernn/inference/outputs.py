"""Writes the people of photos: JSON, COCO keypoints, CSV or Parquet."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import pyarrow as pa

from posernn.data import coco_export, schemas
from posernn.inference.estimator import Poses
from posernn.pose.skeleton import Joint
from posernn.runtime import files
from posernn.runtime.errors import InputError

Format = Literal["json", "coco", "csv", "parquet"]
"""Formats of the output; the suffix of the file says which, but for coco."""


class Photo(NamedTuple):
    """A photo and its people.

    Attributes:
        image: its path.
        size: width and height of the upright photo, px.
        poses: of its people.
    """

    image: str
    size: tuple[int, int]
    poses: Poses


SCHEMA = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False, metadata={"about": "path of the photo"}),
        pa.field("person", pa.int32(), nullable=False, metadata={"about": "number in the photo, from 0"}),
        pa.field("box_image", pa.list_(pa.float32(), 4), nullable=False, metadata={"about": "image px, 0-based, xyxy"}),
        pa.field("joints_image", schemas.JOINTS, nullable=False, metadata={"about": "image px, 0-based, xy"}),
        pa.field("confidence", pa.list_(pa.float32(), 16), nullable=False, metadata={"about": "0 to 1; NaN: none"}),
    ]
)
"""Columns of the Parquet file: one row per person."""


def format_of(path: Path) -> Format:
    """Return the format that a file's suffix names.

    Raises:
        InputError: none.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in ("json", "csv", "parquet"):
        raise InputError(f"--out: expected a name that ends in .json, .csv or .parquet, got {path}; choose one of them")
    return cast(Format, suffix)


def write(path: Path, photos: Sequence[Photo], kind: Format) -> None:
    """Write the people of photos.

    Raises:
        InputError: the file cannot be written.
    """
    if kind == "json":
        lines = [json.dumps(person, ensure_ascii=False) for photo in photos for person in _people(photo)]
        with files.replacing(path) as partial:
            partial.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    elif kind == "coco":
        files.write_json(path, _coco(photos))
    elif kind == "csv":
        files.write_csv(path, [row for photo in photos for row in _rows(photo)])
    else:
        files.write_table(path, _table(photos))


def _people(photo: Photo) -> Iterator[dict[str, Any]]:
    for person, (box, joints, confidence) in enumerate(_each(photo.poses)):
        yield {
            "image": photo.image,
            "person": person,
            "box_image": np.round(box, 2).tolist(),
            "joints_image": {joint.label: np.round(joints[joint], 2).tolist() for joint in Joint},
            "confidence": {joint.label: _plain(confidence[joint]) for joint in Joint},
        }


def _rows(photo: Photo) -> Iterator[dict[str, Any]]:
    for person, (_, joints, confidence) in enumerate(_each(photo.poses)):
        for joint in Joint:
            x, y = np.round(joints[joint], 2).tolist()
            of_person = {"image": photo.image, "person": person, "joint": joint.label}
            yield of_person | {"x": x, "y": y, "confidence": _plain(confidence[joint])}


def _coco(photos: Sequence[Photo]) -> dict[str, Any]:
    """COCO's keypoint format with MPII's joints; its origin is the corner of the first pixel."""
    annotations: list[dict[str, Any]] = []
    for image_id, photo in enumerate(photos, start=1):
        for box, joints, confidence in _each(photo.poses):
            width, height = (box[2:] - box[:2]).tolist()
            flagged = np.concatenate([joints + 0.5, np.full((len(joints), 1), 2)], axis=1)  # 2: labelled and visible
            sure = float(np.nanmean(confidence)) if np.isfinite(confidence).any() else 1.0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": coco_export.PERSON,
                    "iscrowd": 0,
                    "bbox": np.round([*(box[:2] + 0.5), width, height], 2).tolist(),
                    "area": round(width * height, 2),
                    "num_keypoints": len(joints),
                    "keypoints": np.round(flagged, 2).ravel().tolist(),
                    "score": round(sure, 4),
                }
            )
    images = [
        {"id": number, "file_name": photo.image, "width": photo.size[0], "height": photo.size[1]}
        for number, photo in enumerate(photos, start=1)
    ]
    category = {"id": coco_export.PERSON, "name": "person"} | coco_export.JOINTS
    return {"images": images, "annotations": annotations, "categories": [category]}


def _table(photos: Sequence[Photo]) -> pa.Table:
    people = [(photo.image, number, *of) for photo in photos for number, of in enumerate(_each(photo.poses))]
    images, numbers, boxes, joints, confidence = zip(*people, strict=True)
    arrays = (
        schemas.from_numpy(np.stack(values).astype(np.float32), SCHEMA.field(name).type)
        for name, values in (("box_image", boxes), ("joints_image", joints), ("confidence", confidence))
    )
    return pa.table([list(images), list(numbers), *arrays], schema=SCHEMA)


def _each(poses: Poses) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield box, joints and confidence (NaN: none) of each person."""
    none = np.full(poses.joints_image.shape[:2], np.nan)
    yield from zip(
        poses.boxes_image, poses.joints_image, none if poses.confidence is None else poses.confidence, strict=True
    )


def _plain(confidence: float) -> float | None:
    return round(float(confidence), 4) if np.isfinite(confidence) else None
