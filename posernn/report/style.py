"""Colours, letters, and how a figure becomes a file."""

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from posernn.runtime.files import replacing

COLORS = {"baseline": "#0072B2", "model": "#D55E00", "mean_pose": "#999999", "median_pose": "#555555"}
"""One colour per role, the same in every figure."""

RIGHT, LEFT, MIDDLE = "#E69F00", "#56B4E9", "#FFFFFF"
"""Sides of the person."""

STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.labelcolor": "#333333",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "axes.axisbelow": True,
    "lines.linewidth": 2,
}
"""Of matplotlib."""

MAX_BYTES = 300_000
"""Of a PNG: reports are kept in Git."""


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of as many colours as MAX_BYTES allow; the usual 256 look no different from all."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png")
    picture = Image.open(buffer).convert("RGB")  # the pixels alone go on: no name and version of a program
    for num_colors in (256, 128, 64, 32):
        with replacing(path) as partial:
            picture.quantize(num_colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
                partial, format="PNG", optimize=True
            )
        if path.stat().st_size <= MAX_BYTES:
            break
