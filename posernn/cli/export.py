"""Writes people and predictions in the formats of other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posernn.cli.main import app
from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


@app.command()
def export(
    source: Annotated[Path, typer.Argument(help="A people.parquet, or a predictions.parquet.")],
    coco: Annotated[Path, typer.Option(help="The COCO file to write: keypoints annotations, or keypoints results.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, whose width and height annotations name.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of people: train or val alone.")] = None,
) -> None:
    """Write people or predictions as COCO keypoints: joints by name, pixels from 0, image ids from image_index.

    With --split train and --split val, the two files of a data set with the same validation set can be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from posernn.data import coco_export, schemas
    from posernn.runtime import files

    try:
        columns = pq.read_schema(source).names
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{source}: expected people.parquet or predictions.parquet, got {error}") from error
    contents: Any
    if "joints_crop" in columns:
        if split is not None:
            raise InputError(f"--split: expected a people.parquet with it, got {source}; leave --split out")
        table = files.read_table(source, schemas.PREDICTIONS, schemas.PREDICTIONS.names)
        contents, num = coco_export.results_of(table), len(table)
    else:
        table = _of_split(files.read_table(source, schemas.PEOPLE), split)
        contents = coco_export.annotations_of(table, _sizes(table, images) if images else {})
        num = len(contents["annotations"])
    files.write_json(coco, contents, indent=None)
    typer.echo(f"{num:,} people: {coco}")


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
