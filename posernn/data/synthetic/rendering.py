"""Tapered capsules, ray-cast into a picture with a depth buffer: the whole renderer.

Convention: camera axes are x right, y down, z into the picture, metres; pixels are 0-based with centres at integers.
The depth buffer holds z. Because every surface goes through it, who hides whom is exact.

A picture has some fifty cones, most of them a few hundred pixels large, so all of them are cast at once: one array
operation over every pixel that any of them may cover costs as much as it would for one cone.
Axis letters: N cones, C candidates (a cone and a pixel it may cover), P pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from posernn.data.synthetic.camera import Camera

Vector = Float[np.ndarray, "3"]
Points = Float[np.ndarray, "3 P"]
Paint = Callable[[Points, Float[np.ndarray, "P"]], Points]
"""(points, share of the way from start to end) -> colours in [0, 1].

Points are metres from the start of the cone along its left, axis and front."""

NOBODY = -1
NEAREST = 0.15  # m; whatever reaches closer to the camera is not drawn
SMALLEST = 0.5  # px of radius; what is smaller is left out


@dataclass(frozen=True, kw_only=True)
class RoundCone:
    """All spheres between two spheres (a tapered capsule), squeezed across its axis.

    World axes. `front` need not be perpendicular to the axis. `stretch` multiplies the radii to the left and to the
    front. An `open_end` is cut off straight, as a skirt is.
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
class Light:
    """One distant lamp and the light that comes from everywhere, more of it from above."""

    direction: Vector  # towards the lamp, camera axes, length 1
    lamp: Vector  # colour times strength
    ambient: Vector


@dataclass(frozen=True)
class Canvas:
    """A picture in the making: 8-bit colours, depth (m) and whose surface each pixel shows."""

    colour: UInt8[np.ndarray, "H W 3"]
    depth: Float[np.ndarray, "H W"]
    owner: Int[np.ndarray, "H W"]

    @classmethod
    def over(cls, background: UInt8[np.ndarray, "H W 3"]) -> Canvas:
        """An empty canvas with `background` infinitely far away."""
        size = background.shape[:2]
        return cls(background.copy(), np.full(size, np.inf, dtype=np.float32), np.full(size, NOBODY, dtype=np.int16))


@dataclass(frozen=True, kw_only=True)
class _Cones:
    """Cones as arrays. `to_cone` leads from camera axes to those of the cone, where squeezing is undone."""

    start: Float[np.ndarray, "N 3"]  # camera axes
    length: Float[np.ndarray, "N"]
    radii: Float[np.ndarray, "N 2"]  # at start and end
    slope: Float[np.ndarray, "N"]  # start radius - end radius
    frame: Float[np.ndarray, "N 3 3"]  # rows: left, axis, front; camera axes
    squeeze: Float[np.ndarray, "N 3"]
    to_cone: Float[np.ndarray, "N 3 3"]
    window: Int[np.ndarray, "N 4"]  # top, bottom, left, right of the pixels that it can cover
    paints: list[Paint]
    owner: Int[np.ndarray, "N"]
    open_end: Bool[np.ndarray, "N"]


def draw(canvas: Canvas, cones: list[RoundCone], camera: Camera, light: Light) -> None:
    """Draw cones onto the canvas, shaded by Lambert's law, where nothing nearer is."""
    those = _arrange(cones, camera)
    if not len(those.length):
        return
    which, pixels, depth, share, point = _cast(those, camera)
    np.minimum.at(canvas.depth.reshape(-1), pixels, depth)
    nearest = np.flatnonzero(depth == canvas.depth.ravel()[pixels])
    which, pixels, share, point = which[nearest], pixels[nearest], share[nearest], point[:, nearest]

    squeeze = _gather(those.squeeze, which)
    normal = point / squeeze
    normal[1] -= _gather(those.length, which) * share
    normal /= np.sqrt((normal**2).sum(axis=0))
    colour = 255 * _shade(normal, those.frame, which, light)
    point *= squeeze
    bounds = np.searchsorted(which, np.arange(len(those.paints) + 1))
    for paint, (start, end) in zip(those.paints, pairwise(bounds.tolist()), strict=True):
        if start < end:
            colour[:, start:end] *= paint(point[:, start:end], share[start:end])
    canvas.colour.reshape(-1, 3)[pixels] = np.clip(colour, 0, 255).T
    canvas.owner.reshape(-1)[pixels] = those.owner[which]


def _cast(those: _Cones, camera: Camera) -> tuple[
    Int[np.ndarray, "P"], Int[np.ndarray, "P"], Float[np.ndarray, "P"], Float[np.ndarray, "P"], Points
]:  # fmt: skip
    """Where viewing rays meet cones, each cone on its own.

    Solved in the cone's own axes. The depths t at which the ray t * ray meets the (endless) cone solve
    k2 t^2 + 2 k1 t + k0 = 0, where k1 is linear and k2 quadratic in the ray. So is the discriminant, which makes it
    cheap for a whole window.
    Source: I. Quilez, "Intersectors" (rounded cone), here for rays of any length so that t is the depth.

    Returns:
        For each hit, cone by cone: which cone; which pixel of the flattened picture; its depth, m; its share of the way
        from start to end; the point in the cone's axes, squeezing undone.
    """
    eye = -np.einsum("nij,nj->ni", those.to_cone, those.start)
    taper = those.length**2 - those.slope**2
    k0 = taper * (eye**2).sum(axis=1) - (those.length * eye[:, 1]) ** 2
    k0 += 2 * those.length * eye[:, 1] * those.slope * those.radii[:, 0] - (those.length * those.radii[:, 0]) ** 2
    linear = taper[:, None] * eye
    linear[:, 1] += those.length * (those.slope * those.radii[:, 0] - those.length * eye[:, 1])
    quadratic = np.stack([taper, -(those.slope**2), taper], axis=1)
    form = linear[:, :, None] * linear[:, None, :] - (k0[:, None] * quadratic)[:, :, None] * np.eye(3)
    discriminant = those.to_cone.transpose(0, 2, 1) @ form @ those.to_cone

    which, rows, columns = _candidates(those.window)
    x = (columns - (camera.width - 1) / 2) / camera.focal
    y = (rows - (camera.height - 1) / 2) / camera.focal
    xx, xy, xz, yy, yz, zz = _spread(discriminant[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]], which)
    inside = (xx * x + 2 * (xy * y + xz)) * x + (yy * y + 2 * yz) * y + zz
    hits = np.flatnonzero(inside > 0)
    which, pixels = which[hits], (rows * camera.width + columns)[hits]

    # Single precision is enough from here on: micrometres.
    left, down, forward = _gather(those.to_cone.transpose(0, 2, 1), which)  # images of the camera's axes, (3, P) each
    ray = left * x[hits].astype(np.float32) + down * y[hits].astype(np.float32) + forward  # (3, P)
    eyes, length, slope = _gather(eye, which), _gather(those.length, which), _gather(those.slope, which)
    start_radius, end_radius = _gather(those.radii, which)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -(np.sqrt(inside[hits].astype(np.float32)) + (_gather(linear, which) * ray).sum(axis=0))
        depth /= (_gather(quadratic, which) * ray * ray).sum(axis=0)
        # Whose sphere the point lies on: 0 at the start, 1 at the end, beyond that there is only a cap.
        share = (length * (eyes[1] + depth * ray[1]) - start_radius * slope) / _gather(taper, which)
        caps = np.flatnonzero(~((share > 0) & (share < 1) & (depth > 0)))
        # A ray that comes out of the endless cone through its tip (radius < 0) saw the wide end first.
        tip = start_radius[caps] - share[caps] * slope[caps] < 0
        at_end = np.where(tip, slope[caps] < 0, share[caps] > 0.5)
    depth[caps] = _ball_depth(
        ray[:, caps],
        eyes[:, caps],
        np.where(at_end, length[caps], np.float32(0)),
        np.where(at_end, end_radius[caps], start_radius[caps]),
    )
    share[caps] = at_end

    with np.errstate(invalid="ignore"):
        point = eyes + depth * ray
    seen = (depth > NEAREST) & (depth < np.inf) & ~(those.open_end[which] & (point[1] >= length))
    return which[seen], pixels[seen], depth[seen], share[seen], point[:, seen]


def _arrange(cones: list[RoundCone], camera: Camera) -> _Cones:
    """The cones as arrays, but for those that the camera does not see or that reach too close to it."""
    ends = camera.to_camera(np.array([(cone.start, cone.end) for cone in cones]))  # (N, 2, 3)
    radii = np.array([(cone.start_radius, cone.end_radius) for cone in cones])
    stretch = np.array([cone.stretch for cone in cones])
    window = _windows(ends, radii * stretch.max(axis=1, initial=1.0)[:, None], camera)
    seen = np.flatnonzero((window[:, 0] < window[:, 1]) & (window[:, 2] < window[:, 3]))
    cones, ends, radii, stretch = [cones[i] for i in seen], ends[seen], radii[seen], stretch[seen]

    start, axis = ends[:, 0], ends[:, 1] - ends[:, 0]
    length = np.sqrt((axis**2).sum(axis=1))
    axis = np.where(length[:, None] > 0, axis, (0, 1, 0)) / np.where(length > 0, length, 1)[:, None]
    # Where one end is inside the other there is only that ball.
    ball = length <= np.abs(radii[:, 0] - radii[:, 1])
    start = np.where((ball & (radii[:, 1] > radii[:, 0]))[:, None], ends[:, 1], start)
    radii = np.where(ball[:, None], radii.max(axis=1)[:, None], radii)
    length = np.where(ball, 1e-4 * radii[:, 0], length)

    front = np.array([cone.front for cone in cones]).reshape(-1, 3) @ camera.rotation.T
    left = np.cross(axis, front)
    left /= np.sqrt((left**2).sum(axis=1))[:, None]
    frame = np.stack([left, axis, np.cross(left, axis)], axis=1)
    squeeze = np.stack([stretch[:, 0], np.ones(len(cones)), stretch[:, 1]], axis=1)
    return _Cones(
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
    """Top, bottom, left, right of the pixels that spheres at both ends, and all between them, can cover.

    Empty where the cone is too small or too close to be drawn.
    """
    near, far = (np.maximum(ends[:, :, 2] + side * reach, NEAREST)[:, :, None] for side in (-1, 1))
    # Generous: the box around each sphere, its near and its far face.
    low, high = (ends[:, :, :2] + side * reach[:, :, None] for side in (-1, 1))
    middle, size = np.array([camera.width - 1, camera.height - 1]) / 2, np.array([camera.width, camera.height])
    first = camera.focal * np.minimum(low / near, low / far).min(axis=1) + middle
    last = camera.focal * np.maximum(high / near, high / far).max(axis=1) + middle
    first, last = (np.clip(corner, 0, size).astype(int) for corner in (first, last + 2))
    hidden = (ends[:, :, 2] - reach < NEAREST).any(axis=1)
    hidden |= reach.max(axis=1) * camera.focal < SMALLEST * ends[:, 0, 2]
    last[hidden] = first[hidden]
    return np.stack([first[:, 1], last[:, 1], first[:, 0], last[:, 0]], axis=1)


def _candidates(
    windows: Int[np.ndarray, "N 4"],
) -> tuple[Int[np.ndarray, "C"], Int[np.ndarray, "C"], Int[np.ndarray, "C"]]:
    """Cone, row and column of every pixel of every window, cone by cone."""
    top, bottom, left, right = windows.T
    widths = right - left
    areas = (bottom - top) * widths
    which = np.repeat(np.arange(len(windows)), areas)
    within = np.arange(len(which)) - np.repeat(np.cumsum(areas) - areas, areas)
    row = within // widths[which]
    return which, top[which] + row, left[which] + within - row * widths[which]


def _spread(of_cones: Float[np.ndarray, "N ..."], which: Int[np.ndarray, "P"]) -> Float[np.ndarray, "... P"]:
    """What belongs to the cone of each pixel; `which` ascends."""
    return np.repeat(np.moveaxis(of_cones, 0, -1), np.bincount(which, minlength=len(of_cones)), axis=-1)


def _gather(of_cones: Float[np.ndarray, "N ..."], which: Int[np.ndarray, "P"]) -> Float[np.ndarray, "... P"]:
    """The same in single precision."""
    return _spread(of_cones.astype(np.float32), which)


def _ball_depth(
    ray: Points, eye: Points, centre: Float[np.ndarray, "P"], radius: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "P"]:
    """Where rays from `eye` first meet balls around these points of the axis; infinite where they do not."""
    squared = (ray * ray).sum(axis=0)
    along = (eye * ray).sum(axis=0) - centre * ray[1]
    distance = (eye * eye).sum(axis=0) - 2 * centre * eye[1] + centre * centre
    inside = along * along - squared * (distance - radius * radius)
    return np.where(inside > 0, (-along - np.sqrt(np.maximum(inside, 0))) / squared, np.inf)


def _shade(normal: Points, frame: Float[np.ndarray, "N 3 3"], which: Int[np.ndarray, "P"], light: Light) -> Points:
    """Light that each surface point sends back, by its normal in the axes of its cone."""
    lamp = np.maximum((_gather(frame @ light.direction, which) * normal).sum(axis=0), 0)
    upward = 0.8 - 0.2 * (_gather(frame[:, :, 1], which) * normal).sum(axis=0)  # camera y points down
    ambient, strength = light.ambient.astype(np.float32), light.lamp.astype(np.float32)
    return ambient[:, None] * upward + strength[:, None] * lamp
