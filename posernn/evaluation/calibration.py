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
    sure, distance = confidence[:, SCORED_JOINTS], errors[:, SCORED_JOINTS]
    scored = ~np.isnan(distance)
    sure, correct = sure[scored], distance[scored] <= threshold
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [(float(sure[bins == i].mean()), float(correct[bins == i].mean())) for i in range(BINS) if (bins == i).any()]
