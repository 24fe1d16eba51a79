"""Opens images by untrusted names safely: no path out of the folder, no unusual format, no decompression bomb.

Pixels are returned as they are stored, without applying an EXIF orientation: MPII's joints refer to stored pixels.
"""

import io
import math
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Accepted formats, detected by content. Some of Pillow's other formats run external programs."""
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Pillow's modes that convert unambiguously to 8-bit RGB. An alpha channel is dropped."""


class UnusableError(Exception):
    """Raised for an image or a person without a crop; the message is the reason in the table of rejects."""


def read_image(images: Path, name: str) -> Image.Image:
    """Decode an image of the folder to RGB.

    Raises:
        UnusableError: as `opened`.
    """
    with opened(images, name) as image:
        return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Decode an opened image and convert it to RGB."""
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")  # convert would copy, which takes as long as decoding


@contextmanager
def opened(images: Path, name: str) -> Iterator[Image.Image]:
    """Open an image of the folder; errors of decoding inside the `with` become UnusableError too.

    Raises:
        UnusableError: the image is outside of the folder, or as `opened_file`.
    """
    with opened_file(_inside(images, name)) as image:
        yield image


@contextmanager
def opened_file(file: Path | io.BytesIO, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open an image file; errors of decoding inside the `with` become UnusableError too.

    Args:
        file: a path, or the contents.
        formats: that are accepted, by Pillow's names.
    Raises:
        UnusableError: the image is missing, broken, too large, or its pixels have not 8 bits.
    """
    try:
        if isinstance(file, Path) and not stat.S_ISREG(file.stat().st_mode):  # a folder, or a pipe, which would block
            raise UnusableError("the image is not a file")
        with warnings.catch_warnings():
            # Pillow warns of damaged metadata, which is harmless, and of decompression bombs, which are not: their size
            # is checked below instead, since warning filters are shared by all threads of an executor.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=formats) as picture:
                if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                    raise Image.DecompressionBombError
                if picture.mode not in MODES:
                    raise UnusableError(f"expected pixels of 8 bits, got {picture.mode}")
                yield picture
    except FileNotFoundError as error:
        raise UnusableError("the image is missing") from error
    except Image.DecompressionBombError as error:
        raise UnusableError("the image is too large to be decoded safely") from error
    except MemoryError as error:
        raise UnusableError("the image does not fit into memory") from error
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError) as error:  # from Pillow's plugins
        what = getattr(error, "strerror", None) or str(error)
        what = "unknown format" if isinstance(error, Image.UnidentifiedImageError) else what
        raise UnusableError(f"the image cannot be decoded: {' '.join(what.split())}") from error


def _inside(images: Path, name: str) -> Path:
    """Return the path of an image. Its name may not lead out of the folder; links are followed."""
    if "\0" in name:
        raise UnusableError("the image's name is not a valid file name")
    path = Path(name)
    if path.is_absolute() or path.drive or ".." in path.parts or not path.parts:
        raise UnusableError("the image's name leads out of the images folder; not opened")
    return images / path
