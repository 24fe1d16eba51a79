"""Defines the look of all figures (matplotlib settings, colours) and saves a figure as a small PNG."""

import io
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from posernn.runtime.files import replacing

GREYS = {"mean_pose": "#999999", "median_pose": "#555555"}
"""Colours of the constant poses."""

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of the entries, in their order. Source: Okabe & Ito 2008, readable by the colour-blind."""

RIGHT, LEFT, MIDDLE = "#E69F00", "#56B4E9", "#FFFFFF"
"""Colours of skeletons: the person's right side, left side, and the limbs between them."""

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
"""matplotlib's rcParams."""

MAX_BYTES = 300_000
"""Maximum size of a PNG: reports are kept in Git."""


def colors(names: Iterable[str]) -> dict[str, str]:
    """Give each entry a colour by its position among the entries, and the constant poses their greys."""
    palette = cycle(PALETTE)
    return {name: GREYS[name] if name in GREYS else next(palette) for name in names}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG with 256 colours, or with fewer where the file would exceed MAX_BYTES."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png")
    picture = Image.open(buffer).convert("RGB")  # drops the metadata, which names matplotlib's version
    for num_colors in (256, 128, 64, 32):
        with replacing(path) as partial:
            picture.quantize(num_colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
                partial, format="PNG", optimize=True
            )
        if path.stat().st_size <= MAX_BYTES:
            break
