"""Defines the scores of predicted joints: PCKh (per joint, groups, Total, curve, AUC), RMSE, bootstrap intervals.

Convention:
    - `errors` are (N, 16) distances in head sizes. NaN: not scored. Infinite: scored, but the prediction is not finite.
    - A joint is scored when it is annotated and the person has a head size; occluded joints are scored, too.
    - Scores are fractions in [0, 1].

Axes: N people, 16 joints in skeleton order, T thresholds.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from posernn.pose.skeleton import PCKH_GROUPS, SCORED_JOINTS, Joint

THRESHOLDS: Float[np.ndarray, "51"] = np.arange(51) / 100
"""0, 0.01 ... 0.5 head sizes. Divided, not multiplied: 35 * 0.01 != 0.35 in floating point."""

HeadConvention = Literal["official", "head_top"]

HEAD_CONVENTIONS: dict[HeadConvention, tuple[Joint, ...]] = {
    "official": PCKH_GROUPS["Head"],
    "head_top": (Joint.HEAD_TOP,),
}
"""Joints of the group "Head". official: evalMPII; head_top: HRNet, SimpleBaselines, mmpose."""


def distances(
    pred: Float[np.ndarray, "N 16 2"],
    truth: Float[np.ndarray, "N 16 2"],
    annotated: Bool[np.ndarray, "N 16"],
) -> Float[np.ndarray, "N 16"]:
    """Compute the Euclidean distance of each joint from the truth.

    Args:
        pred: predicted joints in any frame, (N, 16, 2) xy.
        truth: true joints in the same frame.
        annotated: (N, 16).
    Returns:
        (N, 16) in the unit of the frame. NaN: not annotated. Infinite: the prediction is not finite.
    Raises:
        ValueError: an annotated joint has no finite truth.
    """
    if not np.isfinite(truth[annotated]).all():
        raise ValueError("distances: expected finite truth for every annotated joint, got NaN or infinity")
    with np.errstate(invalid="ignore"):
        offset = pred.astype(np.float64) - truth
        distance = np.hypot(offset[..., 0], offset[..., 1])
    # Comparisons with NaN are false: as NaN, such a prediction would count as not scored instead of wrong.
    distance = np.where(np.isfinite(pred).all(axis=-1), distance, np.inf)
    return np.where(annotated, distance, np.nan)


def normalized_errors(
    pred_image: Float[np.ndarray, "N 16 2"],
    joints_image: Float[np.ndarray, "N 16 2"],
    annotated: Bool[np.ndarray, "N 16"],
    head_size: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N 16"]:
    """Compute distances in head sizes, from which every PCKh below is computed.

    Args:
        pred_image: predicted joints, image px, (N, 16, 2) xy.
        joints_image: true joints, image px.
        annotated: (N, 16).
        head_size: (N,), image px; people without a head size (NaN, 0) are not scored.
    Returns:
        (N, 16) head sizes; NaN: not scored; infinite (wrong at any threshold): the prediction is not finite.
    Raises:
        ValueError: an annotated joint has no finite truth.
    Source: evalMPII, computePCK.m.
    """
    measured = np.isfinite(head_size) & (head_size > 0)  # (N,)
    unit = np.where(measured, head_size, 1.0).astype(np.float64)[:, None]
    errors = distances(pred_image, joints_image, annotated) / unit
    return np.where(measured[:, None], errors, np.nan)


def pckh(errors: Float[np.ndarray, "N 16"], threshold: float = 0.5) -> Float[np.ndarray, "16"]:
    """Compute PCKh: for each joint, the fraction of people with an error of at most `threshold` head sizes.

    Args:
        errors: (N, 16), from `normalized_errors`.
        threshold: head sizes; an error equal to the threshold is correct.
    Returns:
        (16,) fractions in [0, 1]; NaN for a joint that is scored in nobody.
    Source: Andriluka et al. 2014; evalMPII computePCK.m.
    """
    correct = (errors <= threshold).sum(axis=0)
    scored = (~np.isnan(errors)).sum(axis=0)
    return np.where(scored > 0, correct / np.maximum(scored, 1), np.nan)


def pckh_total(errors: Float[np.ndarray, "N 16"], threshold: float = 0.5) -> float:
    """Total PCKh: the fraction of correct joints over all people and joints but pelvis and thorax; NaN: none scored."""
    correct, scored = _count_per_person(errors, threshold)
    return float(correct.sum() / scored.sum()) if scored.any() else float("nan")


def pckh_groups(
    errors: Float[np.ndarray, "N 16"], threshold: float = 0.5, *, head: HeadConvention = "official"
) -> dict[str, float]:
    """Compute PCKh of the seven groups (each the mean over its joints) and Total.

    Args:
        errors: (N, 16), from `normalized_errors`.
        threshold: head sizes.
        head: a key of HEAD_CONVENTIONS: the joints of "Head"; Total does not depend on it.
    Returns:
        Fractions in [0, 1] by group, in the order of published tables; NaN where no joint is scored.
    Source: evalMPII computePCK.m.
    """
    per_joint = pckh(errors, threshold)
    groups = PCKH_GROUPS | {"Head": HEAD_CONVENTIONS[head]}
    return {name: _mean_of_known(per_joint[list(joints)]) for name, joints in groups.items()} | {
        "Total": pckh_total(errors, threshold)
    }


def pckh_curve(
    errors: Float[np.ndarray, "N 16"], thresholds: Float[np.ndarray, "T"] = THRESHOLDS
) -> Float[np.ndarray, "T"]:
    """Compute Total PCKh at each threshold.

    Args:
        errors: (N, 16), from `normalized_errors`.
        thresholds: (T,) head sizes.
    Returns:
        (T,) fractions in [0, 1]; NaN when no joint is scored.
    """
    scored = errors[:, SCORED_JOINTS]
    ranked = np.sort(scored[~np.isnan(scored)])
    if ranked.size == 0:
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(ranked, thresholds, side="right") / ranked.size


def area_under_curve(curve: Float[np.ndarray, "T"], thresholds: Float[np.ndarray, "T"] = THRESHOLDS) -> float:
    """Area under a PCKh curve (AUC) by the trapezoidal rule, divided by the range of thresholds; in [0, 1]."""
    return float(np.trapezoid(curve, thresholds) / (thresholds[-1] - thresholds[0]))


def rmse(
    pred: Float[np.ndarray, "N 16 2"],
    truth: Float[np.ndarray, "N 16 2"],
    annotated: Bool[np.ndarray, "N 16"],
) -> float:
    """Compute the RMSE: root of the mean squared Euclidean distance over all annotated joints, pelvis and thorax too.

    The mean is over joints, not over coordinates.

    Args:
        pred: predicted joints in any frame, (N, 16, 2) xy.
        truth: true joints in the same frame.
        annotated: (N, 16).
    Returns:
        In the unit of the frame; infinite when a prediction is not finite, NaN when no joint is annotated.
    Raises:
        ValueError: an annotated joint has no finite truth.
    """
    known = distances(pred, truth, annotated)[annotated]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")


def num_without_score(errors: Float[np.ndarray, "N 16"]) -> int:
    """Count the people without a scored joint: no PCKh depends on them."""
    return int((_count_per_person(errors, 0.0)[1] == 0).sum())


class Difference(NamedTuple):
    """A difference of two scores with its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap_difference(
    errors: Float[np.ndarray, "N 16"],
    other_errors: Float[np.ndarray, "N 16"],
    threshold: float = 0.5,
    *,
    draws: int,
    seed: int,
    confidence: float = 0.95,
) -> Difference:
    """Subtract the Total PCKh of two predictions for the same people, with a paired bootstrap interval.

    People are resampled, not joints: the errors of one person's joints are correlated. A resample depends on a
    person only through (joints gained, joints scored), so the counts of these pairs are drawn from a multinomial:
    the same distribution as drawing N people, with a few hundred numbers instead of N.

    Args:
        errors: (N, 16), from `normalized_errors`.
        other_errors: (N, 16), of the same people; their score is subtracted.
        threshold: head sizes.
        draws: number of bootstrap resamples.
        seed: seed of the resampling.
        confidence: coverage of the interval.
    Returns:
        Fractions; NaN when no joint is scored.
    Raises:
        ValueError: the two are not scored on the same joints.
    Source: Efron & Tibshirani 1993, chapter 13 (percentile interval).
    """
    if not np.array_equal(np.isnan(errors), np.isnan(other_errors)):
        raise ValueError("bootstrap_difference: expected both scored on the same joints, got different ones")
    correct, scored = _count_per_person(errors, threshold)
    gained = correct - _count_per_person(other_errors, threshold)[0]
    taking_part = scored > 0
    num_people = int(taking_part.sum())
    if num_people == 0:
        return Difference(float("nan"), float("nan"), float("nan"))
    pairs, times = np.unique(np.stack([gained, scored])[:, taking_part], axis=1, return_counts=True)  # (2, K)
    counts = np.random.default_rng(seed).multinomial(num_people, times / num_people, size=draws)
    drawn_gained, drawn_scored = pairs @ counts.T  # (draws,) each
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn_gained / drawn_scored, [tail, 1 - tail])
    return Difference(float(gained.sum() / scored.sum()), float(low), float(high))


def _count_per_person(errors: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Correct and scored joints of each person, (N,) each, without pelvis and thorax."""
    scored = errors[:, SCORED_JOINTS]
    return (scored <= threshold).sum(axis=1), (~np.isnan(scored)).sum(axis=1)


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
