"""Predicts the joints of people in photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posernn.cli.main import app
from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    import numpy as np


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
