"""Makes the tables of a comparison (the paper's Table 2 with more rows), as Markdown and as plain text."""

import math
from collections.abc import Sequence

from posernn.evaluation.comparison import CONSTANTS, Comparison
from posernn.pose.skeleton import PCKH_GROUPS

GROUPS = (*PCKH_GROUPS, "Total")

HEADER = ("", *GROUPS, "Total @0.1", "AUC", "RMSE image px", "RMSE crop px")

PUBLISHED: dict[str, tuple[float | None, ...]] = {
    "the paper's LSTM": (39.2, 25.2, 12.2, 9.7, 18.7, 16.6, 7.5, 21.5),
    "the paper's CNN": (52.0, 40.6, 22.5, 16.8, 31.7, 21.2, 16.0, 32.8),
    "IEF": (*[None] * 7, 81.3),
    "DeepCut": (*[None] * 7, 82.4),
    "Pose Machines": (*[None] * 7, 87.9),
    "Stacked Hourglass": (*[None] * 7, 89.4),
}
"""PCKh@0.5, percent, by group and in total. Source: Chen & Low, Table 2."""

Rows = list[list[str]]


def score_rows(comparison: Comparison) -> Rows:
    """Scores of the constant poses and the entries; cells as in HEADER, percent with one digit."""
    key = comparison.measure.key
    columns = [f"{key}_{group.lower()}" for group in GROUPS]
    columns += [f"{key}10_total", "auc_total", "rmse_image", "rmse_crop"]
    return [
        [comparison.labels[name], *(number(comparison.scores[name].get(column, math.nan)) for column in columns)]
        for name in (*CONSTANTS, *comparison.entries)
    ]


def published_rows() -> Rows:
    """Published scores; cells as in HEADER."""
    return [
        [name, *(number(value) for value in values), *[""] * (len(HEADER) - 1 - len(values))]
        for name, values in PUBLISHED.items()
    ]


def diagnostics_table(comparison: Comparison) -> tuple[list[str], Rows]:
    """Header and rows of the diagnostics that show whether a model uses the image."""
    key = comparison.measure.key
    header = ["", "Total, own crop", "Total, crop of another person", "spread / spread of truth"]
    rows = [
        [
            comparison.labels[name],
            number(comparison.scores[name][f"{key}_total"]),
            number(comparison.diagnostics[name][f"{key}_total_other_crop"]),
            number(comparison.diagnostics[name]["spread_ratio"], 2),
        ]
        for name in (*CONSTANTS, *comparison.entries)
    ]
    return header, rows


def joints_table(comparison: Comparison) -> tuple[list[str], Rows]:
    """Header and rows of the errors and the score of each joint, for the better constant pose and the entries."""
    names, measure = (comparison.better_constant, *comparison.entries), comparison.measure
    labels = [comparison.labels[name] for name in names]
    header = ["joint", *(f"{label}, error" for label in labels), *(f"{label}, {measure.name}" for label in labels)]
    rows = []
    for of_names in zip(*(comparison.per_joint[name] for name in names), strict=True):
        step, joint = of_names[0]["step"], str(of_names[0]["joint"])
        errors = [number(row["median_error"], 2) for row in of_names]
        rows.append([f"{step}. {joint}" if step else joint, *errors, *(number(row[measure.key]) for row in of_names)])
    return header, rows


def number(value: float | None, digits: int = 1) -> str:
    """Format a cell: empty for None, a dash for NaN."""
    if value is None:
        return ""
    return f"{value:.{digits}f}" if math.isfinite(value) else ("inf" if value == math.inf else "-")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table: numbers aligned to the right, cells padded so that the source is readable, too."""
    widths = [max(3, *(len(row[i]) for row in [header, *rows])) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_aligned(row, widths) for row in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table for a terminal."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join("  ".join(_aligned(row, widths)).rstrip() for row in (header, *rows))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
