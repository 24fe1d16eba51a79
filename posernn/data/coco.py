"""COCO keypoints JSON -> tables of people and rejects.

Convention of the file: pixels from 0. Keypoints are at pixel centres, as here; boxes are [x, y, width, height] from the
outer edge of the first pixel, half a pixel further out. `v` is 0: not annotated, 1: hidden, 2: visible.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from posernn.data import missing_joints, schemas
from posernn.data.coco_file import Category, categories_of, images_of
from posernn.data.mpii import FARTHEST_PIXEL
from posernn.pose import geometry
from posernn.pose.skeleton import NUM_JOINTS, Joint
from posernn.runtime.progress import Advance, silent

MOST_OVERLAP = 0.1
"""A person is a single person if no other box covers more than this share of the person's own box."""
MIDDLES = ((Joint.THORAX, Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER), (Joint.PELVIS, Joint.RIGHT_HIP, Joint.LEFT_HIP))
"""Joints that are the middle of two others, as in MPII."""
NO_BOX = np.full(4, np.nan)


class _Person(NamedTuple):
    """One annotation whose joints can be read."""

    image_index: int
    person_index: int
    joints_image: Float[np.ndarray, "16 2"]
    visible: Float[np.ndarray, "16"]
    head_box_image: Float[np.ndarray, "4"]


def parse(
    contents: Mapping[str, list], path: Path, split: str = "train", first_image: int = 0, progress: Advance = silent
) -> tuple[pa.Table, pa.Table, list[str]]:
    """Convert a COCO file to tables.

    Every annotation yields one row: a person with at least one joint, or a reject. Thorax and pelvis are the midpoints
    of shoulders and hips where they are not given. Centre and scale are those of the box, or of the joints' box where
    there is none. PoseTrack's `bbox_head` is the head box. People whose box overlaps little with others are single.

    Args:
        contents: of the file, from `coco_file.read_file`.
        path: of the file, for messages.
        split: of its people.
        first_image: the index of its first image.
        progress: called with the number of annotations done and of all annotations.
    Returns:
        people (`schemas.PEOPLE`), rejects (`schemas.REJECTED`) and sentences about what was left out.
    Raises:
        InputError: an image is there twice, or no category has names of joints that are known.
    """
    index_of, names = images_of(contents["images"], path)
    categories, notes = categories_of(contents["categories"], path)
    rejected: list[schemas.Reject] = []
    people: list[_Person] = []
    boxes: dict[int, list[np.ndarray]] = {}  # of all annotations of an image, (4,) each; NaN where not given
    for number, annotation in enumerate(contents["annotations"]):
        if number % 500 == 0:
            progress(number, len(contents["annotations"]))
        entry = annotation if isinstance(annotation, dict) else {}
        index = index_of.get(json.dumps(entry.get("image_id")))
        if index is None:
            rejected.append(("", -1, None, f"image {entry.get('image_id')!r} of the annotation is not in the file"))
            continue
        of_image = boxes.setdefault(index, [])
        person_index = len(of_image)
        found = _joints(entry, categories) if names[index] else "the image has no name"
        of_image.append(_box(entry.get("bbox")))
        if isinstance(found, str):
            rejected.append((names[index] or "", first_image + index, person_index, found))
        else:
            people.append(_Person(index, person_index, *found, _box(entry.get("bbox_head"))))
    progress(len(contents["annotations"]), len(contents["annotations"]))
    rejected += [
        (name or "", first_image + index, None, "no person is annotated" if name else "the image has no name")
        for index, name in enumerate(names)
        if index not in boxes
    ]
    table, lost, more = _table(people, names, boxes, split, first_image)
    return table, schemas.rejected_table(rejected + lost), notes + more


def _table(
    people: Sequence[_Person],
    names: Sequence[str | None],
    boxes: Mapping[int, list[Float[np.ndarray, "4"]]],
    split: str,
    first_image: int,
) -> tuple[pa.Table, list[schemas.Reject], list[str]]:
    """Return the people's table, the people whose joints all stand for missing ones, and sentences about these.

    Args:
        people: all that have joints.
        names: of the images.
        boxes: of all annotations of an image; those that are not given become the box of the joints.
        split, first_image: as in `parse`.
    """
    joints = np.array([person.joints_image for person in people]).reshape(-1, NUM_JOINTS, 2)
    visible = np.array([person.visible for person in people]).reshape(-1, NUM_JOINTS)
    stands_in = missing_joints.stand_ins(joints)
    joints[stands_in], visible[stands_in] = np.nan, np.nan
    kept = np.isfinite(joints).any(axis=(1, 2))
    lost: list[schemas.Reject] = [
        (
            names[person.image_index] or "",
            first_image + person.image_index,
            person.person_index,
            "no joint is annotated",
        )
        for person, keep in zip(people, kept, strict=True)
        if not keep
    ]
    for person, of_person in zip(people, joints, strict=True):
        of_image = boxes[person.image_index]
        if np.isnan(of_image[person.person_index]).any():
            of_image[person.person_index] = _box_of_joints(of_person)
    apart = {index: _apart(np.stack(of_image)) for index, of_image in boxes.items()}
    for middle, *sides in MIDDLES:
        absent = np.isnan(joints[:, middle]).any(axis=-1)
        joints[absent, middle] = joints[absent][:, sides].mean(axis=1)
    center, scale = geometry.center_and_scale(
        np.array([boxes[person.image_index][person.person_index] for person in people]).reshape(-1, 4)
    )
    people = [person for person, keep in zip(people, kept, strict=True) if keep]
    table = schemas.people_table(
        [names[person.image_index] or "" for person in people],
        image_index=np.array([first_image + person.image_index for person in people], dtype=np.int32),
        person_index=np.array([person.person_index for person in people], dtype=np.int32),
        split=[split] * len(people),
        single_person=np.array([apart[person.image_index][person.person_index] for person in people], dtype=bool),
        center_image=center[kept],
        scale=scale[kept],
        head_box_image=np.array([person.head_box_image for person in people]).reshape(-1, 4),
        joints_image=joints[kept],
        visible=visible[kept],
    )
    return table, lost, missing_joints.notes(stands_in)


def _joints(
    entry: Mapping[str, Any], categories: Mapping[str, Category]
) -> tuple[Float[np.ndarray, "16 2"], Float[np.ndarray, "16"]] | str:
    """Return the joints of an annotation, NaN where not annotated, and whether they are visible; or why not."""
    if entry.get("iscrowd"):
        return "a crowd, not a person"
    category = categories.get(json.dumps(entry.get("category_id")))
    if category is None:
        return f"category {entry.get('category_id')!r} has no keypoints"
    if not entry.get("keypoints"):
        return "no joint is annotated"
    try:
        points = np.array(entry["keypoints"], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return "the keypoints are not numbers"
    if points.shape != (3 * category.num_keypoints,):
        return f"expected {3 * category.num_keypoints} numbers as keypoints, got {points.size}"
    points = points.reshape(-1, 3)
    joints_image, visible = np.full((NUM_JOINTS, 2), np.nan), np.full(NUM_JOINTS, np.nan)
    for place, joint in category.joints.items():
        x, y, flag = points[place]
        if flag not in (0, 1, 2):
            return f"v is {flag:g} for the {joint.label}, not 0, 1 or 2"
        if flag and not (abs(x) <= FARTHEST_PIXEL and abs(y) <= FARTHEST_PIXEL):
            return f"the {joint.label} lies at {x:g}, {y:g}, which is outside of any image"
        if flag:
            joints_image[joint], visible[joint] = (x, y), flag - 1
    return (joints_image, visible) if np.isfinite(joints_image).any() else "no joint is annotated"


def _box(xywh: Any) -> Float[np.ndarray, "4"]:
    """Convert [x, y, width, height] to xyxy, image px; NaN where it is not given or has no area."""
    try:
        x, y, width, height = np.array(xywh, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return NO_BOX
    if not (width > 0 and height > 0 and max(abs(x), abs(y), width, height) <= FARTHEST_PIXEL):
        return NO_BOX
    return np.array([x, y, x + width, y + height]) - 0.5


def _box_of_joints(joints_image: Float[np.ndarray, "16 2"]) -> Float[np.ndarray, "4"]:
    known = joints_image[np.isfinite(joints_image).all(axis=-1)]
    return np.concatenate([known.min(axis=0), known.max(axis=0)]) if len(known) else NO_BOX


def _apart(boxes: Float[np.ndarray, "K 4"]) -> Bool[np.ndarray, "K"]:
    """Return which boxes of an image overlap little with each of the others; boxes of NaN overlap with none."""
    common = np.minimum(boxes[:, None, 2:], boxes[:, 2:]) - np.maximum(boxes[:, None, :2], boxes[:, :2])  # (K, K, 2)
    shared = common.clip(0).prod(axis=-1)
    np.fill_diagonal(shared, 0)
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=-1), 1.0)
    return ~(shared > MOST_OVERLAP * area[:, None]).any(axis=1)
