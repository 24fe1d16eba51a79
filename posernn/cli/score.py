"""Scores predictions."""

import json as json_module
import math
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from posernn.cli.main import app
from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posernn.evaluation.metrics import Difference
    from posernn.submissions.scoring import Scored


class Head(StrEnum):
    """The keys of metrics.HEAD_CONVENTIONS."""

    official = "official"
    head_top = "head_top"


@app.command(epilog="Example: posernn score hourglass.npy hrnet.mat --val-list data/splits/tompson_val.csv --latex")
def score(
    predictions: Annotated[
        list[Path],
        typer.Argument(
            help="A predictions.parquet; or an array as .npy, .npz, .mat, .h5 or .json, with one row for each row of "
            "--val-list; or evalMPII's .mat. Several of the same people are compared with the first."
        ),
    ],
    people: Annotated[Path, typer.Option(help="The ground truth: output of the parse stage.")] = Path(
        "data/people.parquet"
    ),
    val_list: Annotated[
        Path | None, typer.Option(help="CSV of image, annolist_index, annorect_index: the people of an array's rows.")
    ] = None,
    head: Annotated[
        Head, typer.Option(help="Joints of the column Head: upper neck and head top, or head_top alone.")
    ] = Head.official,
    base: Annotated[
        int | None,
        typer.Option(min=0, max=1, help="Number of the first pixel; else found from the data, or by convention."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print the rows of a LaTeX table.")] = False,
) -> None:
    """Score predictions: print PCKh@0.5 by group and in total, Total @0.1 and AUC, in percent.

    Where nobody has a head box, PCKh is not defined: the score is torso PCK@0.2, and is named so.
    """
    if json + csv + latex > 1:
        raise InputError("--json: expected one of --json, --csv and --latex, got several; choose one")
    from posernn.data import schemas
    from posernn.runtime import files
    from posernn.submissions import scoring

    truth = files.read_table(people, schemas.PEOPLE)
    listed = scoring.listed_people(val_list) if val_list else None
    known_base: Literal[0, 1] | None = None if base is None else (1 if base else 0)
    scored = [scoring.score_file(path, truth, listed, head=head.value, base=known_base) for path in predictions]
    if len({one.name for one in scored}) < len(scored):
        scored = [replace(one, name=str(path)) for one, path in zip(scored, predictions, strict=True)]
    differences = scoring.differences(scored)
    if json:
        typer.echo(_json(scored, differences))
    elif csv:
        typer.echo(_separated(scored, differences, ",", ""))
    elif latex:
        typer.echo(_separated(scored, differences, " & ", r" \\"))
    else:
        typer.echo(_plain(scored, differences))
    for one in scored:
        if one.reason:
            typer.echo(f"{one.name}: pixels counted from {one.base} ({one.reason})", err=True)


HEADER = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Total", "Total @0.1", "AUC")


def _cells(scored: "Scored") -> list[str]:
    from posernn.report import tables

    key = scored.measure.key
    columns = [*(f"{key}_{group.lower()}" for group in tables.GROUPS), f"{key}10_total", "auc_total"]
    return [tables.number(scored.scores.get(column, math.nan), 2) for column in columns]


def _plain(scored: "Sequence[Scored]", differences: "Sequence[Difference]") -> str:
    from posernn.evaluation.measure import TORSO_PCK
    from posernn.report import tables

    first = scored[0]
    lines = [tables.plain_table(["", *HEADER], [[one.name, *_cells(one)] for one in scored])]
    if first.measure == TORSO_PCK:
        lines.insert(0, f"PCKh: nobody can be scored, no head boxes; {first.measure.title} instead, in percent")
    lines += [
        f"{other.name} - {first.name}: Total {found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}] (95%, paired)"
        for other, found in zip(scored[1:], differences, strict=True)
    ]
    without = first.scores["num_people_not_scored"]
    counted = f"{first.scores['num_people']:,} people"
    return "\n".join([*lines, counted + (f", {without:,} of them without a scored joint" if without else "")])


def _separated(scored: "Sequence[Scored]", differences: "Sequence[Difference]", between: str, end: str) -> str:
    """Format a table with a separator; differences and their intervals are the last columns if there are any."""
    from posernn.evaluation.measure import PCKH

    measure = scored[0].measure
    header = HEADER if measure == PCKH else [f"{measure.name} {name}" for name in HEADER]
    rows = [["name", *header], *([one.name, *_cells(one)] for one in scored)]
    if differences:
        rows[0] += ["Total - first", "low", "high"]
        rows[1] += ["", "", ""]
        for row, found in zip(rows[2:], differences, strict=True):
            row += [f"{part:.2f}" for part in found]
    if end:  # LaTeX
        rows = [[cell.replace("_", r"\_") for cell in row] for row in rows]
    return "\n".join(between.join(row) + end for row in rows)


def _json(scored: "Sequence[Scored]", differences: "Sequence[Difference]") -> str:
    from posernn.evaluation.scores import rounded

    rows = [{"name": one.name, "base": one.base, **rounded(one.scores)} for one in scored]
    for row, found in zip(rows[1:], differences, strict=True):
        row["difference"] = rounded(
            {f"{scored[0].measure.key}_total": found.value, "low": found.low, "high": found.high}
        )
    return json_module.dumps(rows, indent=2)
