"""The renderer: casts rays at tapered capsules and resolves occlusion with a depth buffer.

Convention: camera axes are x right, y down, z into the picture, metres; pixels are 0-based with centres at integers.
The depth buffer holds z. All surfaces go through it, so that occlusion is exact.

A picture has about fifty cones of a few hundred pixels each. All are cast at once: numpy's overhead per operation
would otherwise exceed the work.
Axis letters: N cones, C candidates (a cone and a pixel it may cover), P pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, UInt8

from posernn.data.synthetic.camera import Camera
from posernn.data.synthetic.cones import NEAREST, NOBODY, Cones, Points, RoundCone, Vector, arrange


@dataclass(frozen=True, kw_only=True)
class Light:
    """A distant lamp and ambient light, which is stronger from above."""

    direction: Vector  # towards the lamp, camera axes, length 1
    lamp: Vector  # colour times strength
    ambient: Vector


@dataclass(frozen=True)
class Canvas:
    """A picture being drawn: 8-bit colours, depth (m) and the owner of the surface that each pixel shows."""

    colour: UInt8[np.ndarray, "H W 3"]
    depth: Float[np.ndarray, "H W"]
    owner: Int[np.ndarray, "H W"]

    @classmethod
    def over(cls, background: UInt8[np.ndarray, "H W 3"]) -> Canvas:
        """Return a canvas that shows `background` at infinite depth."""
        size = background.shape[:2]
        return cls(background.copy(), np.full(size, np.inf, dtype=np.float32), np.full(size, NOBODY, dtype=np.int16))


def draw(canvas: Canvas, cones: list[RoundCone], camera: Camera, light: Light) -> None:
    """Draw cones onto the canvas, shaded by Lambert's law, where no nearer surface is drawn."""
    those = arrange(cones, camera)
    if not len(those.length):
        return
    which, pixels, depth, share, point = _cast(those, camera)
    np.minimum.at(canvas.depth.reshape(-1), pixels, depth)
    nearest = np.flatnonzero(depth == canvas.depth.ravel()[pixels])
    which, pixels, share, point = which[nearest], pixels[nearest], share[nearest], point[:, nearest]
    counts = np.bincount(which, minlength=len(those.paints))

    squeeze = _gather(those.squeeze, counts)
    normal = point / squeeze
    normal[1] -= _gather(those.length, counts) * share
    normal /= np.sqrt((normal**2).sum(axis=0))
    colour = 255 * _shade(normal, those.frame, counts, light)
    point *= squeeze
    bounds = np.concatenate([[0], np.cumsum(counts)])
    for paint, (start, end) in zip(those.paints, pairwise(bounds.tolist()), strict=True):
        if start < end:
            colour[:, start:end] *= paint(point[:, start:end], share[start:end])
    canvas.colour.reshape(-1, 3)[pixels] = np.clip(colour, 0, 255).T
    canvas.owner.reshape(-1)[pixels] = those.owner[which]


def _cast(those: Cones, camera: Camera) -> tuple[
    Int[np.ndarray, "P"], Int[np.ndarray, "P"], Float[np.ndarray, "P"], Float[np.ndarray, "P"], Points
]:  # fmt: skip
    """Intersect viewing rays with cones, each cone by itself.

    In the cone's axes, the depths t at which t * ray meets the infinite cone solve k2 t^2 + 2 k1 t + k0 = 0, where k1
    is linear and k2 quadratic in the ray. The discriminant is quadratic in the ray too, thus cheap for a whole window.
    Source: I. Quilez, "Intersectors" (rounded cone), here for rays of any length so that t is the depth.

    Returns:
        For each hit, ordered by cone: index of the cone; index of the pixel in the flattened picture; depth, m; share
        of the way from start to end; point in the cone's axes, with a round cross-section.
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
    xx, xy, xz, yy, yz, zz = _spread(discriminant[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]], _areas(those.window))
    inside = (xx * x + 2 * (xy * y + xz)) * x + (yy * y + 2 * yz) * y + zz
    hits = np.flatnonzero(inside > 0)
    which, pixels = which[hits], (rows * camera.width + columns)[hits]
    counts = np.bincount(which, minlength=len(those.length))

    # Single precision, accurate to micrometres, is enough from here on.
    left, down, forward = _gather(those.to_cone.transpose(0, 2, 1), counts)  # images of the camera's axes, (3, P) each
    ray = left * x[hits].astype(np.float32) + down * y[hits].astype(np.float32) + forward  # (3, P)
    eyes, length, slope = _gather(eye, counts), _gather(those.length, counts), _gather(those.slope, counts)
    start_radius, end_radius = _gather(those.radii, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -(np.sqrt(inside[hits].astype(np.float32)) + (_gather(linear, counts) * ray).sum(axis=0))
        depth /= (_gather(quadratic, counts) * ray * ray).sum(axis=0)
        # Position on the axis of the sphere that the point lies on: 0 at the start, 1 at the end, beyond them a cap.
        share = (length * (eyes[1] + depth * ray[1]) - start_radius * slope) / _gather(taper, counts)
        caps = np.flatnonzero(~((share > 0) & (share < 1) & (depth > 0)))
        # A ray that leaves the infinite cone beyond its tip (radius < 0) met the wide end first.
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


def _candidates(
    windows: Int[np.ndarray, "N 4"],
) -> tuple[Int[np.ndarray, "C"], Int[np.ndarray, "C"], Int[np.ndarray, "C"]]:
    """Return cone, row and column of every pixel of every window, ordered by cone."""
    top, _, left, right = windows.T
    widths, areas = right - left, _areas(windows)
    which = np.repeat(np.arange(len(windows)), areas)
    within = np.arange(len(which)) - np.repeat(np.cumsum(areas) - areas, areas)
    row = within // widths[which]
    return which, top[which] + row, left[which] + within - row * widths[which]


def _areas(windows: Int[np.ndarray, "N 4"]) -> Int[np.ndarray, "N"]:
    top, bottom, left, right = windows.T
    return (bottom - top) * (right - left)


def _spread(of_cones: Float[np.ndarray, "N ..."], counts: Int[np.ndarray, "N"]) -> Float[np.ndarray, "... P"]:
    """Repeat each cone's values for all of its `counts` pixels."""
    return np.repeat(np.moveaxis(of_cones, 0, -1), counts, axis=-1)


def _gather(of_cones: Float[np.ndarray, "N ..."], counts: Int[np.ndarray, "N"]) -> Float[np.ndarray, "... P"]:
    """Repeat each cone's values for all of its pixels, in single precision."""
    return _spread(of_cones.astype(np.float32), counts)


def _ball_depth(
    ray: Points, eye: Points, centre: Float[np.ndarray, "P"], radius: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "P"]:
    """Return the depth at which rays from `eye` first meet balls centred on the axis; infinite if they miss."""
    squared = (ray * ray).sum(axis=0)
    along = (eye * ray).sum(axis=0) - centre * ray[1]
    distance = (eye * eye).sum(axis=0) - 2 * centre * eye[1] + centre * centre
    inside = along * along - squared * (distance - radius * radius)
    return np.where(inside > 0, (-along - np.sqrt(np.maximum(inside, 0))) / squared, np.inf)


def _shade(normal: Points, frame: Float[np.ndarray, "N 3 3"], counts: Int[np.ndarray, "N"], light: Light) -> Points:
    """Return the light that each surface point reflects, by its normal in the cone's axes."""
    lamp = np.maximum((_gather(frame @ light.direction, counts) * normal).sum(axis=0), 0)
    upward = 0.8 - 0.2 * (_gather(frame[:, :, 1], counts) * normal).sum(axis=0)  # camera y points down
    ambient, strength = light.ambient.astype(np.float32), light.lamp.astype(np.float32)
    return ambient[:, None] * upward + strength[:, None] * lamp
