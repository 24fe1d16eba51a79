"""Compares the entries (trained models) with each other and with the constant poses, on the same people."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from posernn.data import schemas
from posernn.evaluation import constant, metrics, scores
from posernn.evaluation.measure import Measure
from posernn.evaluation.metrics import Difference
from posernn.evaluation.scores import People
from posernn.models import switches_in_name

CONSTANTS = ("mean_pose", "median_pose")


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Scores of all entries and of the constant poses; the dictionaries have a key for each, if not said otherwise.

    Attributes:
        measure: PCKh, or PCK of the torso where nobody has a head box; the figures below are of it.
        entries: names of the compared models; the others are held against the first.
        labels: names for readers: "median pose", "lstm with attention".
        scores: results of `scores.score`, percent and px.
        curves: Total at the thresholds of the measure, fractions.
        diagnostics: results of `scores.diagnose`.
        joint_orders: decode order of each entry, a key of DECODE_ORDERS; None: all joints at once.
        joint_order: the order of the rows in `per_joint`; None: no entry decodes joint by joint.
        per_joint: rows of `scores.per_joint`.
        better_constant: mean_pose or median_pose, whichever has the higher Total on these people.
        differences: Total of (one, other), points: each entry - better constant, each other entry - first entry.
    """

    measure: Measure
    entries: tuple[str, ...]
    labels: dict[str, str]
    scores: dict[str, dict[str, float]]
    curves: dict[str, Float[np.ndarray, "T"]]
    diagnostics: dict[str, dict[str, float]]
    joint_orders: dict[str, str | None]
    joint_order: str | None
    per_joint: dict[str, list[dict[str, str | int | float | None]]]
    better_constant: str
    differences: dict[tuple[str, str], Difference]

    def verdict(self) -> list[str]:
        """Say for each difference which side is better: one phrase each, with the interval in points."""
        return [
            _phrase(self.labels[one], self.labels[other], difference)
            for (one, other), difference in self.differences.items()
        ]


def constant_predictions(
    train_crops: pa.Table, num_people: int, border: int = 0
) -> dict[str, Float[np.ndarray, "N 16 2"]]:
    """The mean and the median pose of the training people, repeated for `num_people`; crop px.

    The training crops have `border` px on each side that the others do not have.
    """
    joints_crop = schemas.to_numpy(train_crops, "joints_crop") - border
    annotated = schemas.to_numpy(train_crops, "annotated")
    poses = {
        "mean_pose": constant.mean_pose(joints_crop, annotated),
        "median_pose": constant.median_pose(joints_crop, annotated),
    }
    return {name: np.tile(pose, (num_people, 1, 1)) for name, pose in poses.items()}


def compare(
    predictions: Mapping[str, Float[np.ndarray, "N 16 2"]],
    people: People,
    models: Mapping[str, Mapping],
    *,
    draws: int,
    seed: int,
) -> Comparison:
    """Score the constant poses and all entries on the same people.

    Args:
        predictions: constant pose or entry -> joints, crop px, (N, 16, 2) xy.
        people: the truth.
        models: entry -> content of its model.json; the first entry is the one that the others are held against.
        draws: number of bootstrap draws.
        seed: seed of the bootstrap and of the exchange of crops between people.
    """
    names, measure = (*CONSTANTS, *models), people.measure
    first, *others = models
    errors = {name: people.errors(predictions[name]) for name in names}
    joint_orders = {entry: model.get("joint_order") for entry, model in models.items()}
    joint_order = next((order for entry in (*others, first) if (order := joint_orders[entry])), None)
    better = max(CONSTANTS, key=lambda name: metrics.pckh_total(errors[name], measure.threshold))
    pairs = [(entry, better) for entry in models] + [(entry, first) for entry in others]
    return Comparison(
        measure=measure,
        entries=tuple(models),
        labels={name: name.replace("_", " ") for name in CONSTANTS} | labels(models),
        scores={name: scores.score(predictions[name], people) for name in names},
        curves={name: metrics.pckh_curve(errors[name], measure.thresholds) for name in names},
        diagnostics={name: scores.diagnose(predictions[name], people, seed) for name in names},
        joint_orders=joint_orders,
        joint_order=joint_order,
        per_joint={name: scores.per_joint(predictions[name], people, joint_order) for name in names},
        better_constant=better,
        differences={
            (one, other): _difference(errors[one], errors[other], measure.threshold, draws, seed)
            for one, other in pairs
        },
    )


def label(model: Mapping) -> str:
    """The name of a model for readers, from its model.json: "cnn", "lstm with attention"."""
    switched_on = switches_in_name(model)
    return " with ".join([model["arch"], *([" and ".join(switched_on)] if switched_on else [])])


def labels(models: Mapping[str, Mapping]) -> dict[str, str]:
    """The label of each entry; the entry's name is added where two entries would have the same label."""
    plain = {entry: label(model) for entry, model in models.items()}
    times = Counter(plain.values())
    return {entry: f"{name} ({entry})" if times[name] > 1 else name for entry, name in plain.items()}


def _difference(errors: np.ndarray, other_errors: np.ndarray, threshold: float, draws: int, seed: int) -> Difference:
    """Difference of Total in points."""
    found = metrics.bootstrap_difference(errors, other_errors, threshold, draws=draws, seed=seed)
    return Difference(*(100 * part for part in found))


def _phrase(one: str, other: str, difference: Difference) -> str:
    value, low, high = difference
    figures = f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
    if low == high != 0:  # a single person, or people who all have the same score
        return f"{one} against {other}: {value:+.1f}, from too few people for an interval"
    if low > 0:
        return f"{one} is better than {other}: {figures}"
    if high < 0:
        return f"{one} is worse than {other}: {figures}"
    return f"no significant difference between {one} and {other}: {figures}"
