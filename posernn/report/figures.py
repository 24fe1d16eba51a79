"""All figures of a comparison."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from posernn.evaluation import metrics, scores
from posernn.evaluation.comparison import MODELS, Comparison
from posernn.evaluation.scores import People
from posernn.report import curves
from posernn.report import people as pictures


def draw_comparison(
    comparison: Comparison,
    people: People,
    predictions: Mapping[str, Float[np.ndarray, "N 16 2"]],
    jpegs: Sequence[bytes],
    who: Int[np.ndarray, "P"],
    histories: Mapping[str, Mapping[str, Float[np.ndarray, "K"]]],
    attention: Mapping[str, tuple[Int[np.ndarray, "Q"], Float[np.ndarray, "Q 16 M M"]] | None],
) -> dict[str, Figure]:
    """Draw what was compared.

    Args:
        comparison: the scores.
        people: the truth.
        predictions: role -> joints, crop px, (N, 16, 2) xy.
        jpegs: the crops of `people`.
        who: rows of the people to draw; may be empty.
        histories: role of a model -> of `results.read_history`.
        attention: role of a model -> of `results.read_attention`.
    Returns:
        File name without ending -> figure.
    """
    labels = comparison.labels
    shown = {role: comparison.per_joint[role] for role in (comparison.better_constant, *MODELS)}
    figures = {
        "pckh_over_threshold": curves.pckh_over_threshold(comparison.curves, labels, metrics.THRESHOLDS),
        "rmse_over_iterations": curves.rmse_over_iterations(histories, labels),
        "joint_errors": curves.joint_errors(shown, labels, comparison.joint_order),
    }
    if len(who):
        poses = {labels[role]: predictions[role][who] for role in MODELS}
        figures["sample_people"] = pictures.sample_people(
            pictures.read_pictures([jpegs[row] for row in who]),
            people.crop_to_image[who],
            {"truth": people.joints_crop[who]} | poses,
            people.annotated[who],
            {labels[role]: scores.num_right(predictions[role], people, who) for role in MODELS},
        )
    for role, found in attention.items():
        joint_order = comparison.joint_orders[role]
        if found is not None and joint_order is not None:
            rows, maps = found
            figures[f"attention_{role}"] = pictures.attention(
                pictures.read_pictures([jpegs[row] for row in rows]),
                people.crop_to_image[rows],
                maps,
                predictions[role][rows],
                joint_order,
            )
    return figures
