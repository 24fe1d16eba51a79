"""Scores of whole poses, which depend on several joints at once.

Axes: N people, 16 joints in skeleton order, L limbs between scored joints.
"""

import numpy as np
from jaxtyping import Bool, Float

from posernn.evaluation.metrics import SCORED_JOINTS, distances
from posernn.pose.skeleton import FLIP_ORDER, FLIP_PAIRS, LIMBS, Joint

BODY_LIMBS = (
    *((one, other) for one, other in LIMBS if {one, other} <= set(SCORED_JOINTS)),
    (Joint.UPPER_NECK, Joint.RIGHT_SHOULDER),
    (Joint.UPPER_NECK, Joint.LEFT_SHOULDER),
    (Joint.RIGHT_SHOULDER, Joint.RIGHT_HIP),
    (Joint.LEFT_SHOULDER, Joint.LEFT_HIP),
)
"""Limbs between scored joints: those of the skeleton without pelvis and thorax, and the four sides of the torso."""

POSSIBLE = (0.005, 0.995)
"""Quantiles of the training people's limb lengths; a predicted limb beyond them counts as impossible."""


def all_right(errors: Float[np.ndarray, "N 16"], threshold: float = 0.5) -> Float[np.ndarray, "N"]:
    """Find the people all of whose scored joints are correct: 1 or 0; NaN where no joint is scored.

    Args:
        errors: (N, 16), from `metrics.normalized_errors`.
        threshold: head sizes.
    """
    scored = errors[:, SCORED_JOINTS]
    counts = (~np.isnan(scored)).sum(axis=1)
    right = (scored <= threshold).sum(axis=1)
    return np.where(counts > 0, right == counts, np.nan)


def limbs_right(
    pred: Float[np.ndarray, "N 16 2"], truth: Float[np.ndarray, "N 16 2"], annotated: Bool[np.ndarray, "N 16"]
) -> Float[np.ndarray, "N L"]:
    """Compute PCP for each limb: 1 where both ends are within half of its length; NaN where an end is not annotated.

    Source: Ferrari et al. 2008, in the strict form of Andriluka et al. 2014.
    """
    distance = distances(pred, truth, annotated)  # (N, 16)
    one, other = np.array(BODY_LIMBS).T
    with np.errstate(invalid="ignore"):
        length = np.hypot(*np.moveaxis(truth[:, one] - truth[:, other], 2, 0))  # (N, L)
        right = np.maximum(distance[:, one], distance[:, other]) <= length / 2
    return np.where(annotated[:, one] & annotated[:, other], right, np.nan)


def swapped(
    errors: Float[np.ndarray, "N 16"], mirrored_errors: Float[np.ndarray, "N 16"], threshold: float = 0.5
) -> Float[np.ndarray, "N K"]:
    """Find pairs whose sides are confused: both joints are right once they exchange names, and not before.

    Args:
        errors: (N, 16), from `metrics.normalized_errors`.
        mirrored_errors: of the same predictions in FLIP_ORDER; see `mirrored`.
        threshold: head sizes.

    Returns:
        (N, 6): 1, 0, or NaN where one of the pair is not scored.
    """
    right, left = np.array(FLIP_PAIRS).T
    before = np.maximum(errors[:, right], errors[:, left])  # NaN where either is
    after = np.maximum(mirrored_errors[:, right], mirrored_errors[:, left])
    return np.where(np.isnan(before), np.nan, (before > threshold) & (after <= threshold))


def mirrored(pred: Float[np.ndarray, "N 16 2"]) -> Float[np.ndarray, "N 16 2"]:
    """Exchange the names of right and left joints."""
    return pred[:, FLIP_ORDER]


def limb_lengths(joints: Float[np.ndarray, "N 16 2"], head_size: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N L"]:
    """Compute limb lengths in head sizes; NaN where an end is unknown."""
    one, other = np.array(BODY_LIMBS).T
    return np.hypot(*np.moveaxis(joints[:, one] - joints[:, other], 2, 0)) / head_size[:, None]


def impossible(
    pred: Float[np.ndarray, "N 16 2"], head_size: Float[np.ndarray, "N"], known_lengths: Float[np.ndarray, "M L"]
) -> Float[np.ndarray, "N L"]:
    """Find limbs that are longer or shorter than POSSIBLE: 1 or 0; NaN: the person has no head size.

    Args:
        pred: predicted joints, image px.
        head_size: image px.
        known_lengths: `limb_lengths` of the training people.
    """
    low, high = np.nanquantile(known_lengths, POSSIBLE, axis=0)  # (L,) each
    lengths = limb_lengths(pred, head_size)
    return np.where(np.isnan(lengths), np.nan, (lengths < low) | (lengths > high))
