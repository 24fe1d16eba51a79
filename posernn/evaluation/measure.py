"""Chooses the score: PCKh, or PCK of the torso where nobody has a head box."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from posernn.evaluation.metrics import THRESHOLDS
from posernn.pose.geometry import torso_size


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A score of joints: the share within `threshold` sizes of a person's head or torso of the truth.

    Attributes:
        name: for readers.
        key: first part of its names in files and in MLflow.
        unit: of thresholds and errors, for readers.
        threshold: of the main figure.
    """

    name: str
    key: str
    unit: str
    threshold: float

    @property
    def title(self) -> str:
        """Return the name with the threshold: "PCKh@0.5"."""
        return f"{self.name}@{self.threshold:g}"

    @property
    def thresholds(self) -> Float[np.ndarray, "T"]:
        """Return the thresholds of the curve: 0, 0.01 ... the main one."""
        return THRESHOLDS[: round(100 * self.threshold) + 1]


PCKH = Measure(name="PCKh", key="pckh", unit="head sizes", threshold=0.5)
TORSO_PCK = Measure(name="torso PCK", key="torso_pck", unit="torso sizes", threshold=0.2)


def choose(
    head_size: Float[np.ndarray, "N"], joints_image: Float[np.ndarray, "N 16 2"], annotated: Bool[np.ndarray, "N 16"]
) -> tuple[Measure, Float[np.ndarray, "N"]]:
    """Return PCKh and the head sizes if anybody has one, else PCK of the torso and the torso sizes.

    Args:
        head_size: image px; NaN where there is no head box.
        joints_image: image px, xy.
        annotated: which joints are.
    """
    if np.isfinite(head_size).any():
        return PCKH, head_size
    return TORSO_PCK, torso_size(joints_image, annotated)
