"""Figures of numbers: scores over thresholds, errors over iterations and joints."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from posernn.pose.skeleton import Joint
from posernn.report.style import COLORS, STYLE


@matplotlib.rc_context(STYLE)
def pckh_over_threshold(
    curves: Mapping[str, Float[np.ndarray, "T"]],
    labels: Mapping[str, str],
    thresholds: Float[np.ndarray, "T"],
) -> Figure:
    """Total PCKh of each role at every threshold.

    Args:
        curves: role -> fractions.
        labels: role -> name.
        thresholds: head sizes.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for role, curve in curves.items():
        axes.plot(thresholds, 100 * curve, color=COLORS[role])
    axes.set(xlabel="threshold (head sizes)", xlim=(0, thresholds[-1]), ylim=(0, None))
    axes.set_title("Joints within the threshold, percent (Total PCKh)")
    _name_lines(axes, {role: (labels[role], 100 * float(curve[-1])) for role, curve in curves.items()})
    return figure


@matplotlib.rc_context(STYLE)
def rmse_over_iterations(
    histories: Mapping[str, Mapping[str, Float[np.ndarray, "K"]]], labels: Mapping[str, str]
) -> Figure:
    """The paper's Figures 2 and 3 in one: RMSE while training.

    Args:
        histories: role -> columns `iteration`, `train_rmse`, `val_rmse` (crop px) of history.csv.
        labels: role -> name.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    ends = {}
    for role, history in histories.items():
        axes.plot(history["iteration"], history["val_rmse"], color=COLORS[role])
        axes.plot(history["iteration"], history["train_rmse"], color=COLORS[role], linewidth=1, linestyle=(0, (3, 2)))
        ends[role] = (labels[role], float(history["val_rmse"][-1]))
    # An untrained model may be ten times as far off: the interesting part would be a flat line at the bottom.
    known = np.concatenate([history[name] for history in histories.values() for name in ("train_rmse", "val_rmse")])
    known = known[np.isfinite(known)]
    last = max((history["iteration"][-1] for history in histories.values()), default=1)
    axes.set(xlabel="iteration (batches)", xlim=(0, last))
    axes.set_ylim(0, 1.1 * float(np.quantile(known, 0.95)) if known.size else 1)
    axes.set_title("RMSE, crop px: people held out (lines) and trained on (dashes)")
    _name_lines(axes, ends)
    return figure


@matplotlib.rc_context(STYLE)
def joint_errors(
    per_joint: Mapping[str, Sequence[Mapping]], labels: Mapping[str, str], joint_order: str | None
) -> Figure:
    """Median error of each joint, from the first decode step (top) to the last.

    Args:
        per_joint: role -> rows of `evaluation.per_joint`, all in one order.
        labels: role -> name.
        joint_order: the order's name; None: no decode steps.
    """
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(Joint))
    medians = {
        role: np.array([row["median_error"] for row in rows], dtype=np.float64) for role, rows in per_joint.items()
    }
    finite = {role: np.where(np.isfinite(values), values, np.nan) for role, values in medians.items()}
    spans = np.stack(list(finite.values()))  # (roles, 16)
    known = ~np.isnan(spans).all(axis=0)
    axes.hlines(
        places[known], np.nanmin(spans[:, known], axis=0), np.nanmax(spans[:, known], axis=0), color="#CCCCCC", zorder=1
    )
    for role, values in finite.items():
        axes.scatter(values, places, s=42, color=COLORS[role], label=labels[role], zorder=2)
    rows = next(iter(per_joint.values()))
    names = [f"{row['joint']}  {row['step']}" if joint_order else row["joint"] for row in rows]
    axes.set_yticks(places, names)
    axes.set(xlabel="median error (head sizes)", xlim=(0, None), ylim=(len(Joint) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    axes.axvline(0.5, color="#888888", linewidth=1, linestyle=(0, (1, 2)), zorder=0)
    axes.annotate(
        "right @0.5", (0.5, 1.01), xycoords=("data", "axes fraction"), ha="right", fontsize=8, color="#666666"
    )
    steps = f"in decode order ({joint_order.replace('_', ' ')})" if joint_order else "all at once: no decode steps"
    axes.set_title(f"Error joint by joint, {steps}")
    figure.legend(loc="outside lower center", ncols=len(per_joint), frameon=False, handletextpad=0.2)
    return figure


def _name_lines(axes: Axes, ends: Mapping[str, tuple[str, float]]) -> None:
    """Write each line's name at its right end, pushed apart where the ends are close."""
    low, high = axes.get_ylim()
    place = -np.inf
    for role, (label, value) in sorted(ends.items(), key=lambda item: item[1][1]):
        if np.isfinite(value):
            place = max(place + 0.055 * (high - low), value)
            axes.annotate(
                f"{label}  {value:.1f}",
                (1.01, (place - low) / (high - low)),
                xycoords="axes fraction",
                color=COLORS[role],
                va="center",
            )
