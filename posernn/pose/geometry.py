"""Computes boxes, head sizes and the transforms between image and crop. All functions are pure.

Convention:
    - `_image`: px of the original image; `_crop`: px of the crop; `_unit`: crop px divided by the crop's side.
    - 0-based, pixel centres at integers: the image spans [-0.5, width - 0.5].
    - xy order; boxes are xyxy and end at their edges (not at the centres of their last pixels).
    - An affine is (2, 3): `[x, y] = affine @ [u, v, 1]`.
"""

import numpy as np
from jaxtyping import Bool, Float

from posernn.pose.skeleton import Joint

PERSON_CENTER_SHIFT = 15.0
"""MPII's centre is on the chest: person boxes are centred this many px below it, at scale 1. Source: HRNet."""
PERSON_HEIGHT = 200.0
"""A person's height, px at scale 1."""
PERSON_BOX_SIDE = 1.25 * PERSON_HEIGHT
"""Side of a person box, px at scale 1."""
HEAD_SHARE = 0.6
"""Head size as a share of the head box's diagonal. Source: evalMPII util_get_head_size.m (SC_BIAS)."""


def head_size(head_box_image: Float[np.ndarray, "*batch 4"]) -> Float[np.ndarray, "*batch"]:
    """Return the head size, the unit of PCKh: 0.6 x the diagonal of the head box.

    Args:
        head_box_image: (..., 4) xyxy, image px.
    Returns:
        (...,) image px; NaN where the box is.
    Source: evalMPII util_get_head_size.m.
    """
    extent = head_box_image[..., 2:].astype(np.float64) - head_box_image[..., :2]
    return HEAD_SHARE * np.hypot(extent[..., 0], extent[..., 1])


def torso_size(
    joints_image: Float[np.ndarray, "N 16 2"], annotated: Bool[np.ndarray, "N 16"]
) -> Float[np.ndarray, "N"]:
    """Return the torso size, the unit of PCK where nobody has a head box: the distance from upper neck to pelvis.

    The midpoint of the shoulders stands in for an upper neck that is not annotated, and that of the hips for a pelvis.

    Args:
        joints_image: image px, (N, 16, 2) xy.
        annotated: (N, 16).
    Returns:
        (N,) image px; NaN where one of the ends is not known.
    """
    joints = np.where(annotated[..., None], joints_image.astype(np.float64), np.nan)

    def end(joint: Joint, *sides: Joint) -> np.ndarray:
        return np.where(annotated[:, [joint]], joints[:, joint], joints[:, sides].mean(axis=1))  # (N, 2)

    upper = end(Joint.UPPER_NECK, Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER)
    return np.linalg.norm(upper - end(Joint.PELVIS, Joint.RIGHT_HIP, Joint.LEFT_HIP), axis=-1)


def joints_box(
    joints_image: Float[np.ndarray, "16 2"],
    annotated: Bool[np.ndarray, "16"],
    *,
    padding: float,
    size: tuple[int, int],
) -> Float[np.ndarray, "4"]:
    """Return the paper's box: the bounding box of the annotated joints, padded on each side and clipped to the image.

    Args:
        joints_image: image px, (16, 2) xy.
        annotated: (16,), at least one True.
        padding: image px on each side.
        size: width and height of the image, px.
    Returns:
        (4,) xyxy, image px. Empty or reversed if all joints lie far outside of the image.
    Raises:
        ValueError: no joint is annotated.
    Source: Chen & Low, section 3.
    """
    if not annotated.any():
        raise ValueError("joints_box: expected at least one annotated joint, got none")
    known = joints_image[annotated]  # (K, 2)
    low = np.maximum(known.min(axis=0) - padding, -0.5)
    high = np.minimum(known.max(axis=0) + padding, np.asarray(size) - 0.5)
    return np.concatenate([low, high]).astype(np.float64)


def person_box(center_image: Float[np.ndarray, "2"], scale: float) -> Float[np.ndarray, "4"]:
    """Return the box that published results use: a square of 1.25 person heights at MPII's centre, not clipped.

    Args:
        center_image: image px, (2,) xy.
        scale: person height / 200 px.
    Returns:
        (4,) xyxy, image px.
    Source: Newell et al. 2016; HRNet `lib/dataset/mpii.py`.
    """
    center = center_image.astype(np.float64) + np.array([0.0, PERSON_CENTER_SHIFT * scale])
    half = PERSON_BOX_SIDE * scale / 2
    return np.concatenate([center - half, center + half])


def center_and_scale(
    box_image: Float[np.ndarray, "*batch 4"],
) -> tuple[Float[np.ndarray, "*batch 2"], Float[np.ndarray, "*batch"]]:
    """Return MPII's centre and scale for a box around a person: `person_box` of them has the centre of the box.

    Args:
        box_image: (..., 4) xyxy, image px.
    Returns:
        centre, (..., 2) xy, image px; scale, (...,), the longer side / 200 px. NaN where the box is NaN or a point.
    """
    extent = box_image[..., 2:] - box_image[..., :2]
    scale = extent.max(axis=-1) / PERSON_HEIGHT
    scale = np.where(scale > 0, scale, np.nan)
    center = (box_image[..., :2] + box_image[..., 2:]) / 2
    center = center - scale[..., None] * np.array([0.0, PERSON_CENTER_SHIFT])
    return center, scale


def height_box(
    center_image: Float[np.ndarray, "*batch 2"], scale: Float[np.ndarray, "*batch"]
) -> Float[np.ndarray, "*batch 4"]:
    """Return the square of a person's height whose `center_and_scale` these are.

    Args:
        center_image: image px, (..., 2) xy.
        scale: (...,), person height / 200 px.
    Returns:
        (..., 4) xyxy, image px.
    """
    center = center_image + scale[..., None] * np.array([0.0, PERSON_CENTER_SHIFT])
    half = scale[..., None] * PERSON_HEIGHT / 2
    return np.concatenate([center - half, center + half], axis=-1)


def square_box(box_image: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
    """Return the smallest square that contains a box, with the same centre: a square crop of it keeps the aspect.

    Args:
        box_image: (4,) xyxy, image px.
    Returns:
        (4,) xyxy, image px.
    """
    center = (box_image[:2] + box_image[2:]) / 2
    half = (box_image[2:] - box_image[:2]).max() / 2
    return np.concatenate([center - half, center + half])


def grow(box_image: Float[np.ndarray, "4"], factor: float) -> Float[np.ndarray, "4"]:
    """Return a box that is `factor` times as wide and high, with the same centre: (4,) xyxy, image px."""
    center, half = (box_image[:2] + box_image[2:]) / 2, (box_image[2:] - box_image[:2]) / 2
    return box_image if factor == 1 else np.concatenate([center - factor * half, center + factor * half])


def crop_to_image(box_image: Float[np.ndarray, "4"], side: int) -> Float[np.ndarray, "2 3"]:
    """Return the affine from a crop of `side` x `side` px to the image.

    The edges of the box fall on those of the crop, half a pixel outside of the centres of its first and last pixels.

    Args:
        box_image: (4,) xyxy, image px.
        side: crop px.
    Returns:
        (2, 3) affine, crop px -> image px.
    Raises:
        ValueError: the box has no area.
    """
    extent = box_image[2:] - box_image[:2]  # (2,)
    if not (extent > 0).all():
        raise ValueError(f"crop_to_image: expected a box with an area, got {box_image.tolist()}")
    step = extent / side  # image px per crop px
    return np.array([[step[0], 0.0, box_image[0] + 0.5 * step[0]], [0.0, step[1], box_image[1] + 0.5 * step[1]]])


def invert(affine: Float[np.ndarray, "*batch 2 3"]) -> Float[np.ndarray, "*batch 2 3"]:
    """Return the inverse affine.

    Raises:
        ValueError: the affine is singular.
    """
    linear, shift = affine[..., :2], affine[..., 2:]
    try:
        back = np.linalg.inv(linear)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"invert: expected an invertible affine, got {affine.tolist()}") from error
    return np.concatenate([back, -back @ shift], axis=-1)


def transform(
    points: Float[np.ndarray, "*batch K 2"], affine: Float[np.ndarray, "*batch 2 3"]
) -> Float[np.ndarray, "*batch K 2"]:
    """Apply an affine to points; NaN stays NaN.

    Args:
        points: (..., K, 2) xy in the affine's source frame.
        affine: (..., 2, 3).
    Returns:
        (..., K, 2) xy in the affine's target frame, float64.
    """
    return points @ np.swapaxes(affine[..., :2], -1, -2) + affine[..., None, :, 2]
