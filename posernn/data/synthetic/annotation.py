"""Derives the ground truth of a rendered person as MPII's annotators would give it. All px are 0-based here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from posernn.data.synthetic.body import Body, PosedBody, standing_height
from posernn.data.synthetic.camera import Camera
from posernn.data.synthetic.rendering import Canvas
from posernn.pose.skeleton import NUM_JOINTS, Joint

HEAD_SHARE = 0.8  # |upper neck - head top| over the diagonal of the head rectangle, as in MPII

# Largest depth of a joint below the person's own skin and clothes, in body heights. A surface of the same person that
# is farther in front of the joint belongs to another body part and occludes it.
_JOINT_DEPTH = dict.fromkeys(Joint, 0.06) | {
    Joint.PELVIS: 0.13,
    Joint.THORAX: 0.10,
    Joint.UPPER_NECK: 0.09,
    Joint.HEAD_TOP: 0.10,
    Joint.RIGHT_HIP: 0.11,
    Joint.LEFT_HIP: 0.11,
    Joint.RIGHT_SHOULDER: 0.08,
    Joint.LEFT_SHOULDER: 0.08,
}


@dataclass(frozen=True, kw_only=True)
class RenderedPerson:
    """Ground truth of one person in one picture, in image px: 0-based, pixel centres at integers."""

    joints_image: Float[np.ndarray, "J 2"]
    annotated: Bool[np.ndarray, "J"]
    visible: Bool[np.ndarray, "J"]
    head_box_image: Float[np.ndarray, "4"]  # xyxy
    center_image: Float[np.ndarray, "2"]
    scale: float  # standing height, px, over 200
    owner: int  # the person's value in Canvas.owner


def annotate(
    canvas: Canvas, camera: Camera, posed: PosedBody, body: Body, owner: int, rng: np.random.Generator
) -> RenderedPerson:
    """Return joints, visibility, head rectangle, centre and scale of a drawn person.

    Joints of most people are rounded to whole pixels, as in MPII. Joints outside the picture are not annotated, except
    for some just beyond its border.
    """
    seen = camera.to_camera(posed.joints)
    joints = camera.project(posed.joints)
    scale = standing_height(body) * camera.focal / float(seen[Joint.PELVIS, 2]) / 200
    if rng.random() < 0.85:
        joints = np.round(joints)
    nearest = np.clip(np.round(joints), 0, [camera.width - 1, camera.height - 1])
    beyond = np.abs(joints - nearest).max(axis=1)
    inside = beyond < 0.51
    annotated = inside | ((beyond < 10 * scale) & (rng.random(NUM_JOINTS) < 0.5))

    columns, rows = nearest.astype(int).T
    in_front = seen[:, 2] - canvas.depth[rows, columns]
    depth = np.array([_JOINT_DEPTH[joint] for joint in Joint]) * body.height
    own = canvas.owner[rows, columns] == owner
    visible = inside & (in_front < np.where(own, depth, 0.02))

    centre = joints[annotated if annotated.any() else slice(None)].mean(axis=0) + rng.normal(0, 7 * scale, 2)
    return RenderedPerson(
        joints_image=joints,
        annotated=annotated,
        visible=visible,
        scale=scale,
        owner=owner,
        head_box_image=head_box(joints[Joint.UPPER_NECK], joints[Joint.HEAD_TOP]),
        center_image=np.round(centre),
    )


def head_box(upper_neck: Float[np.ndarray, "2"], head_top: Float[np.ndarray, "2"]) -> Float[np.ndarray, "4"]:
    """Return the head rectangle (xyxy) of two joints: centred between them, 3:4 for an upright head."""
    axis = head_top - upper_neck
    length = float(np.hypot(*axis))
    across, along = np.abs(axis) / length if length else (0.0, 1.0)
    width, height = 0.6 * along + 0.8 * across, 0.8 * along + 0.6 * across
    half = np.array([width, height]) / np.hypot(width, height) * length / HEAD_SHARE / 2
    middle = (upper_neck + head_top) / 2
    return np.concatenate([middle - half, middle + half])
