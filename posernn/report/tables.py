"""A comparison as text: the paper's Table 2 with more rows, as Markdown and for a terminal."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from posernn.evaluation.comparison import MODELS, ROLES, Comparison
from posernn.evaluation.scores import rounded
from posernn.pose.skeleton import PCKH_GROUPS
from posernn.runtime.files import replacing, write_json

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

BOXES = {
    "joints": "around the labelled joints, which uses the truth, at test time too",
    "person": "from MPII's centre and scale, as published figures have it",
}

WHAT_DIFFERS = (
    "Published rows stand here for orientation only. The paper's two were measured on MPII, in crops around the"
    " labelled joints; the other four on MPII's withheld test half, in crops from centre and scale, which do not"
    " use the truth, after training on the whole train half. Data, people and box of our own rows are said above."
)


class Setting(NamedTuple):
    """What the figures were measured with."""

    dataset: str
    box: str  # joints | person
    padding: float  # image px, box: joints only
    keep_aspect: bool
    crop_size: int  # px
    num_train: int  # people

    def sentence(self, num_people: int) -> str:
        """Data set, people and box."""
        padding = f" + {self.padding:g} px" if self.box == "joints" else ""
        shape = "kept in its aspect" if self.keep_aspect or self.box == "person" else "stretched to a square"
        return (
            f"Data set `{self.dataset}`: {self.num_train:,} people to train on, {num_people:,} held out."
            f" Box `{self.box}`{padding} ({BOXES[self.box]}), {shape} of {self.crop_size} px."
        )


def table_rows(comparison: Comparison) -> list[list[str]]:
    """Our rows, then the published ones; cells as in HEADER, percent with one digit."""
    ours = []
    for role in ROLES:
        scores = comparison.scores[role]
        columns = [f"pckh_{group.lower()}" for group in GROUPS]
        columns += ["pckh10_total", "auc_total", "rmse_image", "rmse_crop"]
        ours.append([comparison.labels[role], *(number(scores[column]) for column in columns)])
    published = [
        [name, *(number(value) for value in values), *[""] * (len(HEADER) - 1 - len(values))]
        for name, values in PUBLISHED.items()
    ]
    return ours + published


def number(value: float | None, digits: int = 1) -> str:
    """A cell: empty for None, a dash where there is no such figure."""
    if value is None:
        return ""
    return f"{value:.{digits}f}" if math.isfinite(value) else ("inf" if value == math.inf else "-")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that the source reads as well; numbers to the right."""
    widths = [max(3, *(len(row[i]) for row in [header, *rows])) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_aligned(row, widths) for row in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same for a terminal."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join("  ".join(_aligned(row, widths)).rstrip() for row in (header, *rows))


def for_terminal(comparison: Comparison, setting: Setting) -> str:
    """Setting, our rows and the verdict."""
    short = [title.replace("image px", "img").replace("crop px", "crop") for title in HEADER]
    rows = table_rows(comparison)[: len(ROLES)]
    sentence = setting.sentence(num_people=_num_people(comparison)).replace("`", "")
    return f"{sentence}\nPCKh@0.5, percent\n\n{plain_table(short, rows)}\n\n{comparison.verdict()}"


def markdown(comparison: Comparison, setting: Setting, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """The whole report.

    Args:
        comparison: what was measured.
        setting: what it was measured with.
        pictures: (file name beside the report, caption) of each.
    """
    scores = comparison.scores["model"]
    counts = (
        f"{scores['num_joints_scored']:,} joints are scored; {scores['num_people_not_scored']:,} people have no"
        " joint that is (no head box, or nothing annotated). RMSE is over all annotated joints: the root of the mean"
        " squared Euclidean distance."
    )
    parts = [
        "# Comparison",
        setting.sentence(_num_people(comparison)),
        f"**{comparison.verdict()}**",
        "PCKh@0.5 in percent, Total also @0.1 and as the area under its curve from 0 to 0.5:",
        markdown_table(HEADER, table_rows(comparison)),
        counts,
        WHAT_DIFFERS,
        "## Do the models look at the picture?",
        markdown_table(*_diagnostics(comparison)),
        "Spread is the standard deviation of a joint's place over people, of the predictions over that of the truth:"
        " 0 for a constant pose. A model that looks loses most of its score when it is shown somebody else's crop.",
        "## Joint by joint",
        _order_sentence(comparison),
        markdown_table(*_joints(comparison)),
        *(f"![{caption}]({name})" for name, caption in pictures),
    ]
    return "\n\n".join(parts) + "\n"


def write(out: Path, comparison: Comparison, setting: Setting, titles: Sequence[str]) -> None:
    """Write metrics.json and table.md, which shows the pictures of these titles."""
    write_json(out / "metrics.json", metrics_json(comparison, setting))
    pictures = [(f"{title}.png", title.replace("_", " ")) for title in titles]
    with replacing(out / "table.md") as partial:
        partial.write_text(markdown(comparison, setting, pictures), encoding="utf-8")


def metrics_json(comparison: Comparison, setting: Setting) -> dict:
    """What `dvc metrics show` shows of a comparison; percent and points."""
    differences = {
        f"{one}_minus_{'constant' if other == comparison.better_constant else other}": {
            "points": 100 * difference.value,
            "low": 100 * difference.low,
            "high": 100 * difference.high,
        }
        for (one, other), difference in comparison.differences.items()
    }
    rows = {role: comparison.scores[role] | comparison.diagnostics[role] for role in ROLES}
    named = {"dataset": setting.dataset, "box": setting.box, "better_constant": comparison.better_constant}
    return named | rounded(differences | rows)


def _num_people(comparison: Comparison) -> int:
    return int(comparison.scores["model"]["num_people"])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]


def _diagnostics(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    header = ["", "Total, own crop", "Total, somebody else's crop", "spread / spread of truth"]
    rows = [
        [
            comparison.labels[role],
            number(comparison.scores[role]["pckh_total"]),
            number(comparison.diagnostics[role]["pckh_total_other_crop"]),
            number(comparison.diagnostics[role]["spread_ratio"], 2),
        ]
        for role in ROLES
    ]
    return header, rows


def _order_sentence(comparison: Comparison) -> str:
    measured = "Median error in head sizes, and PCKh@0.5"
    if comparison.joint_order is None:
        return f"{measured}. Neither model has decode steps: all joints come at once, and are in MPII's order."
    order = comparison.joint_order.replace("_", " ")
    return (
        f"{measured}, in decode order ({order}). Joints differ in difficulty: compare along a row, not down a column."
    )


def _joints(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    roles = (comparison.better_constant, *MODELS)
    labels = [comparison.labels[role] for role in roles]
    header = ["joint", *(f"{label}, error" for label in labels), *(f"{label}, PCKh" for label in labels)]
    rows = []
    for entries in zip(*(comparison.per_joint[role] for role in roles), strict=True):
        step = entries[0]["step"]
        name = f"{step}. {entries[0]['joint']}" if step else str(entries[0]["joint"])
        errors = [number(entry["median_error"], 2) for entry in entries]
        rows.append([name, *errors, *(number(entry["pckh"]) for entry in entries)])
    return header, rows
