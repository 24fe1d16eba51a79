"""Tables of people and of predictions -> COCO keypoints annotations and COCO keypoints results; inverse of coco.py."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from posernn.data import schemas
from posernn.pose.geometry import height_box
from posernn.pose.skeleton import LIMBS, NUM_JOINTS, Joint

PERSON = 1
"""Id of the only category."""
JOINTS = {
    "keypoints": [joint.name.lower() for joint in Joint],
    "skeleton": [[one + 1, other + 1] for one, other in LIMBS],
}
"""The 16 joints and their limbs, as a COCO category has them."""


def annotations_of(people: pa.Table, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Return people as the contents of a COCO keypoints file.

    An image has its image_index as id, and a person the number of its row from 1. The box is the square of the person's
    height about MPII's centre, or the joints' box where it is not known; a head box becomes PoseTrack's `bbox_head`.
    Joints that nobody called hidden are visible (2).

    Args:
        people: `schemas.PEOPLE`; people without a joint are left out.
        sizes: name of an image -> width and height, px; may lack images.
    """
    annotated = schemas.to_numpy(people, "annotated")
    people, annotated = people.filter(pa.array(annotated.any(axis=1))), annotated[annotated.any(axis=1)]
    joints = schemas.to_numpy(people, "joints_image").astype(np.float64)
    flags = [[1 if flag is False else 2 for flag in of_person] for of_person in people["visible"].to_pylist()]
    boxes = _boxes(people, joints)
    head_boxes = schemas.to_numpy(people, "head_box_image").astype(np.float64)
    image_index = people["image_index"].to_pylist()
    annotations = []
    for row in range(len(people)):
        box = _xywh(boxes[row])
        annotation = {
            "id": row + 1,
            "image_id": image_index[row],
            "category_id": PERSON,
            "iscrowd": 0,
            "num_keypoints": int(annotated[row].sum()),
            "keypoints": _keypoints(joints[row], np.where(annotated[row], flags[row], 0)),
            "bbox": box,
            "area": box[2] * box[3],
        }
        head = {"bbox_head": _xywh(head_boxes[row])} if np.isfinite(head_boxes[row]).all() else {}
        annotations.append(annotation | head)
    names = dict(zip(image_index, people["image"].to_pylist(), strict=True))
    images = []
    for index, name in names.items():
        size = dict(zip(("width", "height"), sizes[name], strict=True)) if name in sizes else {}
        images.append({"id": index, "file_name": name} | size)
    category = {"id": PERSON, "name": "person", "supercategory": "person"} | JOINTS
    return {"images": images, "annotations": annotations, "categories": [category]}


def results_of(predictions: pa.Table) -> list[dict[str, Any]]:
    """Return predictions as COCO keypoints results, with the image ids of `annotations_of`.

    Args:
        predictions: `schemas.PREDICTIONS`; joints that are not finite are written as not predicted (0, 0, 0).
    """
    joints = schemas.to_numpy(predictions, "joints_image").astype(np.float64)
    return [
        {
            "image_id": image_index,
            "category_id": PERSON,
            "keypoints": _keypoints(joints[row], np.isfinite(joints[row]).all(axis=-1)),
            "score": 1.0,
        }
        for row, image_index in enumerate(predictions["image_index"].to_pylist())
    ]


def _boxes(people: pa.Table, joints: Float[np.ndarray, "N 16 2"]) -> Float[np.ndarray, "N 4"]:
    """Return the box of each person, xyxy, image px."""
    scale = np.array([np.nan if scale is None else scale for scale in people["scale"].to_pylist()])
    placed = height_box(schemas.to_numpy(people, "center_image").astype(np.float64), scale)
    of_joints = np.concatenate([np.nanmin(joints, axis=1), np.nanmax(joints, axis=1)], axis=-1)
    return np.where(np.isfinite(placed).all(axis=1, keepdims=True), placed, of_joints)


def _xywh(box_image: Float[np.ndarray, "4"]) -> list[float]:
    """Return x, y, width and height from the outer edge of the first pixel, which COCO counts from."""
    low, high = box_image[:2] + 0.5, box_image[2:] + 0.5
    return np.concatenate([low, high - low]).round(3).tolist()


def _keypoints(joints_image: Float[np.ndarray, "16 2"], flags: Any) -> list[float]:
    """Return x, y, v of all joints; 0, 0, 0 where v is 0."""
    flags = np.asarray(flags, dtype=int)
    xy = np.where(flags[:, None] > 0, joints_image.round(3), 0.0).tolist()
    return [value for place in range(NUM_JOINTS) for value in (*xy[place], int(flags[place]))]
