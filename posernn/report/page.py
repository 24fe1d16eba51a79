"""Writes the tables of a comparison: table.md for readers, metrics for DVC, details.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from posernn.evaluation.comparison import CONSTANTS, Comparison
from posernn.evaluation.measure import PCKH, TORSO_PCK, Measure
from posernn.evaluation.scores import rounded
from posernn.report import tables
from posernn.runtime.files import replacing, write_json

BOXES = {
    "joints": "around the labelled joints: uses the ground truth, at test time too",
    "person": "from MPII's centre and scale, as in published evaluations",
}

PUBLISHED_NOTE = (
    "Published rows are for orientation only. The paper's two rows were measured on MPII, in crops around the labelled"
    " joints; the other four on MPII's withheld test set, in crops from centre and scale, which do not use the ground"
    " truth, after training on the whole training set. The first paragraph says how our rows were measured."
)

DIAGNOSTICS_NOTE = (
    "Spread is the standard deviation of a joint's position over people; the last column divides that of the"
    " predictions by that of the truth: 0 for a constant pose. A model that uses the image loses most of its score on"
    " the crop of another person."
)

NO_HEAD_BOX = (
    "PCKh: nobody can be scored, because no held-out person has a head box. All scores are torso PCK@0.2 instead: the"
    " share of joints within 0.2 torso sizes of the truth. The torso is the distance from the upper neck, or else the"
    " midpoint of the shoulders, to the pelvis."
)
"""First sentences of a report without head boxes."""


def intervals(measure: Measure) -> str:
    """Describe the differences between entries."""
    return f"points of Total {measure.title}, with 95% bootstrap intervals over people"


class Setting(NamedTuple):
    """The data and the crops that the scores were measured with."""

    dataset: str
    box: str  # joints | person
    padding: float  # image px, box: joints only
    keep_aspect: bool
    crop_size: int  # px
    num_train: int  # people

    def sentence(self, num_people: int) -> str:
        """Describe data set, people and box; `num_people` were held out."""
        padding = f" + {self.padding:g} px" if self.box == "joints" else ""
        shape = "extended to a square" if self.keep_aspect else "stretched to a square"
        if self.box == "person":  # a square by definition
            shape = "a square"
        return (
            f"Data set `{self.dataset}`: {self.num_train:,} training people, {num_people:,} held out."
            f" Box `{self.box}`{padding} ({BOXES[self.box]}), {shape} of {self.crop_size} px."
        )


def write(out: Path, comparison: Comparison, setting: Setting, figures: Sequence[str]) -> None:
    """Write metrics/<entry>.json, details.json and table.md, which shows the figures of these names."""
    for entry in comparison.entries:
        write_json(out / "metrics" / f"{entry}.json", metrics(comparison, entry))
    write_json(out / "details.json", details(comparison, setting))
    with replacing(out / "table.md") as partial:
        partial.write_text(markdown(comparison, setting, figures), encoding="utf-8")


def metrics(comparison: Comparison, entry: str) -> dict[str, float | None]:
    """What `dvc metrics` and `dvc exp show` compare: scores in percent, the difference from the first entry in points.

    PCK of the torso is named as such: it is not compared with the PCKh of another data set.
    """
    scores, measure = comparison.scores[entry], comparison.measure
    prefix = "" if measure == PCKH else f"{measure.name} "
    columns = {group: f"{measure.key}_{group.lower()}" for group in tables.GROUPS}
    columns |= {"@0.1": f"{measure.key}10_total", "AUC": "auc_total"}
    found = {f"{prefix}{name}": scores[column] for name, column in columns.items() if column in scores}
    difference = comparison.differences.get((entry, comparison.entries[0]))
    if difference:
        found |= {"diff": difference.value, "low": difference.low, "high": difference.high}
    return rounded(found, digits=2)


def details(comparison: Comparison, setting: Setting) -> dict:
    """All scores and diagnostics of the constant poses and the entries, and all differences; percent, px, points."""
    differences = {
        f"{one}_minus_{'constant' if other == comparison.better_constant else other}": {
            "points": difference.value,
            "low": difference.low,
            "high": difference.high,
        }
        for (one, other), difference in comparison.differences.items()
    }
    names = (*CONSTANTS, *comparison.entries)
    return {
        "dataset": setting.dataset,
        "box": setting.box,
        "better_constant": comparison.better_constant,
        "differences": rounded(differences),
        "scores": rounded({name: comparison.scores[name] | comparison.diagnostics[name] for name in names}),
    }


def headline(measure: Measure) -> str | None:
    """Return what a report must say first, if anything."""
    return NO_HEAD_BOX if measure == TORSO_PCK else None


def published_rows(measure: Measure) -> list[list[str]]:
    """Return the rows of published results, which are PCKh: none for another score."""
    return tables.published_rows() if measure == PCKH else []


def for_terminal(comparison: Comparison, setting: Setting) -> str:
    """Format the setting, our rows and the differences for a terminal."""
    header = [title.replace("image px", "img").replace("crop px", "crop") for title in tables.HEADER]
    sentence = setting.sentence(_num_people(comparison)).replace("`", "")
    table = tables.plain_table(header, tables.score_rows(comparison))
    differences = "\n".join(f"- {phrase}" for phrase in comparison.verdict())
    measure = comparison.measure
    first = headline(measure)
    head = f"{first}\n" if first else ""
    return f"{head}{sentence}\n{measure.title}, percent\n\n{table}\n\nIn {intervals(measure)}:\n{differences}"


def markdown(comparison: Comparison, setting: Setting, figures: Sequence[str] = ()) -> str:
    """Format the whole report, with the figures of these names (file names without .png)."""
    scores, measure = comparison.scores[comparison.entries[0]], comparison.measure
    published, first = published_rows(measure), headline(measure)
    size = "head box" if measure == PCKH else "torso"
    counts = (
        f"{scores['num_joints_scored']:,} joints are scored; {scores['num_people_not_scored']:,} people have no scored"
        f" joint (no {size}, or no annotated joint). RMSE is the root of the mean squared Euclidean distance over all"
        " annotated joints."
    )
    parts = [
        "# Comparison",
        *([f"**{first}**"] if first else []),
        setting.sentence(_num_people(comparison)),
        f"In {intervals(measure)}:",
        "\n".join(f"- **{phrase}**" for phrase in comparison.verdict()),
        f"{measure.title} in percent; Total also @0.1, and as the area under its curve (AUC) from 0 to"
        f" {measure.threshold:g}:",
        tables.markdown_table(tables.HEADER, tables.score_rows(comparison) + published),
        counts,
        *([PUBLISHED_NOTE] if published else []),
        "## Do the models use the image?",
        tables.markdown_table(*tables.diagnostics_table(comparison)),
        DIAGNOSTICS_NOTE,
        "## Joints",
        _joints_sentence(measure, comparison.joint_order),
        tables.markdown_table(*tables.joints_table(comparison)),
        *(f"![{name.replace('_', ' ')}](figures/{name}.png)" for name in figures),
    ]
    return "\n\n".join(parts) + "\n"


def _num_people(comparison: Comparison) -> int:
    return int(comparison.scores[comparison.entries[0]]["num_people"])


def _joints_sentence(measure: Measure, joint_order: str | None) -> str:
    measured = f"Median error in {measure.unit}, and {measure.title}"
    if joint_order is None:
        return f"{measured}, in MPII's order: all models predict all joints at once."
    return (
        f"{measured}, in decode order ({joint_order.replace('_', ' ')}). Joints differ in difficulty: compare the"
        " columns of a row, not the rows of a column."
    )
