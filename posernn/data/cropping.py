"""One image -> the crops of its people: boxes, resampling, JPEG. crops.py calls it in parallel for all images.

Convention:
    - A crop shows exactly its box: the edges of the box fall on the edges of the crop (geometry.crop_to_image).
    - Crops are black beyond the border of the image.
    - With `keep_aspect` the box grows to a square about its centre; without, it is stretched to a square. The `person`
      box is a square.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from posernn.data.images import UnusableError, opened, to_rgb
from posernn.pose import geometry

Box = Literal["joints", "person"]

MOST_BOX_PER_IMAGE = 16.0
"""Boxes more than this many times as large as the image are annotation errors. MPII's largest has 6,200 px of 1280."""
FILTER = Image.Resampling.BILINEAR
"""A triangle of one step to each side. Pillow widens it when it shrinks an image: antialiasing."""
FILTER_REACH = 1.0


class Annotation(NamedTuple):
    """Annotation of one person, as far as cropping needs it."""

    joints_image: Float[np.ndarray, "16 2"]
    annotated: Bool[np.ndarray, "16"]
    center_image: Float[np.ndarray, "2"]  # NaN: unknown
    scale: float  # NaN: unknown


class Crop(NamedTuple):
    """One person's crop as JPEG, and the affine from the crop to the image."""

    jpeg: bytes
    crop_to_image: Float[np.ndarray, "2 3"]


Task = Sequence[tuple[str, Sequence[Annotation]]]
"""Names of images with the people of each."""


def crops_of_images(task: Task, images: Path, **settings: Any) -> list[Crop | str]:
    """Crop the people of several images: the results of `crops_of_image`, concatenated."""
    return [crop for name, people in task for crop in crops_of_image(images, name, people, **settings)]


def crops_of_image(
    images: Path,
    name: str,
    people: Sequence[Annotation],
    *,
    box: Box,
    padding: float,
    keep_aspect: bool,
    side: int,
    jpeg_quality: int,
    border: int = 0,
) -> list[Crop | str]:
    """Crop all people of one image, which is decoded once.

    Args:
        images: folder; no file outside of it is opened.
        name: of the image inside the folder.
        people: of the image.
        box: joints: around the annotated joints; person: from MPII's centre and scale.
        padding: image px around the joints; unused for person boxes.
        keep_aspect: grow the box to a square instead of stretching it.
        side: crop px.
        jpeg_quality: 1 to 95.
        border: crop px that are shown beyond each side of the box.
    Returns:
        for each person the crop, or the reason why there is none.
    """
    where = {"box": box, "padding": padding, "keep_aspect": keep_aspect}
    growth = 1 + 2 * border / side
    side += 2 * border
    try:
        with opened(images, name) as image:
            boxes = [_box_or_reason(person, image.size, growth, **where) for person in people]  # (4,) each, image px
            shrink = _shrink(image, [found for found in boxes if not isinstance(found, str)], side)
            picture = to_rgb(image)
    except UnusableError as error:
        return [str(error)] * len(people)
    return [
        found
        if isinstance(found, str)
        else Crop(
            encode(render(picture, (found + 0.5) / shrink - 0.5, side), jpeg_quality),
            geometry.crop_to_image(found, side),
        )
        for found in boxes
    ]


def _box_or_reason(
    person: Annotation, size: tuple[int, int], growth: float, **where: Any
) -> Float[np.ndarray, "4"] | str:
    try:
        return geometry.grow(box_of(person, size, **where), growth)
    except UnusableError as error:
        return str(error)


def _shrink(image: Image.Image, boxes: Sequence[Float[np.ndarray, "4"]], side: int) -> float:
    """Configure the decoder to 1/2, 1/4 or 1/8 of a JPEG's size where its crops need no more: decoding is faster.

    Args:
        image: opened, not yet decoded.
        boxes: (4,) xyxy, image px, of all crops.
        side: crop px.
    Returns:
        image px per decoded px.
    Source: libjpeg's scaled inverse DCT.
    """
    step = min((((box[2:] - box[:2]) / side).min() for box in boxes), default=1.0)  # image px per crop px
    shrink = max(factor for factor in (1, 2, 4, 8) if factor <= max(step, 1.0))
    width = image.width
    drafted = image.draft(None, (max(width // shrink, 1), max(image.height // shrink, 1)))
    return 1.0 if drafted is None else width / drafted[1][2]  # None: not a JPEG


def box_of(
    person: Annotation, size: tuple[int, int], *, box: Box, padding: float, keep_aspect: bool
) -> Float[np.ndarray, "4"]:
    """Return the box of a person's crop.

    Args:
        person: has at least one annotated joint.
        size: width and height of the image, px.
        box, padding, keep_aspect: as in `crops_of_image`.
    Returns:
        (4,) xyxy, image px; at least 1 px wide and high, and overlapping the image.
    Raises:
        UnusableError: the centre is unknown, or the box is too small, too large or outside of the image.
    """
    if box == "joints":
        box_image = geometry.joints_box(person.joints_image, person.annotated, padding=padding, size=size)
    elif np.isfinite([*person.center_image, person.scale]).all():
        box_image = geometry.person_box(person.center_image, person.scale)
    else:
        raise UnusableError("centre or scale is unknown, and the person box needs both")
    extent = box_image[2:] - box_image[:2]
    overlap = np.minimum(box_image[2:], np.asarray(size) - 0.5) - np.maximum(box_image[:2], -0.5)
    if (overlap <= 0).any():
        raise UnusableError("the box lies outside of the image")
    if (extent < 1).any():
        raise UnusableError(f"the box is only {extent[0]:.2g} x {extent[1]:.2g} px")
    if extent.max() > MOST_BOX_PER_IMAGE * max(size):
        raise UnusableError(f"the box is {extent.max():.0f} px wide, {MOST_BOX_PER_IMAGE:g} times the image or more")
    return geometry.square_box(box_image) if keep_aspect else box_image


def render(picture: Image.Image, box_image: Float[np.ndarray, "4"], side: int) -> Image.Image:
    """Resample a box to `side` x `side` px, antialiased, and black beyond the border of the picture.

    Args:
        picture: RGB.
        box_image: (4,) xyxy, image px, with an area.
        side: crop px.
    """
    box = box_image + 0.5  # (4,); Pillow's origin is the corner of the first pixel, geometry.py's its centre
    step = (box[2:] - box[:2]) / side  # image px per crop px, (2,)
    reach = FILTER_REACH * np.maximum(step, 1.0)
    # Compute only the crop's pixels that overlap the image: memory does not grow with the box.
    first = np.clip(np.floor((-reach - box[:2]) / step), 0, side).astype(int)
    last = np.clip(np.ceil((picture.size + reach - box[:2]) / step), 0, side).astype(int)
    crop = Image.new("RGB", (side, side))
    if (first < last).all():
        low, high = box[:2] + first * step, box[:2] + last * step  # (2,)
        # Cut out the filter's support. Where the box extends beyond the border, the support includes black; where the
        # box ends at the border, the support ends there too, so that the crop has no dark rim.
        corner = np.where(box[:2] < 0, np.floor(low - reach), np.maximum(np.floor(low - reach), 0)).astype(int)
        opposite = np.ceil(high + reach)
        opposite = np.where(box[2:] > picture.size, opposite, np.minimum(opposite, picture.size)).astype(int)
        cut = picture.crop((*corner.tolist(), *opposite.tolist()))
        inner = tuple(np.concatenate([low - corner, high - corner]).tolist())
        crop.paste(cut.resize(tuple((last - first).tolist()), FILTER, box=inner), tuple(first.tolist()))
    return crop


def encode(crop: Image.Image, jpeg_quality: int) -> bytes:
    """Encode as JPEG; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=jpeg_quality)
    return buffer.getvalue()
