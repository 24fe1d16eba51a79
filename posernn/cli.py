"""The command `posernn`: score predictions, predict, look at recorded runs. Heavy things are imported where used."""

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class _OneLineErrors(TyperGroup):
    """A wrong input is one line and exit code 1, as in the stages."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error


class Head(StrEnum):
    """The keys of metrics.HEAD_CONVENTIONS."""

    official = "official"
    head_top = "head_top"


app = typer.Typer(cls=_OneLineErrors, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool | None) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"posernn {version('posernn')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = None,
) -> None:
    """Predict the joints of people in pictures, one after another or all at once, and score them with PCKh."""


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
    """Score predictions: print PCKh@0.5 by group and in total, Total @0.1 and AUC, in percent."""
    import pyarrow as pa

    from posernn.data import schemas
    from posernn.evaluation import metrics
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
    errors = metrics.normalized_errors(
        pred_image,
        schemas.to_numpy(truth, "joints_image"),
        schemas.to_numpy(truth, "annotated"),
        schemas.to_numpy(truth, "head_size"),
    )
    values = [
        *metrics.pckh_groups(errors, head=head.value).values(),
        metrics.pckh_total(errors, 0.1),
        metrics.area_under_curve(metrics.pckh_curve(errors)),
    ]
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
        table = files.read_table(path, schemas.PREDICTIONS, schemas.PREDICTIONS.names)
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


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a trained model: runs/baseline, runs/model.")],
    source: Annotated[
        list[Path], typer.Argument(help="Image files, one person in each; or one folder of crops: its val split.")
    ],
    out: Annotated[Path, typer.Option(help="Where the joints go, image px from 0: .parquet or .json.")] = Path(
        "predictions.parquet"
    ),
    box: Annotated[
        str | None, typer.Option(help="The person in each image file, x0,y0,x1,y1 in px; else the whole image.")
    ] = None,
    keep_aspect: Annotated[
        bool, typer.Option("--keep-aspect", help="The model was trained with crops.keep_aspect: true.")
    ] = False,
    draw: Annotated[Path | None, typer.Option(help="Folder for pictures with the skeletons drawn on them.")] = None,
) -> None:
    """Predict the 16 joints of people with a trained model."""
    import numpy as np
    import torch

    from posernn import models
    from posernn.evaluation.predict import predict as predict_joints
    from posernn.report import photos
    from posernn.runtime import files

    if out.suffix not in (".parquet", ".json"):
        raise InputError(f"--out: expected a name that ends in .parquet or .json, got {out}; choose one of them")
    model, side = models.load(run), files.read_json(run / "model.json")["crop_size"]
    if source[0].is_dir():
        if len(source) > 1:
            raise InputError(f"SOURCE: expected image files or one folder of crops, got {len(source)}; predict each")
        people = photos.people_of_crops(source[0], side)
    else:
        people, left_out = photos.people_of_images(source, _parse_box(box), side, keep_aspect=keep_aspect)
        for reason in left_out:
            typer.echo(f"left out: {reason}", err=True)
    crops = np.stack([np.asarray(person.crop) for person in people])  # (N, S, S, 3)
    joints_unit = predict_joints(model, torch.from_numpy(crops).permute(0, 3, 1, 2)).joints_unit
    joints_crop = side * joints_unit.numpy()
    photos.write(out, people, joints_crop)
    if draw is not None:
        photos.draw(draw, people, joints_crop)
    typer.echo(f"{len(people):,} people: {out}" + (f"; drawn in {draw}" if draw else ""))


def _parse_box(text: str | None) -> "np.ndarray | None":
    """The (4,) xyxy of --box, image px."""
    import numpy as np

    if text is None:
        return None
    try:
        box_image = np.array([float(part) for part in text.split(",")])
    except ValueError:
        box_image = np.empty(0)
    if box_image.shape != (4,) or not np.isfinite(box_image).all() or not (box_image[:2] < box_image[2:]).all():
        raise InputError(f"--box: expected x0,y0,x1,y1 with x0 < x1 and y0 < y1, got {text}; mend it")
    return box_image


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
    open_: Annotated[bool, typer.Option("--open", help="Open the table of runs in a browser.")] = False,
) -> None:
    """Show recorded runs in MLflow's viewer, for this machine only. Ctrl-C ends it."""
    from posernn.runtime import browse, store, tracking

    uri = tracking.backend_uri()
    if uri.startswith(("http://", "https://")):
        raise InputError(
            f"MLFLOW_TRACKING_URI: expected a database, got a server, {tracking.without_secrets(uri)}; "
            "open that in a browser"
        )
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.is_file():
        raise InputError(f"{database}: expected recorded runs, got nothing; train first, in the project's folder")
    pages: dict[str, str] = {}
    with suppress(sqlite3.OperationalError):  # locked, or without tables: MLflow's to say
        store.claim_artifacts()
        pages = browse.pages()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"--port: expected a free one, got {port} ({error.strerror}); try another") from error
    # One process and half a gigabyte; by default MLflow starts 15 with 3 GB.
    os.environ |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    address = f"http://127.0.0.1:{port}"
    typer.echo(f"{address} (in a few seconds; Ctrl-C ends it)")
    for title, path in pages.items():
        typer.echo(f"{title}: {address}{path}")
    sys.stdout.flush()
    if open_:
        first = address + next(iter(pages.values()), "")
        subprocess.Popen([sys.executable, "-m", "posernn.runtime.browse", first])
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    os.execv(sys.executable, [*command, "--port", str(port), "--workers", "1"])


@app.command()
def sync() -> None:
    """Send to MLflow the runs and results that it did not take while it was down."""
    from posernn.runtime import publish, tracking

    typer.echo(f"{publish.sync()} runs and results sent to {tracking.without_secrets(tracking.backend_uri())}")
