"""Plans the images of a release and the quirks of MPII's file format that each shows, before rendering.

Shares follow the real file. `deal` gives every quirk at least once if there are enough people, so that a small release
exercises the same code as a large one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from posernn.data.synthetic.poses import ACTIVITIES
from posernn.data.synthetic.scenes import ImagePlan

PART_OCCLUSION = tuple(f"part_occ{part}" for part in range(1, 11))
ROTATIONS = tuple(f"{part}_r{row}{column}" for part in ("head", "torso") for row in (1, 2, 3) for column in (1, 2, 3))
_PEOPLE_SHARES = {1: 0.66, 2: 0.21, 3: 0.08, 4: 0.05}
_FRAMES_SHARES = {1: 0.4, 2: 0.2, 3: 0.2, 4: 0.2}


@dataclass(frozen=True)
class ImageHabits:
    """Quirks of one image's annotation in the file.

    Attributes:
        kind: people (with joints), nobody (`annorect` is empty), fieldless (a struct without fields), places (scale
            and objpos only).
        extra_fields: a rectangle's fields in addition to the usual ones.
        id_first: points are (id, x, y, is_visible) instead of (x, y, id, is_visible).
        visibility: how is_visible is stored: numbers, characters, or absent.
        usual_order: whether joints are in the file's most frequent order.
        missing: missing fields of the first person: nothing, head rectangle, or place (scale and objpos).
    """

    kind: str
    extra_fields: tuple[str, ...] = ()
    id_first: bool = False
    visibility: str = "numbers"
    usual_order: bool = True
    missing: str = "nothing"


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """One element of `annolist`, not rendered yet."""

    name: str
    train: bool
    num_annotated: int
    video: int | None  # 0-based index into video_list
    second: float  # within the video
    habits: ImageHabits
    scene: ImagePlan


def deal(rng: np.random.Generator, shares: dict[Any, float], count: int) -> list[Any]:
    """Return `count` options in random order, drawn by their shares, each at least once if `count` allows it."""
    options = list(shares)
    wanted = np.array([shares[option] for option in options])
    drawn = [options[i] for i in rng.choice(len(options), max(count - len(options), 0), p=wanted / wanted.sum())]
    dealt = (options + drawn)[:count]
    return [dealt[i] for i in rng.permutation(len(dealt))]


def plan_release(num_people: int, seed: int) -> tuple[list[PlannedImage], int]:
    """Plan the images of `num_people` annotated people, and further images without joints.

    Returns:
        The images in the order of `annolist`, and the number of videos.
    """
    rng = np.random.default_rng([seed, 0])
    shots = _plan_shots(rng, num_people)
    num_shots, num_frames = len(shots), sum(len(frames) for _, frames in shots)
    habits = _deal_habits(rng, num_frames)
    # Some pictures show an additional person without annotation, the same in all frames of a video.
    extras = deal(rng, {0: 0.88, 1: 0.12}, num_shots)
    num_unlabelled = {
        "nobody": max(1, num_people // 120),
        "fieldless": max(1, num_people // 400),
        "places": max(1, num_people // 60),
        "test": max(3, num_people // 30),
    }
    shots += [(kind, [1]) for kind, count in num_unlabelled.items() for _ in range(count)]
    num_images = sum(len(frames) for _, frames in shots)
    names = [f"{number:09d}.jpg" for number in rng.choice(99_999_999, num_images, replace=False)]
    activities = deal(rng, {name: one.share for name, one in ACTIVITIES.items()}, len(shots))
    filmed = deal(rng, {True: 0.9, False: 0.1}, len(shots))
    test_kinds = deal(rng, {"places": 0.93, "nobody": 0.07}, num_unlabelled["test"])

    planned: list[PlannedImage] = []
    num_videos = 0
    for shot, (kind, frames) in enumerate(shots):
        labelled = kind == "people"
        start = float(rng.uniform(0, 600))
        for number, num_shown in enumerate(frames):
            image_habits = habits.pop() if labelled else ImageHabits(kind=test_kinds.pop() if kind == "test" else kind)
            scene = ImagePlan(
                index=len(planned),
                shot=shot,
                activity=activities[shot],
                num_people=num_shown + (extras[shot] if labelled else 0),
            )
            planned.append(
                PlannedImage(
                    name=names[len(planned)],
                    train=kind != "test",
                    num_annotated=num_shown if labelled else 0,
                    video=num_videos if filmed[shot] else None,
                    second=round(start + 1.5 * number, 2),
                    habits=image_habits,
                    scene=scene,
                )
            )
        num_videos += filmed[shot]
    return [planned[i] for i in rng.permutation(num_images)], num_videos


def _plan_shots(rng: np.random.Generator, num_people: int) -> list[tuple[str, list[int]]]:
    """Return shots as (kind, number of people in each frame), with `num_people` in total."""
    shots: list[tuple[str, list[int]]] = []
    left = num_people
    while left > 0:
        people = min(int(rng.choice(list(_PEOPLE_SHARES), p=list(_PEOPLE_SHARES.values()))), left)
        num_frames = min(int(rng.choice(list(_FRAMES_SHARES), p=list(_FRAMES_SHARES.values()))), left // people)
        shots.append(("people", [people] * num_frames))
        left -= people * num_frames
    return shots


def _deal_habits(rng: np.random.Generator, count: int) -> list[ImageHabits]:
    fields: dict[tuple[str, ...], float] = {
        (): 0.95,
        PART_OCCLUSION + ROTATIONS: 0.04,
        ROTATIONS: 0.008,
        PART_OCCLUSION: 0.002,
    }
    hands = zip(
        deal(rng, fields, count),
        deal(rng, {False: 0.93, True: 0.07}, count),
        deal(rng, {"numbers": 0.92, "characters": 0.06, "absent": 0.02}, count),
        deal(rng, {True: 0.8, False: 0.2}, count),
        deal(rng, {"nothing": 0.97, "head rectangle": 0.015, "place": 0.015}, count),
        strict=True,
    )
    return [ImageHabits("people", *hand) for hand in hands]
