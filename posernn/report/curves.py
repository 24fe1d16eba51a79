"""Draws the figures of numbers: PCKh over thresholds, RMSE over iterations, errors of the joints."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from posernn.evaluation.measure import PCKH, Measure
from posernn.pose.skeleton import Joint
from posernn.report.style import STYLE, colors


@matplotlib.rc_context(STYLE)
def pckh_over_threshold(
    curves: Mapping[str, Float[np.ndarray, "T"]],
    labels: Mapping[str, str],
    measure: Measure = PCKH,
) -> Figure:
    """Draw Total PCKh, or PCK of the torso, over the threshold.

    Args:
        curves: constant pose or entry -> fractions.
        labels: the same -> name for readers.
        measure: the score; the curves are at its thresholds.
    """
    thresholds = measure.thresholds
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes, color = figure.subplots(), colors(curves)
    for name, curve in curves.items():
        axes.plot(thresholds, 100 * curve, color=color[name])
    axes.set(xlabel=f"threshold ({measure.unit})", xlim=(0, thresholds[-1]), ylim=(0, None))
    axes.set_title(f"Total {measure.name}: joints within the threshold, percent")
    _name_lines(axes, [(labels[name], 100 * float(curve[-1]), color[name]) for name, curve in curves.items()])
    return figure


@matplotlib.rc_context(STYLE)
def rmse_over_iterations(
    histories: Mapping[str, Mapping[str, Float[np.ndarray, "K"]]], labels: Mapping[str, str]
) -> Figure:
    """Draw RMSE during training, as the paper's Figures 2 and 3 do.

    Args:
        histories: entry -> columns `iteration`, `train_rmse`, `val_rmse` (crop px) of history.csv.
        labels: entry -> name for readers.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes, color = figure.subplots(), colors(histories)
    for entry, history in histories.items():
        axes.plot(history["iteration"], history["val_rmse"], color=color[entry])
        axes.plot(history["iteration"], history["train_rmse"], color=color[entry], linewidth=1, linestyle=(0, (3, 2)))
    # The y axis leaves out the highest 5%: the RMSE before training may be ten times the final one.
    known = np.concatenate([history[name] for history in histories.values() for name in ("train_rmse", "val_rmse")])
    known = known[np.isfinite(known)]
    axes.set(xlabel="iteration (batches)", xlim=(0, max(history["iteration"][-1] for history in histories.values())))
    axes.set_ylim(0, 1.1 * float(np.quantile(known, 0.95)) if known.size else 1)
    axes.set_title("RMSE, crop px: validation (solid) and training (dashed)")
    ends = {entry: float(history["val_rmse"][-1]) for entry, history in histories.items()}
    _name_lines(axes, [(labels[entry], end, color[entry]) for entry, end in ends.items()])
    return figure


@matplotlib.rc_context(STYLE)
def joint_errors(
    per_joint: Mapping[str, Sequence[Mapping]],
    labels: Mapping[str, str],
    joint_order: str | None,
    measure: Measure = PCKH,
) -> Figure:
    """Draw the median error of each joint, from the first decode step (top) to the last.

    Args:
        per_joint: constant pose or entry -> rows of `scores.per_joint`, all in one order.
        labels: the same -> name for readers.
        joint_order: the name of the order; None: no decode steps.
        measure: the score, whose sizes the errors are in.
    """
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes, color = figure.subplots(), colors(per_joint)
    medians = {name: np.array([row["median_error"] for row in rows], dtype=float) for name, rows in per_joint.items()}
    finite = {name: np.where(np.isfinite(values), values, np.nan) for name, values in medians.items()}
    places = np.arange(len(Joint))
    spans = np.stack(list(finite.values()))  # (names, 16)
    known = ~np.isnan(spans).all(axis=0)
    low, high = np.nanmin(spans[:, known], axis=0), np.nanmax(spans[:, known], axis=0)
    axes.hlines(places[known], low, high, color="#CCCCCC", zorder=1)
    for name, values in finite.items():
        axes.scatter(values, places, s=42, color=color[name], label=labels[name], zorder=2)
    rows = next(iter(per_joint.values()))
    axes.set_yticks(places, [f"{row['joint']}  {row['step']}" if joint_order else row["joint"] for row in rows])
    axes.set(xlabel=f"median error ({measure.unit})", xlim=(0, None), ylim=(len(Joint) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    axes.axvline(measure.threshold, color="#888888", linewidth=1, linestyle=(0, (1, 2)), zorder=0)
    axes.annotate(
        f"correct @{measure.threshold:g}",
        (measure.threshold, 1.01),
        xycoords=("data", "axes fraction"),
        ha="right",
        fontsize=8,
        color="#666666",
    )
    steps = f"in decode order ({joint_order.replace('_', ' ')})" if joint_order else "no decode steps"
    axes.set_title(f"Error of each joint, {steps}")
    figure.legend(loc="outside lower center", ncols=min(len(per_joint), 4), frameon=False, handletextpad=0.2)
    return figure


def _name_lines(axes: Axes, ends: Sequence[tuple[str, float, str]]) -> None:
    """Write each line's name and last value at its right end, with space between the names of lines that end close.

    Args:
        axes: the axes of the lines.
        ends: name, last value and colour of each line.
    """
    low, high = axes.get_ylim()
    place = -np.inf
    for label, value, color in sorted(ends, key=lambda end: end[1]):
        if np.isfinite(value):
            place = max(place + 0.055 * (high - low), value)
            height = (place - low) / (high - low)
            axes.annotate(f"{label}  {value:.1f}", (1.01, height), xycoords="axes fraction", color=color, va="center")
