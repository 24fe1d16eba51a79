"""Rendered people -> MPII's RELEASE structure, with all quirks of the real file.

The only module of this package with 1-based pixels: `_pixel` adds the 1 that mpii.py subtracts.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.io import savemat

from posernn.data.synthetic.annotation import HEAD_SHARE, RenderedPerson
from posernn.data.synthetic.planning import ImageHabits, PlannedImage
from posernn.data.synthetic.poses import ACTIVITIES
from posernn.pose.skeleton import Joint

_EMPTY = np.zeros((0, 0))
# The real file's most frequent order of joints.
_USUAL_ORDER = (6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15)
_HEADER = b"MATLAB 5.0 MAT-file, rendered people in the format of MPII Human Pose"
_HEADER_SIZE = 116  # bytes of text at the start of a MAT-file


@dataclass(frozen=True, kw_only=True)
class ReleaseImage:
    """One rendered image. `people` are in the order of `annorect`; `annotated`: whether a person's joints are given."""

    planned: PlannedImage
    people: list[RenderedPerson]
    annotated: list[bool]
    separate: list[bool]  # overlaps little with the others


def mat_bytes(images: list[ReleaseImage], num_videos: int, seed: int) -> bytes:
    """Return the contents of the annotation file. The same arguments give the same bytes."""
    count = len(images)
    annolist = _struct((1, count), ("image", "annorect", "frame_sec", "vididx"))
    single_person = np.empty((count, 1), dtype=object)
    act = _struct((count, 1), ("cat_name", "act_name", "act_id"))
    for index, image in enumerate(images):
        rng = np.random.default_rng([seed, 4, image.planned.scene.index])
        video = image.planned.video
        annolist[0, index] = (
            _record(name=image.planned.name),
            _annorect(image, rng),
            np.array([[image.planned.second]]) if video is not None else np.zeros((1, 0)),
            _integer(video + 1) if video is not None else np.zeros((1, 0)),
        )
        numbers = [i + 1 for i, separate in enumerate(image.separate) if separate and image.annotated[i]]
        single_person[index, 0] = np.array(numbers, dtype=np.uint8)[:, None] if numbers else _EMPTY.astype(np.uint8)
        act[index, 0] = _act(image)
    videos = np.empty((1, num_videos), dtype=object)
    for video in range(num_videos):
        videos[0, video] = f"synthetic{video:05d}"
    release = _record(
        annolist=annolist,
        img_train=np.array([[image.planned.train for image in images]], dtype=np.uint8),
        version="12",
        single_person=single_person,
        act=act,
        video_list=videos,
    )
    file = io.BytesIO()
    savemat(file, {"RELEASE": release}, do_compression=True)
    # savemat writes the current time into the header.
    return _HEADER.ljust(_HEADER_SIZE) + file.getvalue()[_HEADER_SIZE:]


def _struct(shape: tuple[int, int], fields: tuple[str, ...]) -> np.ndarray:
    return np.empty(shape, dtype=[(field, object) for field in fields])


def _record(**values: Any) -> np.ndarray:
    record = _struct((1, 1), tuple(values))
    record[0, 0] = tuple(values.values())
    return record


def _integer(value: float) -> np.ndarray:
    """Store a value in the smallest of the file's integer types that holds it."""
    if value < 0:
        return np.array([[value]], dtype=np.int16)
    return np.array([[value]], dtype=np.uint8 if value <= 255 else np.uint16)


def _pixel(value: float, rng: np.random.Generator | None = None) -> np.ndarray:
    """Convert 0-based px to the file's 1-based px, mostly in the smallest integer type, sometimes in a wider type."""
    value = float(value) + 1
    kind = rng.random() if rng else 0.0
    if value != np.round(value) or kind > 0.96:
        return np.array([[value]])
    if kind > 0.90 and abs(value) < 2**15:
        return np.array([[value]], dtype=np.int16)
    return _integer(value)


def _annorect(image: ReleaseImage, rng: np.random.Generator) -> Any:
    habits = image.planned.habits
    if habits.kind == "nobody":
        return _EMPTY.astype(np.uint8)
    if habits.kind == "fieldless":
        return {}  # MATLAB's struct()
    fields: tuple[str, ...] = ("scale", "objpos")
    if habits.kind == "people":
        fields = ("x1", "y1", "x2", "y2", "annopoints", *fields, *habits.extra_fields)
    rectangles = _struct((1, len(image.people)), fields)
    for number, person in enumerate(image.people):
        values: dict[str, Any] = dict.fromkeys(fields, _EMPTY)
        lacking = habits.missing if number == 0 else "nothing"
        if lacking != "place":
            values["scale"] = np.array([[person.scale]])
            values["objpos"] = _record(x=_pixel(person.center_image[0]), y=_pixel(person.center_image[1]))
        if image.annotated[number]:
            if lacking != "head rectangle":
                box = _head_rectangle(person, rng)
                values |= {key: _pixel(value, rng) for key, value in zip(("x1", "y1", "x2", "y2"), box, strict=True)}
            values["annopoints"] = _record(point=_points(person, habits, rng))
        if "head_r22" in fields:
            values["head_r22"] = "[1 0 0]"
        rectangles[0, number] = tuple(values[field] for field in fields)
    return rectangles


def _points(person: RenderedPerson, habits: ImageHabits, rng: np.random.Generator) -> np.ndarray:
    fields: tuple[str, ...] = ("id", "x", "y") if habits.id_first else ("x", "y", "id")
    if habits.visibility != "absent":
        fields = (*fields, "is_visible")
    order = _USUAL_ORDER if habits.usual_order else rng.permutation(_USUAL_ORDER).tolist()
    order = [joint for joint in order if person.annotated[joint]]
    points = _struct((1, len(order)), fields)
    for position, joint in enumerate(order):
        x, y = person.joints_image[joint]
        values = {"x": _pixel(x, rng), "y": _pixel(y, rng), "id": _integer(joint)}
        values["is_visible"] = _visibility(Joint(joint), bool(person.visible[joint]), habits.visibility)
        points[0, position] = tuple(values[field] for field in fields)
    return points


def _visibility(joint: Joint, visible: bool, how: str) -> Any:
    if how == "characters":
        return "1" if visible else "0"
    if joint in (Joint.UPPER_NECK, Joint.HEAD_TOP):  # MPII derived both from the head rectangle
        return _EMPTY.astype(np.uint8)
    return np.array([[visible]], dtype=np.uint8)


def _head_rectangle(person: RenderedPerson, rng: np.random.Generator) -> Float[np.ndarray, "4"]:
    """Return the head rectangle, sometimes rounded to whole pixels if that keeps its diagonal to 1%."""
    box = person.head_box_image
    if rng.random() > 0.3:
        return box
    neck, top = person.joints_image[[Joint.UPPER_NECK, Joint.HEAD_TOP]]
    wanted = np.hypot(*(top - neck)) / HEAD_SHARE
    options = [np.floor(box) + step for step in itertools.product((0, 1), repeat=4)]
    errors = [abs(np.hypot(*(option[2:] - option[:2])) / wanted - 1) for option in options]
    return options[int(np.argmin(errors))] if min(errors) < 0.01 else box


def _act(image: ReleaseImage) -> tuple[Any, Any, np.ndarray]:
    """Return the activity of an image; unknown for the test half and for images without joints."""
    if image.planned.habits.kind != "people":
        return "", "", np.array([[-1]], dtype=np.int16)
    activity = image.planned.scene.activity
    category, name = ACTIVITIES[activity].names
    return category, name, _integer(list(ACTIVITIES).index(activity) * 13 + 1)
