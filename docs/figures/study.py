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
    """Draw bits a joint under each history, and what each decoder gains over the first when it reads its own joints."""
    variants = study["variants"]
    first, *others = variants
    figure = Figure(figsize=(10.0, 1.2 + 0.42 * len(variants)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = {variant: -number for number, variant in enumerate(variants)}
    for (key, label), color in zip(HISTORIES.items(), colors(HISTORIES).values(), strict=True):
        known = {variant: scores["bits"][key] for variant, scores in variants.items() if key in scores["bits"]}
        left.scatter(known.values(), [rows[variant] for variant in known], color=color, s=36, label=label)
    left.axvline(variants[first]["bits"]["bits hidden"], color="0.6", linewidth=1, linestyle=":")
    left.set_yticks(list(rows.values()), list(rows))
    left.set_title("Bits a joint (fewer are better)")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, -0.32), ncols=3, frameon=False, handletextpad=0.2)
    for shift, ((key, label), color) in enumerate(zip(SCORES.items(), colors(SCORES).values(), strict=True)):
        for variant in others:
            value, low, high = variants[variant]["differences"][key]
            y = rows[variant] + 0.2 * (1 - shift)
            right.plot([low, high], [y, y], color=color, linewidth=1.5)
            right.scatter([value], [y], color=color, s=24, label=label if variant == others[0] else None)
    right.axvline(0, color="0.6", linewidth=1, linestyle=":")
    right.set_title(f"Reading its own joints: points over {first}")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, -0.32), ncols=3, frameon=False, handletextpad=0.2)
    return figure


if __name__ == "__main__":
    main()
