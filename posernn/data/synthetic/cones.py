"""Tapered capsules: described one by one in world axes (RoundCone), and as arrays in camera axes (Cones).

Convention: camera axes are x right, y down, z into the picture, metres. Axis letter: N cones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from posernn.data.synthetic.camera import Camera

Vector = Float[np.ndarray, "3"]
Points = Float[np.ndarray, "3 P"]
Paint = Callable[[Points, Float[np.ndarray, "P"]], Points]
"""Function (points, share of the way from start to end) -> colours in [0, 1].

Points are metres from the start of the cone along its left, axis and front."""

NOBODY = -1
NEAREST = 0.15  # m; cones that reach closer to the camera are not drawn
SMALLEST = 0.5  # px of radius; smaller cones are not drawn


@dataclass(frozen=True, kw_only=True)
class RoundCone:
    """A tapered capsule (the union of all spheres between two spheres), stretched across its axis.

    In world axes. `front` need not be perpendicular to the axis. `stretch` multiplies the radii to the left and to the
    front. An `open_end` is cut off straight, like a skirt. `owner` marks the cone's pixels in the canvas.
    """

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float
    front: Vector
    paint: Paint
    stretch: tuple[float, float] = (1.0, 1.0)
    owner: int = NOBODY
    open_end: bool = False


@dataclass(frozen=True, kw_only=True)
class Cones:
    """Cones as arrays. `to_cone` transforms camera axes to the cone's axes, in which its cross-section is round."""

    start: Float[np.ndarray, "N 3"]  # camera axes
    length: Float[np.ndarray, "N"]
    radii: Float[np.ndarray, "N 2"]  # at start and end
    slope: Float[np.ndarray, "N"]  # start radius - end radius
    frame: Float[np.ndarray, "N 3 3"]  # rows: left, axis, front; camera axes
    squeeze: Float[np.ndarray, "N 3"]
    to_cone: Float[np.ndarray, "N 3 3"]
    window: Int[np.ndarray, "N 4"]  # top, bottom, left, right of the pixels that the cone may cover
    paints: list[Paint]
    owner: Int[np.ndarray, "N"]
    open_end: Bool[np.ndarray, "N"]


def arrange(cones: list[RoundCone], camera: Camera) -> Cones:
    """Convert cones to arrays, without those that the camera does not see or that are too close to it."""
    ends = camera.to_camera(np.array([(cone.start, cone.end) for cone in cones]))  # (N, 2, 3)
    radii = np.array([(cone.start_radius, cone.end_radius) for cone in cones])
    stretch = np.array([cone.stretch for cone in cones])
    window = _windows(ends, radii * stretch.max(axis=1, initial=1.0)[:, None], camera)
    seen = np.flatnonzero((window[:, 0] < window[:, 1]) & (window[:, 2] < window[:, 3]))
    cones, ends, radii, stretch = [cones[i] for i in seen], ends[seen], radii[seen], stretch[seen]

    start, axis = ends[:, 0], ends[:, 1] - ends[:, 0]
    length = np.sqrt((axis**2).sum(axis=1))
    axis = np.where(length[:, None] > 0, axis, (0, 1, 0)) / np.where(length > 0, length, 1)[:, None]
    # If one end contains the other, the cone is a ball.
    ball = length <= np.abs(radii[:, 0] - radii[:, 1])
    start = np.where((ball & (radii[:, 1] > radii[:, 0]))[:, None], ends[:, 1], start)
    radii = np.where(ball[:, None], radii.max(axis=1)[:, None], radii)
    length = np.where(ball, 1e-4 * radii[:, 0], length)

    front = np.array([cone.front for cone in cones]).reshape(-1, 3) @ camera.rotation.T
    left = np.cross(axis, front)
    left /= np.sqrt((left**2).sum(axis=1))[:, None]
    frame = np.stack([left, axis, np.cross(left, axis)], axis=1)
    squeeze = np.stack([stretch[:, 0], np.ones(len(cones)), stretch[:, 1]], axis=1)
    return Cones(
        start=start,
        length=length,
        radii=radii,
        slope=radii[:, 0] - radii[:, 1],
        frame=frame,
        squeeze=squeeze,
        to_cone=frame / squeeze[:, :, None],
        window=window[seen],
        paints=[cone.paint for cone in cones],
        owner=np.array([cone.owner for cone in cones], dtype=np.int16),
        open_end=np.array([cone.open_end for cone in cones], dtype=bool),
    )


def _windows(
    ends: Float[np.ndarray, "N 2 3"], reach: Float[np.ndarray, "N 2"], camera: Camera
) -> Int[np.ndarray, "N 4"]:
    """Return top, bottom, left and right of the pixels that a cone may cover.

    The window is empty if the cone is too small or too close to be drawn.
    """
    near, far = (np.maximum(ends[:, :, 2] + side * reach, NEAREST)[:, :, None] for side in (-1, 1))
    # An upper bound: the projection of the box around each end sphere.
    low, high = (ends[:, :, :2] + side * reach[:, :, None] for side in (-1, 1))
    middle, size = np.array([camera.width - 1, camera.height - 1]) / 2, np.array([camera.width, camera.height])
    first = camera.focal * np.minimum(low / near, low / far).min(axis=1) + middle
    last = camera.focal * np.maximum(high / near, high / far).max(axis=1) + middle
    first, last = (np.clip(corner, 0, size).astype(int) for corner in (first, last + 2))
    hidden = (ends[:, :, 2] - reach < NEAREST).any(axis=1)
    hidden |= reach.max(axis=1) * camera.focal < SMALLEST * ends[:, 0, 2]
    last[hidden] = first[hidden]
    return np.stack([first[:, 1], last[:, 1], first[:, 0], last[:, 0]], axis=1)
