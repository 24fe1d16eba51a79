"""Matches the names that data sets and labelling tools give to keypoints to MPII's 16 joints."""

import re
from collections.abc import Sequence

from posernn.pose.skeleton import Joint
from posernn.runtime.errors import InputError

KNOWN = ", ".join(joint.name.lower() for joint in Joint)

_MIDDLE = {
    Joint.PELVIS: ("pelvis", "midhip", "hipcenter", "centerhip", "hip", "root"),
    Joint.THORAX: ("thorax", "midshoulder", "shouldercenter", "centershoulder"),
    Joint.UPPER_NECK: ("upperneck", "neck", "headbottom"),  # LSP, AI Challenger and CrowdPose; PoseTrack
    Joint.HEAD_TOP: ("headtop", "tophead", "topofhead"),
}


def _spellings() -> dict[str, Joint]:
    """Return all known names, in lower-case letters only."""
    found = {name: joint for joint, names in _MIDDLE.items() for name in names}
    for joint in set(Joint) - _MIDDLE.keys():
        side, part = joint.name.lower().split("_")
        for of_side in (side, side[0]):
            found |= {of_side + part: joint, part + of_side: joint}
    return found


_SPELLINGS = _spellings()


def joint_of(name: str) -> Joint | None:
    """Return the joint that a keypoint's name means: left_hip, "Left hip", hip-l, LHip ...; None if it is not known."""
    return _SPELLINGS.get(re.sub("[^a-z]", "", name.lower()))


def match(names: Sequence[str], where: str) -> dict[int, Joint]:
    """Match the names of a category to the joints.

    Args:
        names: of its keypoints.
        where: file and category, for the message.
    Returns:
        position among the names -> joint; keypoints that are none of the 16 joints are left out.
    Raises:
        InputError: no name is known, or two mean the same joint.
    """
    found = {place: joint for place, name in enumerate(names) if (joint := joint_of(name)) is not None}
    if not found:
        raise InputError(
            f"{where}: expected names of joints, such as {KNOWN}, got {', '.join(names)}; rename the keypoints"
        )
    for joint in set(found.values()):
        same = [names[place] for place, other in found.items() if other == joint]
        if len(same) > 1:
            raise InputError(
                f"{where}: expected one name for the {joint.label}, got {' and '.join(same)}; rename or remove one"
            )
    return found
