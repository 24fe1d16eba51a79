"""Both models and both constant poses on the same people: which is better, by how much, and does it look?"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from posernn.data import schemas
from posernn.evaluation import constant, metrics, scores
from posernn.evaluation.metrics import Difference
from posernn.evaluation.scores import People

CONSTANTS = ("mean_pose", "median_pose")
MODELS = ("baseline", "model")
ROLES = (*CONSTANTS, *MODELS)
"""Whose predictions are compared, in the order of the table."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """What the report says; one entry per role unless it says otherwise.

    Attributes:
        labels: what to call them: "median pose", "cnn".
        scores: of `scores.score`, percent and px.
        curves: total PCKh at `metrics.THRESHOLDS`, fractions.
        diagnostics: of `scores.diagnose`.
        joint_orders: of each model, a key of DECODE_ORDERS; None: all joints at once.
        per_joint: rows of `scores.per_joint`, in the order that `joint_order` names.
        better_constant: mean_pose or median_pose, whichever has more of Total PCKh on these very people.
        differences: Total PCKh of (one, other), fractions: model - baseline, and each model - better constant.
    """

    labels: dict[str, str]
    scores: dict[str, dict[str, float]]
    curves: dict[str, Float[np.ndarray, "T"]]
    diagnostics: dict[str, dict[str, float]]
    joint_orders: dict[str, str | None]
    per_joint: dict[str, list[dict[str, str | int | float | None]]]
    better_constant: str
    differences: dict[tuple[str, str], Difference]

    @property
    def joint_order(self) -> str | None:
        """The order in which joints are shown: the model's, else the baseline's; None: neither has one."""
        return self.joint_orders["model"] or self.joint_orders["baseline"]

    def verdict(self) -> str:
        """The answer in one sentence."""
        statements = [
            _statement(self.labels[one], self.labels[other], difference)
            for (one, other), difference in self.differences.items()
        ]
        return f"{'; '.join(statements)} (points of Total PCKh@0.5, 95% interval over people)."


def constant_predictions(train_crops: pa.Table, num_people: int) -> dict[str, Float[np.ndarray, "N 16 2"]]:
    """The mean and the median pose of the training people, the same for each of `num_people`; crop px."""
    joints_crop = schemas.to_numpy(train_crops, "joints_crop")
    annotated = schemas.to_numpy(train_crops, "annotated")
    poses = {
        "mean_pose": constant.mean_pose(joints_crop, annotated),
        "median_pose": constant.median_pose(joints_crop, annotated),
    }
    return {role: np.tile(pose, (num_people, 1, 1)) for role, pose in poses.items()}


def compare(
    predictions: dict[str, Float[np.ndarray, "N 16 2"]],
    people: People,
    architectures: dict[str, dict],
    *,
    draws: int,
    seed: int,
) -> Comparison:
    """Score all four on the same people.

    Args:
        predictions: role -> joints, crop px, (N, 16, 2) xy.
        people: the truth.
        architectures: of baseline and model, what their model.json holds: `name`, and `joint_order` for some.
        draws: of the bootstrap.
        seed: of the bootstrap and of who gets whose crop.
    """
    errors = {role: people.errors(predictions[role]) for role in ROLES}
    joint_orders = {role: architectures[role].get("joint_order") for role in MODELS}
    shown_order = joint_orders["model"] or joint_orders["baseline"]
    better = max(CONSTANTS, key=lambda role: metrics.pckh_total(errors[role]))
    pairs = [("baseline", better), ("model", better), ("model", "baseline")]
    return Comparison(
        labels=_labels(architectures),
        scores={role: scores.score(predictions[role], people) for role in ROLES},
        curves={role: metrics.pckh_curve(errors[role]) for role in ROLES},
        diagnostics={role: scores.diagnose(predictions[role], people, seed) for role in ROLES},
        joint_orders=joint_orders,
        per_joint={role: scores.per_joint(predictions[role], people, shown_order) for role in ROLES},
        better_constant=better,
        differences={
            (one, other): metrics.bootstrap_difference(errors[one], errors[other], draws=draws, seed=seed)
            for one, other in pairs
        },
    )


def label(model_json: dict) -> str:
    """Name a model by its architecture and the settings that are switched on: "lstm with attention"."""
    switched_on = [key for key, value in model_json.items() if value is True]
    return " with ".join([model_json["arch"], *switched_on])


def _labels(architectures: dict[str, dict]) -> dict[str, str]:
    """Names of the rows; the role is added where both models are of one architecture."""
    names = {role: label(architectures[role]) for role in MODELS}
    if len(set(names.values())) < len(names):
        names = {role: f"{name} ({role})" for role, name in names.items()}
    return {role: role.replace("_", " ") for role in CONSTANTS} | names


def _statement(one: str, other: str, difference: Difference) -> str:
    value, low, high = (100 * part for part in difference)
    figures = f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
    if low > 0:
        return f"{one} beats {other} by {figures}"
    if high < 0:
        return f"{one} falls behind {other} by {figures}"
    return f"{one} cannot be told from {other}: {figures}"
