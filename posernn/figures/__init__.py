"""Figures; the only import of matplotlib. Each function returns a Figure; `save` writes it.

Colours are those of Okabe & Ito, which the colour-blind can tell apart; lines carry their names, not a legend.
Nothing here keeps state between figures (no pyplot), and the same input gives the same bytes.
"""

from posernn.figures.curves import joint_errors, pckh_over_threshold, rmse_over_iterations
from posernn.figures.people import attention, read_pictures, sample_people
from posernn.figures.report import draw_comparison
from posernn.figures.style import save

__all__ = [
    "attention",
    "draw_comparison",
    "joint_errors",
    "pckh_over_threshold",
    "read_pictures",
    "rmse_over_iterations",
    "sample_people",
    "save",
]
