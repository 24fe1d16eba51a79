"""Scores predictions."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posernn.cli.main import app
from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Head(StrEnum):
    """The keys of metrics.HEAD_CONVENTIONS."""

    official = "official"
    head_top = "head_top"


@app.command()
def score(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="A predictions.parquet; or an .npy array of (N, 16, 2) image px, counted from 1 as in published "
            "predictions, with one row for each row of --val-list."
        ),
    ],
    people: Annotated[Path, typer.Option(help="The ground truth: output of the parse stage.")] = Path(
        "data/people.parquet"
    ),
    val_list: Annotated[
        Path | None,
        typer.Option(help="CSV of image, annolist_index, annorect_index: the people of the rows of an .npy."),
    ] = None,
    head: Annotated[
        Head, typer.Option(help="Joints of the column Head: upper neck and head top, or head_top alone.")
    ] = Head.official,
) -> None:
    """Score predictions: print PCKh@0.5 by group and in total, Total @0.1 and AUC, in percent.

    Where nobody has a head box, the score is torso PCK@0.2.
    """
    import pyarrow as pa

    from posernn.data import schemas
    from posernn.evaluation import metrics
    from posernn.evaluation.measure import choose
    from posernn.report import tables
    from posernn.runtime import files

    truth = files.read_table(people, schemas.PEOPLE)
    keys, pred_image = _read_predictions(predictions, val_list)
    row_of = {key: row for row, key in enumerate(_keys(truth))}
    unknown = [key for key in keys if key not in row_of]
    if unknown:
        image, image_index, person_index = unknown[0]
        raise InputError(
            f"{predictions}: expected people of {people}, got {len(unknown)} others, first {image} (image "
            f"{image_index}, person {person_index}); use the people.parquet of the same release"
        )
    truth = truth.take(pa.array([row_of[key] for key in keys], pa.int64()))
    joints_image, annotated = schemas.to_numpy(truth, "joints_image"), schemas.to_numpy(truth, "annotated")
    measure, size = choose(schemas.to_numpy(truth, "head_size"), joints_image, annotated)
    errors = metrics.normalized_errors(pred_image, joints_image, annotated, size)
    if metrics.num_without_score(errors) == len(truth):
        raise InputError(f"{people}: nobody can be scored: no head boxes, and no torsos; annotate shoulders and hips")
    values = [
        *metrics.pckh_groups(errors, measure.threshold, head=head.value).values(),
        metrics.pckh_total(errors, 0.1),
        metrics.area_under_curve(metrics.pckh_curve(errors, measure.thresholds), measure.thresholds),
    ]
    typer.echo(f"{measure.title}, percent")
    row = [predictions.stem, *(tables.number(100 * value, 2) for value in values)]
    typer.echo(tables.plain_table(["", *tables.GROUPS, "Total @0.1", "AUC"], [row]))
    not_scored = metrics.num_without_score(errors)
    typer.echo(f"{len(truth):,} people" + (f", {not_scored:,} of them without a scored joint" if not_scored else ""))


Key = tuple[str, int, int]
"""Image, image_index, person_index."""


def _keys(table: "pa.Table") -> list[Key]:
    return list(zip(*(table[name].to_pylist() for name in ("image", "image_index", "person_index")), strict=True))


def _read_predictions(path: Path, val_list: Path | None) -> "tuple[list[Key], np.ndarray]":
    """Read the keys of the people and their joints, image px counted from 0, (N, 16, 2)."""
    import numpy as np

    from posernn.data import schemas
    from posernn.data.splits import read_list
    from posernn.runtime import files

    if path.suffix != ".npy":
        table = files.read_table(path, schemas.PREDICTIONS)
        return _keys(table), schemas.to_numpy(table, "joints_image")
    if val_list is None:
        raise InputError(
            f"{path}: expected --val-list with an .npy array, got none; add the CSV that names the person of each row"
        )
    keys = [(listed.image, *listed.key) for listed in read_list(val_list)]
    try:
        joints = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: expected a NumPy array, got {error}; download it again") from error
    if joints.shape != (len(keys), 16, 2) or joints.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: expected ({len(keys)}, 16, 2) numbers, one row for each row of {val_list}, got {joints.shape} "
            f"of {joints.dtype}; give the list of this array's people"
        )
    return keys, joints.astype(np.float64) - 1.0  # published arrays count px from 1, as MPII does
