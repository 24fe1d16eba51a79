"""Scores of a study's runs, as a sum and a count for each person: a score is the ratio of the two over all people.

So every score has a paired bootstrap interval over people, whatever it counts. Axis: N people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from posernn.data import schemas
from posernn.evaluation import structure
from posernn.evaluation.metrics import SCORED_JOINTS, THRESHOLDS, Difference
from posernn.evaluation.scores import People, people_of, visible_of

SHARE_RIGHT = 0.9
"""Of a person's joints: what an annotator wants."""


class Counts(NamedTuple):
    """A score: 100 * sum(part) / sum(whole), or without the factor where it is no share.

    Attributes:
        part: (N,).
        whole: (N,).
        factor: 100 for percent.
    """

    part: Float[np.ndarray, "N"]
    whole: Float[np.ndarray, "N"]
    factor: float = 100.0

    @property
    def value(self) -> float:
        """Return the score; NaN: nothing is counted."""
        return self.factor * float(self.part.sum() / self.whole.sum()) if self.whole.sum() else float("nan")


@dataclass(frozen=True, eq=False)
class Judges:
    """The held-out people with all that scores need.

    Attributes:
        people: the truth.
        not_visible: (N, 16): annotated, and marked as not visible.
        known_lengths: of the training people's limbs, head sizes.
    """

    people: People
    not_visible: Bool[np.ndarray, "N 16"]
    known_lengths: Float[np.ndarray, "M L"]


def judges(val_crops: pa.Table, train_crops: pa.Table, people: pa.Table) -> Judges:
    """Read the held-out people.

    Args:
        val_crops, train_crops: tables of crops; of the training people joints and head size are enough.
        people: people.parquet.
    """
    lengths = structure.limb_lengths(
        schemas.to_numpy(train_crops, "joints_image"), schemas.to_numpy(train_crops, "head_size")
    )
    return Judges(people_of(val_crops), visible_of(val_crops, people) == 0, lengths)


def of_pose(
    pred_crop: Float[np.ndarray, "N 16 2"], judges: Judges, leave_out: Bool[np.ndarray, "N 16"] | None = None
) -> dict[str, Counts]:
    """Score one set of poses.

    Args:
        pred_crop: crop px.
        judges: the truth.
        leave_out: (N, 16): joints that are not scored, because they were given.

    Returns:
        pckh, pckh@0.1, auc, pckh not visible, all right, pcp, swapped, impossible: percent.
    """
    people = judges.people
    errors = people.errors(pred_crop)
    if leave_out is not None:
        errors = np.where(leave_out, np.nan, errors)
    mirrored = people.errors(structure.mirrored(pred_crop))
    pred_image = people.to_image(pred_crop)
    scored = errors[:, SCORED_JOINTS]
    hidden = np.where(judges.not_visible, errors, np.nan)[:, SCORED_JOINTS]
    auc = (scored[..., None] <= THRESHOLDS).mean(axis=2)
    return {
        "pckh": _share(np.where(np.isnan(scored), np.nan, scored <= 0.5)),
        "pckh@0.1": _share(np.where(np.isnan(scored), np.nan, scored <= 0.1)),
        "auc": _share(np.where(np.isnan(scored), np.nan, auc)),
        "pckh not visible": _share(np.where(np.isnan(hidden), np.nan, hidden <= 0.5)),
        "all right": _share(structure.all_right(errors)[:, None]),
        "pcp": _share(structure.limbs_right(pred_image, people.joints_image, people.annotated)),
        "swapped": _share(structure.swapped(errors, mirrored)),
        "impossible": _share(structure.impossible(pred_image, people.head_size, judges.known_lengths)),
    }


def of_clicks(
    free_crop: Float[np.ndarray, "N 16 2"],
    clicked_crop: Float[np.ndarray, "K N 16 2"],
    given: Bool[np.ndarray, "K N 16"],
    judges: Judges,
) -> dict[str, Counts]:
    """Count the joints that must be corrected until SHARE_RIGHT of a person's joints are right.

    Args:
        free_crop: prediction without any, crop px.
        clicked_crop: predictions with 1 ... K joints corrected, crop px.
        given: which joints are.
        judges: the truth.

    Returns:
        told: where the other joints are predicted from those; not told: where they stay as they were. Clicks a person.
    """
    free = judges.people.errors(free_crop)
    told = [free, *(judges.people.errors(pose) for pose in clicked_crop)]
    not_told = [free, *(np.where(known & ~np.isnan(free), 0.0, free) for known in given)]
    return {"told": _first_right(told), "not told": _first_right(not_told)}


def _first_right(errors: list[Float[np.ndarray, "N 16"]]) -> Counts:
    """Find the first prediction that has SHARE_RIGHT of a person's joints right; where there is none, their number."""
    scored = np.stack(errors)[..., SCORED_JOINTS]  # (1 + K, N, J)
    known = ~np.isnan(scored)
    right = (scored <= 0.5).sum(axis=2) >= SHARE_RIGHT * known.sum(axis=2)  # (1 + K, N)
    clicks = np.where(right.any(axis=0), right.argmax(axis=0), len(errors))
    has_joints = known[0].any(axis=1).astype(float)
    return Counts(clicks * has_joints, has_joints, factor=1.0)


def of_bits(bits: Mapping[str, Float[np.ndarray, "N 16"]], judges: Judges) -> dict[str, Counts]:
    """Average bits over the scored joints, for each history; and over those that are not visible."""
    found = {}
    for history, values in bits.items():
        found[f"bits {history}"] = _share(values[:, SCORED_JOINTS])._replace(factor=1.0)
        hidden = np.where(judges.not_visible, values, np.nan)[:, SCORED_JOINTS]
        found[f"bits {history}, not visible"] = _share(hidden)._replace(factor=1.0)
    return found


def _share(values: Float[np.ndarray, "N K"]) -> Counts:
    return Counts(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(float))


def averaged(runs: list[Counts]) -> Counts:
    """Average a score over seeds, for each person."""
    return Counts(
        np.mean([run.part for run in runs], axis=0), np.mean([run.whole for run in runs], axis=0), runs[0].factor
    )


def over_people(one: list[Counts], other: list[Counts], draws: int, seed: int = 0) -> Difference:
    """Subtract the scores of two variants, averaged over seeds, with a paired bootstrap interval over people.

    Source: Efron & Tibshirani 1993, chapter 13 (percentile interval).
    """
    first, second = averaged(one), averaged(other)
    num = len(first.part)
    times = np.random.default_rng(seed).multinomial(num, np.full(num, 1 / num), size=draws)  # (draws, N)
    drawn = [counts.factor * (times @ counts.part) / (times @ counts.whole) for counts in (first, second)]
    low, high = np.nanquantile(drawn[0] - drawn[1], [0.025, 0.975])
    return Difference(first.value - second.value, float(low), float(high))


def over_seeds(one: list[Counts], other: list[Counts]) -> Difference:
    """Subtract the scores of two variants seed by seed, with Student's interval over the seeds; NaN for one seed."""
    from scipy import stats

    found = np.array([first.value - second.value for first, second in zip(one, other, strict=True)])
    mean, num = float(found.mean()), len(found)
    if num < 2:
        return Difference(mean, float("nan"), float("nan"))
    margin = float(stats.t.ppf(0.975, num - 1) * found.std(ddof=1) / np.sqrt(num))
    return Difference(mean, mean - margin, mean + margin)
