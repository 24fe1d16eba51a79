"""Compares a model's confidence in its joints with the share that is correct."""

import numpy as np
from jaxtyping import Float

from posernn.evaluation.metrics import SCORED_JOINTS

BINS = 10


def reliability(
    confidence: Float[np.ndarray, "N 16"], errors: Float[np.ndarray, "N 16"], threshold: float
) -> list[tuple[float, float]]:
    """Group the scored joints by confidence, and compute the share of correct joints in each group.

    Args:
        confidence: (N, 16) in [0, 1].
        errors: (N, 16), sizes of head or torso; NaN where not scored.
        threshold: largest error of a correct joint.
    Returns:
        Mean confidence and share of correct joints, for each of BINS equal ranges of confidence that has joints.
    """
    return [(sure, correct) for sure, correct, _ in _bins(confidence, errors, threshold)]


def calibration_error(
    confidence: Float[np.ndarray, "N 16"], errors: Float[np.ndarray, "N 16"], threshold: float
) -> float:
    """Compute the expected calibration error: the mean distance of `reliability`'s two values over the scored joints.

    Source: Guo et al. 2017, equation 3. Arguments as in `reliability`.

    Returns:
        In [0, 1]; NaN where no joint is scored.
    """
    bins = np.array(_bins(confidence, errors, threshold)).reshape(-1, 3)  # (bins, 3)
    num = bins[:, 2].sum()
    return float(np.abs(bins[:, 0] - bins[:, 1]) @ bins[:, 2] / num) if num else float("nan")


def _bins(
    confidence: Float[np.ndarray, "N 16"], errors: Float[np.ndarray, "N 16"], threshold: float
) -> list[tuple[float, float, int]]:
    """Return mean confidence, share of correct joints and number of joints of each bin that has some."""
    sure, distance = confidence[:, SCORED_JOINTS], errors[:, SCORED_JOINTS]
    scored = ~np.isnan(distance)
    sure, correct = sure[scored], distance[scored] <= threshold
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    members = [bins == i for i in range(BINS)]
    return [(float(sure[some].mean()), float(correct[some].mean()), int(some.sum())) for some in members if some.any()]
