"""Measures whether a model uses the image.

A model that ignores the image predicts nearly the same pose for everybody: its predictions spread little, it scores
as well on the crops of other people, and it is no better than the constant poses. The paper suspects this of its LSTM.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from posernn.evaluation import metrics


def spread_ratio(
    pred_crop: Float[np.ndarray, "N 16 2"],
    joints_crop: Float[np.ndarray, "N 16 2"],
    annotated: Bool[np.ndarray, "N 16"],
) -> Float[np.ndarray, "16"]:
    """Divide the spread of the predictions by the spread of the truth: 0 for a constant pose, about 1 for a good model.

    Spread is the standard deviation over people, of x and y together.

    Args:
        pred_crop: predicted joints, crop px, (N, 16, 2) xy.
        joints_crop: true joints, crop px.
        annotated: (N, 16); a joint's ratio is computed over the people in whom it is annotated.
    Returns:
        (16,); NaN where a joint is annotated in fewer than two people, or at the same position in all of them.
        Predictions that are not finite are left out.
    """
    ratio = np.full(joints_crop.shape[1], np.nan)
    for joint in range(joints_crop.shape[1]):
        known = annotated[:, joint] & np.isfinite(pred_crop[:, joint]).all(axis=-1)
        if known.sum() >= 2 and (truth := _spread(joints_crop[known, joint])) > 0:
            ratio[joint] = _spread(pred_crop[known, joint]) / truth
    return ratio


def somebody_else(num_people: int, seed: int) -> Int[np.ndarray, "N"]:
    """Draw another person for each person; each person is drawn exactly once.

    Args:
        num_people: at least 2.
        seed: seed of the random order.
    Returns:
        (num_people,) indices: one cycle through all people in random order.
    Raises:
        ValueError: fewer than 2 people.
    """
    if num_people < 2:
        raise ValueError(f"somebody_else: expected at least 2 people, got {num_people}")
    order = np.random.default_rng(seed).permutation(num_people)
    other = np.empty(num_people, dtype=np.int64)
    other[order] = np.roll(order, 1)
    return other


class JointErrors(NamedTuple):
    """Errors of each joint over the people in whom it is scored. (16,) each; NaN where nobody is scored."""

    num_scored: Int[np.ndarray, "16"]
    median: Float[np.ndarray, "16"]  # head sizes
    mean: Float[np.ndarray, "16"]  # head sizes; infinite when one prediction is not finite
    pckh: Float[np.ndarray, "16"]  # fraction


def joint_errors(errors: Float[np.ndarray, "N 16"], threshold: float = 0.5) -> JointErrors:
    """Summarise the errors of each joint. In decode order, they show whether errors grow from step to step.

    Joints differ in difficulty: compare a step with a model that predicts the same joint at once, not with the
    previous step.

    Args:
        errors: (N, 16), from `metrics.normalized_errors`.
        threshold: of `pckh`.
    """
    known = ~np.isnan(errors)
    median, mean = np.full((2, errors.shape[1]), np.nan)
    for joint in np.flatnonzero(known.any(axis=0)):
        of_joint = errors[known[:, joint], joint]
        median[joint], mean[joint] = _median(of_joint), of_joint.mean()
    return JointErrors(known.sum(axis=0), median, mean, metrics.pckh(errors, threshold))


def _spread(points: np.ndarray) -> float:
    """Standard deviation of (K, 2) points around their mean."""
    return float(np.sqrt(points.astype(np.float64).var(axis=0).sum()))


def _median(values: np.ndarray) -> float:
    """The lower median: the mean of the middle two would be infinite where one of them is."""
    return float(np.sort(values)[(len(values) - 1) // 2])
