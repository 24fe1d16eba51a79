"""Draws skeletons and boxes on photos, in the photo's own size and colours."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from posernn.pose.skeleton import LIMBS, Joint
from posernn.report.people import SIDE_COLORS, side_of
from posernn.runtime.files import replacing

LINE = 1 / 120
"""Width of a limb, as a share of the longer side of the person's box."""
MIN_LINE = 2.0
"""Minimum width of a limb, px."""
SMOOTH = 8.0
"""Thinner lines, px, are drawn larger and reduced: antialiasing."""
JPEG_QUALITY = 95


def draw_people(
    photo: Image.Image, joints_image: Float[np.ndarray, "P 16 2"], boxes_image: Float[np.ndarray, "P 4"]
) -> Image.Image:
    """Return a copy of a photo with the skeletons and boxes of its people.

    Args:
        photo: RGB.
        joints_image: image px, (P, 16, 2) xy.
        boxes_image: (P, 4) xyxy, image px.
    """
    drawn = photo.copy()
    for joints, box in zip(joints_image, boxes_image, strict=True):
        width = max(float((box[2:] - box[:2]).max()) * LINE, MIN_LINE)
        shown = joints[np.isfinite(joints).all(axis=1)]
        points = np.concatenate([shown, box.reshape(2, 2)])
        low = np.clip(np.floor(points.min(axis=0) - 3 * width), 0, photo.size).astype(int)
        high = np.clip(np.ceil(points.max(axis=0) + 3 * width), 0, photo.size).astype(int)
        if (low < high).all():
            layer = _layer(joints - low, box - np.tile(low, 2), (high - low).tolist(), width)
            drawn.paste(layer, tuple(low.tolist()), layer)
    return drawn


def save(photo: Image.Image, path: Path) -> None:
    """Write a drawn photo with its colour profile: JPEG at a high quality for .jpg and .jpeg, else PNG.

    Raises:
        InputError: the file cannot be written.
    """
    kind = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    with replacing(path) as partial:
        photo.save(partial, kind, quality=JPEG_QUALITY, icc_profile=photo.info.get("icc_profile"))


def _layer(joints: np.ndarray, box: np.ndarray, size: list[int], width: float) -> Image.Image:
    """Draw a skeleton and a box on a transparent picture.

    Args:
        joints: (16, 2) xy, px of the layer.
        box: (4,) xyxy, px of the layer.
        size: width and height of the layer, px.
        width: of a limb, px.
    """
    fine = int(np.ceil(SMOOTH / width))
    layer = Image.new("RGBA", (size[0] * fine, size[1] * fine))
    pen = ImageDraw.Draw(layer)
    # Pillow's coordinates are pixel centres, as geometry.py's.
    joints, box, width = (joints + 0.5) * fine - 0.5, (box + 0.5) * fine - 0.5, width * fine
    for color, out, line in (("black", 0.3 * width, 0.8 * width), ("white", 0.0, 0.4 * width)):
        pen.rectangle([*(box[:2] - out).tolist(), *(box[2:] + out).tolist()], outline=color, width=max(round(line), 1))
    known = [joint for joint in Joint if np.isfinite(joints[joint]).all()]
    limbs = [limb for limb in LIMBS if set(limb) <= set(known)]
    for limb in limbs:
        _line(pen, joints[list(limb)], "black", 1.6 * width)
    for limb in limbs:
        _line(pen, joints[list(limb)], SIDE_COLORS[side_of(limb)], width)
    for joint in known:
        _dot(pen, joints[joint], SIDE_COLORS[side_of((joint,))], 0.8 * width)
    return layer.reduce(fine) if fine > 1 else layer


def _line(pen: ImageDraw.ImageDraw, ends: np.ndarray, color: str, width: float) -> None:
    pen.line(ends.ravel().tolist(), fill=color, width=round(width))
    for end in ends:
        _dot(pen, end, color, width / 2)


def _dot(pen: ImageDraw.ImageDraw, place: np.ndarray, color: str, radius: float) -> None:
    pen.ellipse([*(place - radius).tolist(), *(place + radius).tolist()], fill=color)
