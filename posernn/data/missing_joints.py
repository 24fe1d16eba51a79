"""Finds the places at which tools write joints that are not annotated, such as (0, 0), instead of leaving them out."""

import numpy as np
from jaxtyping import Bool, Float

PLACES = ((0.0, 0.0), (-1.0, -1.0))
"""Pixels that stand for a missing joint wherever they occur. No joint of MPII has them."""
MOST_AT_ONE_PLACE = 4
"""Joints of one person that may hide each other: in MPII, at most four of a person lie at exactly one place."""


def stand_ins(joints_file: Float[np.ndarray, "P 16 2"]) -> Bool[np.ndarray, "P 16"]:
    """Find joints that lie at a place that stands for "not annotated".

    Such a place is one of `PLACES`, or one that several joints of one person share exactly, if it lies at or beyond the
    upper or left edge of the image, if more than `MOST_AT_ONE_PLACE` joints share it, or if several joints of another
    person lie there, too. Other shared places are true ones, where joints hide each other: MPII has 172.

    Args:
        joints_file: xy in the pixels of the file, NaN where no joint is given.
    """
    found = np.zeros(joints_file.shape[:2], dtype=bool)
    person, joint = np.nonzero(np.isfinite(joints_file).all(axis=-1))  # (K,) of all joints that are given
    xy = joints_file[person, joint]  # (K, 2)
    places, place = np.unique(xy[:, 0] + 1j * xy[:, 1], return_inverse=True)
    _, of_person, num_joints = np.unique(person * len(places) + place, return_inverse=True, return_counts=True)
    shared = num_joints[of_person] > 1
    num_people = np.bincount(place[shared], minlength=len(places))  # joints at the place, of people who share it
    stands_in = shared & (
        (xy <= 0).any(axis=1)
        | (num_joints[of_person] > MOST_AT_ONE_PLACE)
        | (num_people[place] > num_joints[of_person])
    )
    for pixel in PLACES:
        stands_in |= (xy == pixel).all(axis=1)
    found[person[stands_in], joint[stands_in]] = True
    return found


def notes(found: Bool[np.ndarray, "P 16"]) -> list[str]:
    """Say how many joints `stand_ins` found; nothing if there are none."""
    if not found.any():
        return []
    return [
        f"{found.sum():,} joints of {found.any(axis=1).sum():,} people lie at (0, 0), (-1, -1) or another place that "
        "several joints of a person share exactly: taken as not annotated"
    ]
