"""Computes the constant poses: predictions that are the same for every person and ignore the image."""

import numpy as np
from jaxtyping import Bool, Float


def mean_pose(
    joints_crop: Float[np.ndarray, "N 16 2"], annotated: Bool[np.ndarray, "N 16"]
) -> Float[np.ndarray, "16 2"]:
    """The mean position of each joint over the people in whom it is annotated: the constant with the lowest RMSE.

    Args:
        joints_crop: joints of the training people, crop px, (N, 16, 2) xy.
        annotated: (N, 16).
    Returns:
        (16, 2) crop px; NaN for a joint that is annotated in nobody.
    """
    return _over_annotated(np.mean, joints_crop, annotated)


def median_pose(
    joints_crop: Float[np.ndarray, "N 16 2"], annotated: Bool[np.ndarray, "N 16"]
) -> Float[np.ndarray, "16 2"]:
    """The median of each coordinate of each joint over the people in whom it is annotated.

    Args:
        joints_crop: joints of the training people, crop px, (N, 16, 2) xy.
        annotated: (N, 16).
    Returns:
        (16, 2) crop px; NaN for a joint that is annotated in nobody.
    """
    return _over_annotated(np.median, joints_crop, annotated)


def _over_annotated(average, joints_crop: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    pose = np.full(joints_crop.shape[1:], np.nan)
    for joint in np.flatnonzero(annotated.any(axis=0)):
        pose[joint] = average(joints_crop[annotated[:, joint], joint].astype(np.float64), axis=0)
    return pose
