"""Predicts the joints of people in photos."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posernn.cli.main import app
from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from posernn.inference.estimator import Estimator
    from posernn.inference.outputs import Photo

DEFAULT_MODEL = "rendered-small"


class Format(StrEnum):
    """The values of outputs.Format."""

    json = "json"
    coco = "coco"
    csv = "csv"
    parquet = "parquet"


FindPeople = Callable[[Path, "Image.Image"], "np.ndarray"]
"""The boxes of the people in a photo, (P, 4) xyxy, image px."""


@app.command(epilog="Example: posernn predict runs/model holiday/ --boxes boxes.csv --out joints.csv --draw drawn/")
def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] PHOTO...",
            help="Photos: files, folders, patterns such as '**/*.jpg', or - for the standard input. Before them the "
            f"folder of a trained run, or the name of a model in the package; without one, {DEFAULT_MODEL}.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where the joints go, px of the upright photo: .json, .csv, .parquet.")] = (
        Path("predictions.json")
    ),
    kind: Annotated[
        Format | None, typer.Option("--format", help="Format of --out: by its suffix; coco is a .json for COCO tools.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(help="A person in the photo, x0,y0,x1,y1 in px of the upright photo; once for each person."),
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="CSV (image, x0, y0, x1, y1) or JSON with the boxes of many photos.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Each photo shows one person, who fills it.")] = False,
    center: Annotated[str | None, typer.Option(help="The person's centre as in MPII, x,y in px; with --scale.")] = None,
    scale: Annotated[
        float | None, typer.Option(min=0.001, help="The person's height / 200 px, as in MPII; with --center.")
    ] = None,
    detector_weights: Annotated[
        Path | None,
        typer.Option(help="Weights of the detector that finds people where no box is given; else downloaded once."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            help="A joint that is known, left_wrist=120,80 in px of the upright photo; once for each joint. A chain "
            "predicts the others from it."
        ),
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="Folder for copies of the photos with the people drawn.")] = None,
) -> None:
    """Predict the 16 joints of the people in photos."""
    from posernn.inference import estimator, outputs, photos

    wanted = kind.value if kind else outputs.format_of(out)
    run, photo_sources = _split(sources)
    paths = photos.find(photo_sources, draw)
    if draw is not None and draw.resolve() == _common_folder(paths).resolve():
        raise InputError(f"--draw: expected another folder than that of the photos, got {draw}; name a new one")
    model = estimator.load(run, detector_weights=detector_weights)
    find_people = _people_finder(model, paths, box, boxes, whole, center, scale)
    found, left_out = _predict_all(model, paths, find_people, _joints(given, paths), draw)
    for reason in left_out:
        typer.echo(f"left out: {reason}", err=True)
    if not found:
        raise InputError(f"PHOTO: expected people, got none in {len(paths)} photos, first {left_out[0]}")
    outputs.write(out, found, wanted)
    people = sum(len(photo.poses) for photo in found)
    typer.echo(f"{people:,} people in {len(found):,} photos: {out}" + (f"; drawn in {draw}" if draw else ""))


def _split(sources: list[str]) -> tuple[str, list[str]]:
    """Split the arguments into the model and the photos."""
    from posernn import models

    first, *others = sources
    path = Path(first)
    if (path / "model.json").is_file() or (first in models.pretrained() and not path.exists()):
        if not others:
            raise InputError(f"PHOTO: expected photos after {first}, got none; name files, folders or patterns")
        return first, others
    return DEFAULT_MODEL, sources


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([path.parent.absolute() for path in paths]))


def _predict_all(
    model: "Estimator",
    paths: Sequence[Path],
    find_people: FindPeople,
    given: "dict[str, np.ndarray] | None",
    draw: Path | None,
) -> "tuple[list[Photo], list[str]]":
    """Predict photo by photo: the pixels of one are in memory at a time.

    Returns:
        the photos with their people, and a line with the reason for each that is left out.
    """
    from posernn.data.images import UnusableError
    from posernn.inference import photos
    from posernn.inference.outputs import Photo
    from posernn.report import drawing
    from posernn.runtime.progress import progress_bar

    folder = _common_folder(paths)
    found: list[Photo] = []
    left_out: list[str] = []
    with progress_bar("predict", "photos") as advance:
        for done, path in enumerate(paths, start=1):
            try:
                picture = photos.read(path)
                poses = model.predict_people(picture, find_people(path, picture), given)
            except UnusableError as error:
                left_out.append(f"{path}: {error}")
            else:
                found.append(Photo(str(path), picture.size, poses))
                if draw is not None:
                    drawn = drawing.draw_people(picture, poses.joints_image, poses.boxes_image)
                    drawing.save(drawn, draw / _drawn_name(path.absolute().relative_to(folder)))
            advance(done, len(paths))
    return found, left_out


def _drawn_name(path: Path) -> Path:
    return path if path.suffix.lower() in (".jpg", ".jpeg", ".png") else path.with_name(f"{path.name}.png")


def _people_finder(
    model: "Estimator",
    paths: Sequence[Path],
    box: list[str] | None,
    boxes: Path | None,
    whole: bool,
    center: str | None,
    scale: float | None,
) -> FindPeople:
    """Choose where the boxes come from.

    Raises:
        InputError: contradictory options, or a box that does not fit its photo: before anything is predicted.
    """
    import numpy as np

    from posernn.inference import box_files
    from posernn.inference import boxes as person_boxes
    from posernn.pose import geometry

    options = {"--box": box, "--boxes": boxes, "--whole": whole, "--center": center}
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        raise InputError(f"{given[0]}: expected one way to say where people are, got {' and '.join(given)}; choose one")
    if (center is None) != (scale is None):
        raise InputError("--center: expected --center and --scale together, got one of them; give both")
    if (box or center) and len(paths) > 1:
        raise InputError(f"{given[0]}: expected one photo, got {len(paths)}; use --boxes for several")
    if whole:
        return lambda path, picture: person_boxes.whole(picture.size)
    if box:
        return _known({paths[0]: np.stack([_numbers("--box", text, "x0,y0,x1,y1") for text in box])}, paths, "--box")
    if center and scale:
        person = geometry.height_box(_numbers("--center", center, "x,y"), np.array(scale))
        return _known({paths[0]: person[None]}, paths, "--center")
    if boxes:
        return _known(box_files.read(boxes, paths), paths, str(boxes))
    return _detected(model)


def _joints(given: list[str] | None, paths: Sequence[Path]) -> "dict[str, np.ndarray] | None":
    """Parse the values of --given: name=x,y."""
    if not given:
        return None
    if len(paths) > 1:
        raise InputError(f"--given: expected one photo, got {len(paths)}")
    named = [text.partition("=") for text in given]
    return {name: _numbers("--given", numbers, "x,y") for name, _, numbers in named}


def _known(boxes: "dict[Path, np.ndarray]", paths: Sequence[Path], where: str) -> FindPeople:
    from posernn.data.images import UnusableError
    from posernn.inference import photos
    from posernn.inference.boxes import check

    def find(path: Path, picture: "Image.Image") -> "np.ndarray":
        if path not in boxes:
            raise UnusableError(f"no box in {where}")
        check(where, boxes[path], picture.size, str(path))
        return boxes[path]

    for path in boxes.keys() - {photos.STDIN}:
        with suppress(UnusableError):  # is left out when it is read
            check(where, boxes[path], photos.size_of(path), str(path))
    return find


def _detected(model: "Estimator") -> FindPeople:
    from posernn.data.images import UnusableError

    model.load_detector()  # before the first photo: it may be out of reach

    def find(path: Path, picture: "Image.Image") -> "np.ndarray":
        boxes = model.find_people(picture)
        if not len(boxes):
            raise UnusableError("the detector found no person")
        return boxes

    return find


def _numbers(option: str, text: str, form: str) -> "np.ndarray":
    """Parse the numbers of an option.

    Args:
        option: its name.
        text: its value.
        form: what is expected, such as "x,y".
    """
    import numpy as np

    try:
        numbers = np.array([float(part) for part in text.split(",")])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != form.count(",") + 1 or not np.isfinite(numbers).all():
        raise InputError(f"{option}: expected {form} in px, got {text}; correct it")
    return numbers
