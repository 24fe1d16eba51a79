"""Pictures from anywhere -> people to predict -> joints in files and drawings: what `posernn predict` is made of."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from posernn.data import schemas
from posernn.data.cropping import render
from posernn.data.images import UnusableError, read_image
from posernn.data.shards import read_crops
from posernn.evaluation import scores
from posernn.pose import geometry
from posernn.pose.skeleton import NUM_JOINTS, Joint
from posernn.report.people import sample_people
from posernn.report.style import save as save_figure
from posernn.runtime import files
from posernn.runtime.errors import InputError

DRAWN_SIDE = 448
"""Pictures in drawings, px; a small model's own crops would be too coarse to look at."""
DRAWN_SCALE = 3.0
"""Drawings, by the size of a person in the figures of the report."""


class Person(NamedTuple):
    """Somebody to predict."""

    image: str
    image_index: int
    person_index: int
    crop: Image.Image
    crop_to_image: Float[np.ndarray, "2 3"]
    picture: Image.Image  # shows what the crop shows, for people to look at


def people_of_crops(folder: Path, side: int) -> list[Person]:
    """Everybody of the val split in a folder of crops.

    Args:
        folder: as the crops stage writes it.
        side: crop px, as the model was trained.
    Raises:
        InputError: no crops, or of another size.
    """
    table = read_crops(folder, "val")
    crops = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in scores.jpegs_of(table)]
    if crops[0].size != (side, side):
        raise InputError(
            f"{folder}: expected crops of {side} px, which the model was trained with, got {crops[0].width}; "
            "run the crops stage with its crop_size"
        )
    rows = zip(*(table[name].to_pylist() for name in ("image", "image_index", "person_index")), strict=True)
    affines = scores.people_of(table).crop_to_image
    return [
        Person(image["path"], image_index, person_index, crop, affine, crop)
        for (image, image_index, person_index), crop, affine in zip(rows, crops, affines, strict=True)
    ]


def people_of_images(
    paths: Sequence[Path], box_image: Float[np.ndarray, "4"] | None, side: int, *, keep_aspect: bool
) -> tuple[list[Person], list[str]]:
    """One person in each image file.

    Args:
        paths: JPEG, PNG, WebP or BMP files.
        box_image: (4,) xyxy, image px, around the person; None: the whole image.
        side: crop px, as the model was trained.
        keep_aspect: grow the box to a square; else stretch it.
    Returns:
        the people, numbered as their files are, and for each file that is left out the reason.
    Raises:
        InputError: not one image can be read.
    """
    people, left_out = [], []
    for number, path in enumerate(paths):
        try:
            image = read_image(path.parent, path.name)
        except UnusableError as error:
            left_out.append(f"{path}: {error}")
            continue
        box = np.array([-0.5, -0.5, image.width - 0.5, image.height - 0.5]) if box_image is None else box_image
        box = geometry.square_box(box) if keep_aspect else box
        affine = geometry.crop_to_image(box, side)
        picture = render(image, box, max(side, DRAWN_SIDE))
        people.append(Person(path.name, number, 0, render(image, box, side), affine, picture))
    if not people:
        raise InputError(f"SOURCE: expected images, got {len(paths)} that cannot be read, first {left_out[0]}")
    return people, left_out


def write(path: Path, people: Sequence[Person], joints_crop: Float[np.ndarray, "N 16 2"]) -> None:
    """Write predictions: `schemas.PREDICTIONS` to .parquet; names of joints and image px to .json.

    Raises:
        InputError: the file cannot be written.
    """
    affines = np.stack([person.crop_to_image for person in people])  # (N, 2, 3)
    joints_image = geometry.transform(joints_crop.astype(np.float64), affines)
    if path.suffix == ".json":
        rows = [
            {
                "image": person.image,
                "person": person.person_index,
                "joints_image": {joint.label: joints[joint].round(2).tolist() for joint in Joint},
            }
            for person, joints in zip(people, joints_image, strict=True)
        ]
        files.write_json(path, rows)
        return
    table = schemas.predictions_table(
        [person.image for person in people],
        [person.image_index for person in people],
        [person.person_index for person in people],
        joints_image,
        joints_crop,
    )
    files.write_table(path, table)


def draw(folder: Path, people: Sequence[Person], joints_crop: Float[np.ndarray, "N 16 2"]) -> None:
    """Draw each person's skeleton on a picture of its own, numbered as the rows of the predictions are."""
    for row, (person, joints) in enumerate(zip(people, joints_crop, strict=True)):
        step = person.picture.width / person.crop.width
        shown = (joints + 0.5) * step - 0.5  # edges fall on edges; see geometry.py
        picture, affine = np.asarray(person.picture)[None], person.crop_to_image[None]
        figure = sample_people(picture, affine, {"": shown[None]}, np.ones((1, NUM_JOINTS), dtype=bool), {})
        figure.set_size_inches(*(figure.get_size_inches() * DRAWN_SCALE))
        save_figure(figure, folder / f"{row:05d}_{Path(person.image).stem}.png")
