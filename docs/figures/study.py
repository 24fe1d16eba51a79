"""Draws the figure of docs/explanation/results.md from study/study.json: PYTHONPATH=. python docs/figures/study.py."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from posernn.report.style import STYLE, colors, save
from posernn.runtime.files import read_json

OUT = Path("docs/figures/study.png")
HISTORIES = {"bits hidden": "told nothing", "bits true": "told the true joints", "bits other": "told another person's"}
SCORES = {"pckh": "PCKh", "pckh not visible": "PCKh, not visible", "all right": "all joints right"}


def main() -> None:
    """Draw study.png."""
    save(drawn(read_json(Path("study/study.json"))), OUT)


@matplotlib.rc_context(STYLE)
def drawn(study: dict[str, Any]) -> Figure:
    """Draw bits a joint under each history, and what a decoder that reads its own joints gains over the first."""
    rows = study["variants"] | {f"{name}, end to end": scores for name, scores in study["end to end"].items()}
    places = {name: -number for number, name in enumerate(rows)}
    figure = Figure(figsize=(10.0, 1.5 + 0.4 * len(rows)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.2, 1))
    axes = left.subplots()
    for (key, label), color in zip(HISTORIES.items(), colors(HISTORIES).values(), strict=True):
        known = {name: scores["bits"][key] for name, scores in rows.items() if key in scores["bits"]}
        axes.scatter(known.values(), [places[name] for name in known], color=color, s=36, label=label)
    axes.set_yticks(list(places.values()), list(places))
    axes.set_title("Bits a joint (fewer are better)")
    left.legend(loc="outside lower right", ncols=3, frameon=False, handletextpad=0.1, columnspacing=1.0)
    axes = right.subplots()
    for shift, ((key, label), color) in enumerate(zip(SCORES.items(), colors(SCORES).values(), strict=True)):
        found = {name: scores["differences"][key] for name, scores in rows.items() if scores["differences"]}
        heights = [places[name] + 0.2 * (1 - shift) for name in found]
        axes.hlines(heights, [low for _, low, _ in found.values()], [high for *_, high in found.values()], color=color)
        axes.scatter([value for value, *_ in found.values()], heights, color=color, s=24, label=label)
    axes.axvline(0, color="#666666", linewidth=1)
    axes.set_yticks(list(places.values()), [""] * len(places))
    axes.set_ylim(1 - len(rows) - 0.5, 0.5)
    axes.set_title("Told its own joints: points over parallel")
    right.legend(loc="outside lower right", ncols=3, frameon=False, handletextpad=0.1, columnspacing=1.0)
    left.axes[0].set_ylim(axes.get_ylim())
    return figure


if __name__ == "__main__":
    main()
