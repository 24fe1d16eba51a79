"""One image -> the crops of the people in it: boxes, pixels, JPEG bytes. What a worker process runs; see crops.py.

Convention:
    - A crop shows exactly its box: the box's edges fall on the crop's edges, geometry.crop_to_image says where.
    - Beyond the border of the image it is black.
    - With `keep_aspect` the box grows to a square about its centre; without, the box is stretched. The `person` box
      is a square already.
    - Pixels are taken as they are stored: MPII's joints refer to them, so an EXIF orientation is not applied.
"""

import io
import math
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from posernn.pose import geometry

Box = Literal["joints", "person"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Formats that are opened, whatever a file's name says. Pillow's others include some that run programs."""
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Kinds of pixels that have an unambiguous RGB of 8 bits. An alpha channel is dropped."""
MOST_BOX_PER_IMAGE = 16.0
"""A box this many times larger than the image is a wrong annotation. MPII's largest: 6,200 px, with images of 1280."""
FILTER = Image.Resampling.BILINEAR
"""Pillow widens it with the step when it shrinks, so that no pixel is skipped: a triangle, one step to each side."""
FILTER_REACH = 1.0


class Annotation(NamedTuple):
    """What places one person's crop."""

    joints_image: Float[np.ndarray, "16 2"]
    annotated: Bool[np.ndarray, "16"]
    center_image: Float[np.ndarray, "2"]  # NaN: not known
    scale: float  # NaN: not known


class Crop(NamedTuple):
    """One person's picture, and the affine from it to the image it was cut from."""

    jpeg: bytes
    crop_to_image: Float[np.ndarray, "2 3"]


Task = Sequence[tuple[str, Sequence[Annotation]]]
"""Names of images, each with the people in it."""


class UnusableError(Exception):
    """A picture or a person that gives no crop; the message is the reason in the table of rejects."""


def crops_of_images(task: Task, images: Path, **settings: Any) -> list[Crop | str]:
    """`crops_of_image` for several images; the people of all of them one after another."""
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
) -> list[Crop | str]:
    """Cut every person out of one image, which is decoded once.

    Args:
        images: folder; nothing outside of it is opened.
        name: of the image inside the folder.
        people: those in the image.
        box: joints: around the annotated joints; person: MPII's centre and scale.
        padding: image px around the joints; for `joints` only.
        keep_aspect: grow the box to a square; else stretch it.
        side: crop px.
        jpeg_quality: 1 to 95.
    Returns:
        for each person the crop, or why there is none.
    """
    where = {"box": box, "padding": padding, "keep_aspect": keep_aspect}
    try:
        with _opened(images, name) as image:
            boxes = [_box_or_reason(person, image.size, **where) for person in people]  # (4,) each, image px
            shrink = _shrink(image, [found for found in boxes if not isinstance(found, str)], side)
            picture = _rgb(image)
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


def _box_or_reason(person: Annotation, size: tuple[int, int], **where: Any) -> Float[np.ndarray, "4"] | str:
    try:
        return box_of(person, size, **where)
    except UnusableError as error:
        return str(error)


def _shrink(image: Image.Image, boxes: Sequence[Float[np.ndarray, "4"]], side: int) -> float:
    """Let a JPEG be decoded no larger than its crops need: to a half, a quarter or an eighth, which is quicker.

    Args:
        image: opened, not decoded yet.
        boxes: (4,) xyxy, image px, of all crops.
        side: crop px.
    Returns:
        px of the image per decoded px.
    Source: libjpeg's scaled inverse DCT.
    """
    step = min((((box[2:] - box[:2]) / side).min() for box in boxes), default=1.0)  # image px per crop px
    shrink = max(factor for factor in (1, 2, 4, 8) if factor <= max(step, 1.0))
    width = image.width
    drafted = image.draft(None, (max(width // shrink, 1), max(image.height // shrink, 1)))
    return 1.0 if drafted is None else width / drafted[1][2]  # None: not a JPEG


def read_image(images: Path, name: str) -> Image.Image:
    """Decode an image of the folder to RGB.

    Raises:
        UnusableError: missing, not inside the folder, broken, too large, or of pixels that are not 8 bits deep.
    """
    with _opened(images, name) as image:
        return _rgb(image)


def _rgb(image: Image.Image) -> Image.Image:
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")  # a copy takes as long as decoding


@contextmanager
def _opened(images: Path, name: str) -> Iterator[Image.Image]:
    """Open an image of the folder. What goes wrong while it is decoded inside of the `with` is unusable, too."""
    path = _inside(images, name)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a folder, or a pipe that nobody writes to
            raise UnusableError("the image is not a file")
        with warnings.catch_warnings():
            # Pillow warns of damaged metadata, which do not matter here, and of sizes that cannot be honest, which do:
            # those are looked at, since in an executor's threads filters of warnings are everybody's.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                    raise Image.DecompressionBombError
                if picture.mode not in MODES:
                    raise UnusableError(f"expected pixels of 8 bits, got {picture.mode}")
                yield picture
    except FileNotFoundError as error:
        raise UnusableError("the image is not there") from error
    except Image.DecompressionBombError as error:
        raise UnusableError("the image is too large to be decoded safely") from error
    except MemoryError as error:
        raise UnusableError("the image does not fit into memory") from error
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError) as error:  # Pillow's plugins
        what = "unknown format" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UnusableError(f"the image cannot be decoded: {' '.join(what.split())}") from error


def _inside(images: Path, name: str) -> Path:
    """The file of that name, if neither the name nor a link leads out of the folder."""
    try:
        folder = images.resolve()
        path = (folder / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # links in a circle, a zero byte in the name
        raise UnusableError("the image's name is not one that a file can have") from error
    if not path.is_relative_to(folder) or path == folder:
        raise UnusableError("the image's name leads out of the images folder; not opened")
    return path


def box_of(
    person: Annotation, size: tuple[int, int], *, box: Box, padding: float, keep_aspect: bool
) -> Float[np.ndarray, "4"]:
    """The box that a person's crop shows.

    Args:
        person: with an annotated joint.
        size: width and height of the image, px.
        box, padding, keep_aspect: as in `crops_of_image`.
    Returns:
        (4,) xyxy, image px; at least 1 px wide and high, and overlapping the image.
    Raises:
        UnusableError: there is no such box.
    """
    if box == "joints":
        box_image = geometry.joints_box(person.joints_image, person.annotated, padding=padding, size=size)
    elif np.isfinite([*person.center_image, person.scale]).all():
        box_image = geometry.person_box(person.center_image, person.scale)
    else:
        raise UnusableError("no centre and scale, which the person box needs")
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
    """Resample the box to `side` x `side` px; antialiased when it shrinks, black beyond the border.

    Args:
        picture: RGB.
        box_image: (4,) xyxy, image px, with an area.
        side: crop px.
    """
    box = box_image + 0.5  # (4,); Pillow counts from the corner of the first pixel, geometry.py from its centre
    step = (box[2:] - box[:2]) / side  # image px per crop px, (2,)
    reach = FILTER_REACH * np.maximum(step, 1.0)
    # Only the crop's pixels that see some of the image are computed; the memory needed does not grow with the box.
    first = np.clip(np.floor((-reach - box[:2]) / step), 0, side).astype(int)
    last = np.clip(np.ceil((picture.size + reach - box[:2]) / step), 0, side).astype(int)
    crop = Image.new("RGB", (side, side))
    if (first < last).all():
        low, high = box[:2] + first * step, box[:2] + last * step  # (2,)
        # Cut out all that the filter sees. Beyond the border that is black, if the box goes there; a box that ends with
        # the image gets no dark rim.
        corner = np.where(box[:2] < 0, np.floor(low - reach), np.maximum(np.floor(low - reach), 0)).astype(int)
        opposite = np.ceil(high + reach)
        opposite = np.where(box[2:] > picture.size, opposite, np.minimum(opposite, picture.size)).astype(int)
        cut = picture.crop((*corner.tolist(), *opposite.tolist()))
        inner = tuple(np.concatenate([low - corner, high - corner]).tolist())
        crop.paste(cut.resize(tuple((last - first).tolist()), FILTER, box=inner), tuple(first.tolist()))
    return crop


def encode(crop: Image.Image, jpeg_quality: int) -> bytes:
    """JPEG bytes; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=jpeg_quality)
    return buffer.getvalue()
