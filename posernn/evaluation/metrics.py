"""How good predicted joints are: PCKh with its groups, curve and area, RMSE, intervals of differences.

Convention:
    - `errors` are (N, 16) distances in head sizes. NaN: not scored. Infinite: scored, but predicted nowhere.
    - A joint is scored when it is annotated and the person has a head size; occluded ones count.
    - Scores are fractions in [0, 1]; whoever prints them makes them percent.

Axes: N people, 16 joints in skeleton order, T thresholds.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from posernn.pose.skeleton import PCKH_GROUPS, SCORED_JOINTS, Joint

THRESHOLDS: Float[np.ndarray, "51"] = np.arange(51) / 100
"""0, 0.01 ... 0.5 head sizes. Divided, not multiplied: 35 * 0.01 is not the number that 0.35 is."""

HeadConvention = Literal["official", "head_top"]

HEAD_CONVENTIONS: dict[HeadConvention, tuple[Joint, ...]] = {
    "official": PCKH_GROUPS["Head"],
    "head_top": (Joint.HEAD_TOP,),
}
"""What the group "Head" holds. official: evalMPII; head_top: HRNet, SimpleBaselines, mmpose."""


def distances(
    pred: Float[np.ndarray, "N 16 2"],
    truth: Float[np.ndarray, "N 16 2"],
    annotated: Bool[np.ndarray, "N 16"],
) -> Float[np.ndarray, "N 16"]:
    """Euclidean distance of each joint from the truth.

    Args:
        pred: predicted joints in any frame, (N, 16, 2) xy.
        truth: true joints in the same frame.
        annotated: (N, 16).
    Returns:
        (N, 16) in the frame's unit. NaN: not annotated. Infinite: the prediction is not finite.
    Raises:
        ValueError: an annotated joint has no finite truth.
    """
    if not np.isfinite(truth[annotated]).all():
        raise ValueError("distances: expected finite truth for every annotated joint, got NaN or infinity")
    with np.errstate(invalid="ignore"):
        offset = pred.astype(np.float64) - truth
        distance = np.hypot(offset[..., 0], offset[..., 1])
    # A comparison with NaN is false both ways, so a NaN would be neither right nor wrong further down.
    distance = np.where(np.isfinite(pred).all(axis=-1), distance, np.inf)
    return np.where(annotated, distance, np.nan)


def normalized_errors(
    pred_image: Float[np.ndarray, "N 16 2"],
    joints_image: Float[np.ndarray, "N 16 2"],
    annotated: Bool[np.ndarray, "N 16"],
    head_size: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N 16"]:
    """Distances in head sizes: what every PCKh below is computed from.

    Args:
        pred_image: predicted joints, image px, (N, 16, 2) xy.
        joints_image: true joints, image px.
        annotated: (N, 16).
        head_size: (N,), image px; people without one (NaN, 0) are not scored.
    Returns:
        (N, 16) head sizes; NaN: not scored; infinite, so wrong at any threshold: predicted nowhere.
    Raises:
        ValueError: an annotated joint has no finite truth.
    Source: evalMPII, computePCK.m.
    """
    measured = np.isfinite(head_size) & (head_size > 0)  # (N,)
    unit = np.where(measured, head_size, 1.0).astype(np.float64)[:, None]
    errors = distances(pred_image, joints_image, annotated) / unit
    return np.where(measured[:, None], errors, np.nan)


def pckh(errors: Float[np.ndarray, "N 16"], threshold: float = 0.5) -> Float[np.ndarray, "16"]:
    """Fraction of scored joints within `threshold` head sizes of the truth, for each joint.

    Args:
        errors: (N, 16), of `normalized_errors`.
        threshold: head sizes; a joint exactly there is right.
    Returns:
        (16,) fractions in [0, 1]; NaN where nobody is scored.
    Source: Andriluka et al. 2014; evalMPII computePCK.m.
    """
    correct = (errors <= threshold).sum(axis=0)
    scored = (~np.isnan(errors)).sum(axis=0)
    return np.where(scored > 0, correct / np.maximum(scored, 1), np.nan)


def pckh_total(errors: Float[np.ndarray, "N 16"], threshold: float = 0.5) -> float:
    """Fraction right of all scored joints pooled, without pelvis and thorax; NaN when nothing is scored."""
    correct, scored = _count_per_person(errors, threshold)
    return float(correct.sum() / scored.sum()) if scored.any() else float("nan")


def pckh_groups(
    errors: Float[np.ndarray, "N 16"], threshold: float = 0.5, *, head: HeadConvention = "official"
) -> dict[str, float]:
    """PCKh of the seven groups, each the mean of its joints' figures, and of Total.

    Args:
        errors: (N, 16), of `normalized_errors`.
        threshold: head sizes.
        head: what "Head" holds, a key of HEAD_CONVENTIONS; Total is the same in both.
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
    """Total PCKh at each threshold.

    Args:
        errors: (N, 16), of `normalized_errors`.
        thresholds: (T,) head sizes.
    Returns:
        (T,) fractions in [0, 1]; NaN when nothing is scored.
    """
    scored = errors[:, SCORED_JOINTS]
    ranked = np.sort(scored[~np.isnan(scored)])
    if ranked.size == 0:
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(ranked, thresholds, side="right") / ranked.size


def area_under_curve(curve: Float[np.ndarray, "T"], thresholds: Float[np.ndarray, "T"] = THRESHOLDS) -> float:
    """Area under a PCKh curve by the trapezium rule, over the range's width; 1 when all is perfect."""
    return float(np.trapezoid(curve, thresholds) / (thresholds[-1] - thresholds[0]))


def rmse(
    pred: Float[np.ndarray, "N 16 2"],
    truth: Float[np.ndarray, "N 16 2"],
    annotated: Bool[np.ndarray, "N 16"],
) -> float:
    """Root of the mean squared Euclidean distance over all annotated joints, pelvis and thorax among them.

    The mean runs over joints, not coordinates, and the root comes last: a mean distance would be smaller.

    Args:
        pred: predicted joints in any frame, (N, 16, 2) xy.
        truth: true joints in the same frame.
        annotated: (N, 16).
    Returns:
        In the frame's unit; infinite when a prediction is not finite, NaN when nothing is annotated.
    Raises:
        ValueError: an annotated joint has no finite truth.
    """
    known = distances(pred, truth, annotated)[annotated]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")


def num_without_score(errors: Float[np.ndarray, "N 16"]) -> int:
    """How many people have not one scored joint, and so no part in any PCKh."""
    return int((_count_per_person(errors, 0.0)[1] == 0).sum())


class Difference(NamedTuple):
    """A difference of two scores and the interval in which it lies when other people are drawn. Fractions."""

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
    """Total PCKh of one minus that of another on the same people, with its paired bootstrap interval.

    People are resampled, not joints: the joints of one person succeed and fail together. A draw depends on a
    person only through (joints gained, joints scored), so it is enough to draw how often each such pair
    occurs: the same distribution as drawing N people, with a few hundred numbers instead of N.

    Args:
        errors: (N, 16), of `normalized_errors`.
        other_errors: of the same people, subtracted.
        threshold: head sizes.
        draws: resampled sets of people.
        seed: of the draws.
        confidence: share of the draws between low and high; as many lie below as above.
    Returns:
        Fractions; NaN when nobody is scored.
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
    """Right and scored joints of each person, (N,) each, without pelvis and thorax."""
    mine = errors[:, SCORED_JOINTS]
    return (mine <= threshold).sum(axis=1), (~np.isnan(mine)).sum(axis=1)


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
