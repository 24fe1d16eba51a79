"""Computes which part of a photo a model sees, from the box of a person.

A box of a person is (4,) xyxy, image px, around the visible body. A model trained on `joints` crops gets the box
itself, clipped to the photo as its training boxes were. A model trained on `person` crops gets 1.25 times the longer
side, as MPII's centre and scale give it: for an upright person the longer side is the height.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from posernn.data.cropping import Box
from posernn.pose import geometry
from posernn.runtime.errors import InputError

MARGIN = geometry.PERSON_BOX_SIDE / geometry.PERSON_HEIGHT
"""Side of a `person` crop, in heights of the person."""


class Crops(NamedTuple):
    """How a model's crops were cut from the images; see params.yaml."""

    box: Box
    padding: float
    keep_aspect: bool


def whole(size: tuple[int, int]) -> Float[np.ndarray, "1 4"]:
    """Return one box, which is the whole photo.

    Args:
        size: width and height, px.
    """
    return np.array([[-0.5, -0.5, size[0] - 0.5, size[1] - 0.5]])


def crop_box(box_image: Float[np.ndarray, "4"], size: tuple[int, int], crops: Crops) -> Float[np.ndarray, "4"]:
    """Return the box of the crop that shows a person as the training crops did.

    Args:
        box_image: (4,) xyxy, image px, of the person; accepted by `check`.
        size: width and height of the photo, px.
        crops: of the model.
    Returns:
        (4,) xyxy, image px.
    """
    if crops.box == "person":
        return geometry.grow(geometry.square_box(box_image), MARGIN)
    low = np.maximum(box_image[:2], -0.5)
    clipped = np.concatenate([low, np.minimum(box_image[2:], np.asarray(size) - 0.5)])
    return geometry.square_box(clipped) if crops.keep_aspect else clipped


def check(where: str, boxes_image: Float[np.ndarray, "P 4"], size: tuple[int, int], photo: str) -> None:
    """Check the boxes of the people in a photo.

    Args:
        where: they come from, for the message.
        boxes_image: (P, 4) xyxy, image px.
        size: width and height of the photo, px.
        photo: its name, for the message.
    Raises:
        InputError: a box is reversed, smaller than a pixel, or outside of the photo.
    """
    for box in boxes_image:
        shown = ",".join(f"{value:g}" for value in box)
        if not (np.isfinite(box).all() and (box[:2] < box[2:]).all()):
            raise InputError(f"{where}: expected x0,y0,x1,y1 with x0 < x1 and y0 < y1, got {shown}; correct the box")
        overlap = np.minimum(box[2:], np.asarray(size) - 0.5) - np.maximum(box[:2], -0.5)
        if (overlap <= 0).any():
            raise InputError(
                f"{where}: expected a box inside of {photo} ({size[0]} x {size[1]} px), got {shown}; "
                "boxes are x0,y0,x1,y1 in px of the upright photo"
            )
        if (overlap < 1).any():
            raise InputError(
                f"{where}: expected a box in px, got {shown}, less than a pixel of {photo}; "
                f"multiply shares by its width and height, {size[0]} and {size[1]}"
            )


def as_boxes(where: str, values: Any) -> Float[np.ndarray, "P 4"]:
    """Convert the boxes of a photo to an array.

    Args:
        where: they come from, for the message.
        values: one box, or a sequence or array of boxes.
    Raises:
        InputError: not four numbers each.
    """
    try:
        boxes = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected x0,y0,x1,y1 in px, got {values!r}; correct the box") from error
    if (boxes.size and boxes.shape[-1:] != (4,)) or boxes.ndim > 2:
        raise InputError(f"{where}: expected x0,y0,x1,y1 in px, got {values!r}; correct the box")
    return boxes.reshape(-1, 4)
