"""Exports models and predictions for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posernn.cli.main import app
from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


@app.command(epilog="Example: posernn export runs/model --onnx model.onnx")
def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="For --onnx a run, or a model in the package. For --mpii a predictions.parquet. For --coco a "
            "people.parquet or a predictions.parquet."
        ),
    ],
    onnx: Annotated[Path | None, typer.Option(help="Write the model as ONNX: docs/how-to/deploy.md runs it.")] = None,
    mpii: Annotated[Path | None, typer.Option(help="Write the predictions as .mat for MPII's evalMPII.")] = None,
    coco: Annotated[
        Path | None, typer.Option(help="Write people as COCO keypoints annotations, or predictions as COCO results.")
    ] = None,
    people: Annotated[Path, typer.Option(help="For --mpii: the release's people, output of the parse stage.")] = Path(
        "data/people.parquet"
    ),
    images: Annotated[
        Path | None, typer.Option(help="For --coco: the images, whose width and height annotations name.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="For --coco: people of this split alone, train or val.")] = None,
) -> None:
    """Write a model, its predictions or people in the format of other programs."""
    if sum(target is not None for target in (onnx, mpii, coco)) != 1:
        raise InputError("export: expected one of --onnx, --mpii and --coco, got none or several; choose one")
    if coco is not None:
        typer.echo(f"{coco}: {_write_coco(source, coco, images, split):,} people")
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


def _write_coco(source: Path, out: Path, images: Path | None, split: str | None) -> int:
    """Write COCO annotations or results, with image_index as image ids; return the number of people."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from posernn.data import coco_export, schemas
    from posernn.runtime import files

    try:
        columns = pq.read_schema(source).names
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{source}: expected people.parquet or predictions.parquet, got {error}") from error
    if "joints_crop" not in columns:
        table = _of_split(files.read_table(source, schemas.PEOPLE), split)
        contents = coco_export.annotations_of(table, _sizes(table, images) if images else {})
        files.write_json(out, contents, indent=None)
        return len(contents["annotations"])
    if split is not None:
        raise InputError(f"--split: expected a people.parquet with it, got {source}; leave --split out")
    predictions = files.read_table(source, schemas.PREDICTIONS, schemas.PREDICTIONS.names)
    files.write_json(out, coco_export.results_of(predictions), indent=None)
    return len(predictions)


def _of_split(people: "pa.Table", split: str | None) -> "pa.Table":
    import pyarrow.compute as pc

    if split is None:
        return people
    found = people.filter(pc.equal(people["split"], split))
    if not len(found):
        known = ", ".join(sorted(set(people["split"].to_pylist())))
        raise InputError(f"--split: expected one of {known}, got {split}; choose one of them")
    return found


def _sizes(people: "pa.Table", images: Path) -> dict[str, tuple[int, int]]:
    """Return width and height of the images that can be opened."""
    from contextlib import suppress

    from posernn.data.images import UnusableError, opened

    found = {}
    for name in dict.fromkeys(people["image"].to_pylist()):
        with suppress(UnusableError), opened(images, name) as image:
            found[name] = image.size
    return found
