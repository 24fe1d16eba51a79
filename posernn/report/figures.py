"""Draws all figures of a comparison."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from posernn.evaluation import scores
from posernn.evaluation.comparison import Comparison
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
    maps: Mapping[str, tuple[Int[np.ndarray, "Q"], Float[np.ndarray, "Q 16 H W"]] | None],
) -> dict[str, Figure]:
    """Draw all figures of a comparison.

    Args:
        comparison: the scores.
        people: the truth.
        predictions: entry -> joints, crop px, (N, 16, 2) xy.
        jpegs: the crops of `people`.
        who: rows of the people to draw; may be empty.
        histories: entry -> result of `results.read_history`.
        maps: entry -> result of `results.read_maps`.
    Returns:
        File name without suffix -> figure.
    """
    labels, entries = comparison.labels, comparison.entries
    shown = {name: comparison.per_joint[name] for name in (comparison.better_constant, *entries)}
    figures = {
        f"{comparison.measure.key}_over_threshold": curves.pckh_over_threshold(
            comparison.curves, labels, comparison.measure
        ),
        "rmse_over_iterations": curves.rmse_over_iterations(histories, labels),
        "joint_errors": curves.joint_errors(shown, labels, comparison.joint_order, comparison.measure),
    }
    if len(who):
        figures["sample_people"] = pictures.sample_people(
            pictures.read_pictures([jpegs[row] for row in who]),
            people.crop_to_image[who],
            {"truth": people.joints_crop[who]} | {labels[entry]: predictions[entry][who] for entry in entries},
            people.annotated[who],
            {labels[entry]: scores.num_right(predictions[entry], people, who) for entry in entries},
            comparison.measure.threshold,
        )
    for entry, found in maps.items():
        if found is not None:
            rows, maps_of_rows = found
            figures[f"maps_{entry}"] = pictures.joint_maps(
                pictures.read_pictures([jpegs[row] for row in rows]),
                people.crop_to_image[rows],
                maps_of_rows,
                predictions[entry][rows],
                comparison.joint_orders[entry],
            )
    return figures
