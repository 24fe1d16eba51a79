"""Finds and reads photos: files, folders, patterns and the standard input.

Unlike the crops stage, photos are turned upright by their EXIF orientation: a box and joints refer to what a viewer
shows, while MPII's joints refer to pixels as they are stored.
"""

import glob
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from posernn.data.images import FORMATS, UnusableError, opened_file, to_rgb
from posernn.runtime.errors import InputError

PHOTO_FORMATS = (*FORMATS, "GIF", "TIFF", "AVIF")
"""Of an animation, the first picture is taken."""
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
"""Files of a folder that are taken for photos; a file that is named itself may have any suffix."""
STDIN = Path("-")

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray
"""A path, a Pillow image, or an array (H, W, 3) of uint8, RGB."""


def find(sources: Sequence[str | Path], left_out: Path | None = None) -> list[Path]:
    """List photos.

    Args:
        sources: files; folders, with all photos in them and in their subfolders; patterns such as `**/*.jpg`; `-`, the
            standard input.
        left_out: a folder that does not count as part of its parents: that of the drawings.
    Returns:
        paths, sorted within each source, each photo once.
    Raises:
        InputError: a source has no photos.
    """
    skipped = None if left_out is None else left_out.absolute()
    found: dict[Path, None] = {}
    for source in map(Path, sources):
        if source == STDIN or source.is_file():
            paths = [source]
        elif source.is_dir():
            files = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
            paths = [path for path in files if skipped not in path.absolute().parents]
        else:
            paths = [path for path in map(Path, sorted(glob.glob(str(source), recursive=True))) if path.is_file()]
        if not paths:
            there = "a folder without any" if source.is_dir() else "nothing of that name"
            raise InputError(f"{source}: expected photos ({' '.join(SUFFIXES)}), got {there}; check the path")
        found |= dict.fromkeys(paths)
    return list(found)


def read(path: Path) -> Image.Image:
    """Read a photo as RGB, upright; `-` is the standard input.

    Raises:
        UnusableError: the photo is missing or cannot be decoded.
    """
    with opened_file(io.BytesIO(sys.stdin.buffer.read()) if path == STDIN else path, PHOTO_FORMATS) as image:
        return _upright(image)


def size_of(path: Path) -> tuple[int, int]:
    """Return the width and height of an upright photo, px, without decoding it.

    Raises:
        UnusableError: as `read`.
    """
    with opened_file(path, PHOTO_FORMATS) as image:
        turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientations from 5 on swap width and height
        return (image.height, image.width) if turned else image.size


def to_image(image: ImageLike) -> Image.Image:
    """Return RGB, upright, from a path, a Pillow image or an array.

    Raises:
        InputError: the file cannot be read.
        ValueError: the array is not (H, W, 3) of uint8.
    """
    if isinstance(image, Image.Image):
        return _upright(image)
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image: expected (H, W, 3) of uint8, RGB, got {image.shape} of {image.dtype}")
        return Image.fromarray(image)
    try:
        return read(Path(image))
    except UnusableError as error:
        raise InputError(f"{image}: expected a photo, got none: {error}") from error


def _upright(image: Image.Image) -> Image.Image:
    rgb = to_rgb(ImageOps.exif_transpose(image))
    if image.mode != "RGB":
        rgb.info.pop("icc_profile", None)  # it describes the colours before they were converted
    return rgb
