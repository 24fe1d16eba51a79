"""Compares a model's confidence in its joints with the share that is correct."""

import numpy as np
from jaxtyping import Float

from posernn.evaluation.metrics import SCORED_JOINTS

BINS = 10


def binned(
    confidence: Float[np.ndarray, "N 16"], errors: Float[np.ndarray, "N 16"], threshold: float
) -> Float[np.ndarray, "10 3"]:
    """Group the scored joints by confidence, in BINS equal ranges; results of several models may be added.

    Args:
        confidence: (N, 16) in [0, 1].
        errors: (N, 16), sizes of head or torso; NaN where not scored.
        threshold: largest error of a correct joint.

    Returns:
        Sum of the confidence, number of correct joints and number of joints of each range.
    """
    sure, distance = confidence[:, SCORED_JOINTS], errors[:, SCORED_JOINTS]
    scored = ~np.isnan(distance)
    sure, correct = sure[scored], distance[scored] <= threshold
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    weights = (sure, correct, np.ones_like(sure))
    return np.stack([np.bincount(bins, weight, BINS) for weight in weights], axis=1)


def reliability(bins: Float[np.ndarray, "10 3"]) -> list[tuple[float, float]]:
    """Return mean confidence and share of correct joints, for each range of confidence that has joints."""
    filled = bins[bins[:, 2] > 0]
    return [(float(sure), float(correct)) for sure, correct in filled[:, :2] / filled[:, 2:]]


def calibration_error(bins: Float[np.ndarray, "10 3"]) -> float:
    """Compute the expected calibration error: the mean distance of `reliability`'s two values over the scored joints.

    Source: Guo et al. 2017, equation 3.

    Returns:
        In [0, 1]; NaN where no joint is scored.
    """
    sure, correct, num = bins.T
    return float(np.abs(sure - correct).sum() / num.sum()) if num.any() else float("nan")
