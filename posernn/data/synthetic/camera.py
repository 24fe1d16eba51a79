"""A pinhole camera that looks roughly along the world's -z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from posernn.data.synthetic.body import turn


@dataclass(frozen=True)
class Camera:
    """Transforms world axes (body.py) to camera axes and pixels (rendering.py)."""

    rotation: Float[np.ndarray, "3 3"]
    position: Float[np.ndarray, "3"]
    focal: float  # px
    width: int  # px
    height: int  # px

    def to_camera(self, points: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
        """Transform world points to camera axes; z is the depth."""
        return (points - self.position) @ self.rotation.T

    def project(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Project world points, which must be in front of the camera, to image px."""
        seen = self.to_camera(points)
        return seen[:, :2] / seen[:, 2:] * self.focal + np.array([self.width - 1, self.height - 1]) / 2

    def shrunk(self, factor: int) -> Camera:
        """Return the camera of the same view with `factor` times fewer pixels along each side."""
        size = max(self.width // factor, 1), max(self.height // factor, 1)
        return Camera(self.rotation, self.position, self.focal / factor, *size)

    def ground_at(self, column: float, depth: float) -> Float[np.ndarray, "3"]:
        """Return the point of the ground (y = 0) at a column of the picture and a depth, m."""
        x = (column - (self.width - 1) / 2) / self.focal * depth
        up = self.rotation[:, 1]  # the world's up in camera axes
        y = -(self.position[1] + up[0] * x + up[2] * depth) / up[1]
        return self.position + self.rotation.T @ np.array([x, y, depth])


def aim(
    point: Float[np.ndarray, "3"],
    pixel: tuple[float, float],
    *,
    depth: float,
    above: float,
    roll: float,
    focal: float,
    size: tuple[int, int],
) -> Camera:
    """Return a camera that sees `point` at `pixel` and `depth` (m).

    Args:
        above: height of the camera above the point, m; determines how far the camera looks down.
        roll: degrees.
        size: width and height of the picture, px.
    """
    width, height = size
    ray = np.array([(pixel[0] - (width - 1) / 2) / focal, (pixel[1] - (height - 1) / 2) / focal, 1.0])
    down = np.degrees(np.arcsin(np.clip(above / depth, -0.5, 0.8)) - np.arctan(ray[1]))
    rotation = turn("z", roll) @ turn("x", down) @ np.diag([1.0, -1.0, -1.0])
    return Camera(rotation, point - rotation.T @ (depth * ray), focal, width, height)
