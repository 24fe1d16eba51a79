"""Draws the figures of a study: what history is worth, and how far confidence can be trusted."""

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from posernn.report.style import PALETTE, STYLE, colors

HISTORIES = {"bits hidden": "told nothing", "bits true": "told the true joints", "bits other": "told another person's"}
SCORES = {"pckh": "PCKh", "pckh not visible": "PCKh, not visible", "all right": "all joints right"}
LEGEND: dict[str, Any] = {"frameon": False, "handletextpad": 0.3, "columnspacing": 1.0}


@matplotlib.rc_context(STYLE)
def answer(variants: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw bits a joint under each history, and what a decoder that reads its own joints gains over the first.

    Args:
        variants: as in study.json.
    """
    places = {name: -number for number, name in enumerate(variants)}
    figure = Figure(figsize=(10.0, 1.5 + 0.4 * len(variants)), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.2, 1))
    left, right = halves
    axes = left.subplots()
    for (key, label), color in zip(HISTORIES.items(), colors(HISTORIES).values(), strict=True):
        known = {name: scores["bits"][key] for name, scores in variants.items() if key in scores["bits"]}
        axes.scatter(known.values(), [places[name] for name in known], color=color, s=36, label=label)
    axes.set_yticks(list(places.values()), list(places))
    axes.set_title("Bits a joint (fewer are better)")
    left.legend(loc="outside lower right", ncols=3, **LEGEND)
    axes = right.subplots()
    for shift, ((key, label), color) in enumerate(zip(SCORES.items(), colors(SCORES).values(), strict=True)):
        found = {name: scores["differences"][key] for name, scores in variants.items() if scores["differences"]}
        heights = [places[name] + 0.2 * (1 - shift) for name in found]
        axes.hlines(heights, [low for _, low, _ in found.values()], [high for *_, high in found.values()], color=color)
        axes.scatter([value for value, *_ in found.values()], heights, color=color, s=24, label=label)
    axes.axvline(0, color="#666666", linewidth=1)
    axes.set_yticks(list(places.values()), [""] * len(places))
    axes.set_ylim(1 - len(variants) - 0.5, 0.5)
    axes.set_title("Told its own joints: points over parallel")
    right.legend(loc="outside lower right", ncols=3, **LEGEND)
    left.axes[0].set_ylim(axes.get_ylim())
    return figure


@matplotlib.rc_context(STYLE)
def reliability(variants: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw a reliability diagram: the share of correct joints over confidence, all seeds of a variant together.

    Args:
        variants: as in study.json.
    """
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#666666", linewidth=1)
    markers = "osD^vP"
    for number, (name, scores) in enumerate(variants.items()):
        sure, correct = zip(*scores["reliability"], strict=True)
        marker, color = markers[number % len(markers)], PALETTE[number % len(PALETTE)]
        axes.plot(sure, correct, marker=marker, markersize=5, linewidth=1.2, color=color, label=name)
    axes.set(xlabel="confidence", ylabel="share of correct joints", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("Confidence and share of correct joints")
    figure.legend(loc="outside right center", **LEGEND)
    return figure
