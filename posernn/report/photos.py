"""Reads photos or crops for `posernn predict`, and writes and draws the predicted joints."""

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
"""Minimum side of the pictures in drawings, px: the crops of a small model are too coarse to look at."""
DRAWN_SCALE = 3.0
"""Size of a drawing, as a multiple of a person in the figures of the report."""


class Person(NamedTuple):
    """A person whose joints are to be predicted."""

    image: str
    image_index: int
    person_index: int
    crop: Image.Image
    crop_to_image: Float[np.ndarray, "2 3"]
    picture: Image.Image  # the same view as the crop, in the resolution of drawings


def people_of_crops(folder: Path, side: int) -> list[Person]:
    """Read the people of the val split from a folder of crops.

    Args:
        folder: output of the crops stage.
        side: crop size of the model, px.
    Raises:
        InputError: the folder has no crops, or crops of another size.
    """
    table = read_crops(folder, "val")
    crops = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in scores.jpegs_of(table)]
    if crops[0].size != (side, side):
        raise InputError(
            f"{folder}: expected crops of {side} px, as the model was trained with, got {crops[0].width} px; "
            "set the data set's crop_size and run the crops stage"
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
    """Read image files that show one person each.

    Args:
        paths: JPEG, PNG, WebP or BMP files.
        box_image: (4,) xyxy, image px, around the person; None: the whole image.
        side: crop size of the model, px.
        keep_aspect: extend the box to a square; False: stretch it.
    Returns:
        the people, with the number of their file, and a line with the reason for each file that is left out.
    Raises:
        InputError: no image can be read.
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
    """Write predictions: a table of `schemas.PREDICTIONS` as .parquet, or joints by name, image px, as .json.

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
    """Draw one picture per person, with the skeleton, named by the row of the predictions."""
    for row, (person, joints) in enumerate(zip(people, joints_crop, strict=True)):
        step = person.picture.width / person.crop.width
        shown = (joints + 0.5) * step - 0.5  # the edges of crop and picture coincide; see geometry.py
        picture, affine = np.asarray(person.picture)[None], person.crop_to_image[None]
        figure = sample_people(picture, affine, {"": shown[None]}, np.ones((1, NUM_JOINTS), dtype=bool), {})
        figure.set_size_inches(*(figure.get_size_inches() * DRAWN_SCALE))
        save_figure(figure, folder / f"{row:05d}_{Path(person.image).stem}.png")
