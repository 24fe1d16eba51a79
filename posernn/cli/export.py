"""Exports models and predictions for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from posernn.cli.main import app
from posernn.runtime.errors import InputError


@app.command(epilog="Example: posernn export runs/model --onnx model.onnx")
def export(
    source: Annotated[
        Path,
        typer.Argument(help="For --onnx a run, or a model in the package. For --mpii a predictions.parquet."),
    ],
    onnx: Annotated[Path | None, typer.Option(help="Write the model as ONNX: docs/deploy.md runs it.")] = None,
    mpii: Annotated[Path | None, typer.Option(help="Write the predictions as .mat for MPII's evalMPII.")] = None,
    people: Annotated[Path, typer.Option(help="For --mpii: the release's people, output of the parse stage.")] = Path(
        "data/people.parquet"
    ),
) -> None:
    """Write a model or its predictions in the format of other programs."""
    if (onnx is None) == (mpii is None):
        raise InputError("export: expected one of --onnx and --mpii, got none or both; choose one")
    if onnx is not None:
        from posernn.inference import estimator
        from posernn.inference.onnx import export as export_onnx

        model = estimator.load(source)
        outputs = export_onnx(model, onnx)
        typer.echo(f"{onnx}: images (people, 3, {model.side}, {model.side}) of uint8 -> {', '.join(outputs)}")
    if mpii is not None:
        from posernn.data import schemas
        from posernn.runtime import files
        from posernn.submissions import eval_mpii

        predictions = files.read_table(source, schemas.PREDICTIONS)
        eval_mpii.write(mpii, predictions, files.read_table(people, schemas.PEOPLE))
        typer.echo(f"{mpii}: pred with {len(predictions):,} people; pred(i) is image i of RELEASE.annolist")
