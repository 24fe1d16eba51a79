"""Tapered capsules, ray-cast into a picture with a depth buffer: the whole renderer.

Convention: camera axes are x right, y down, z into the picture, metres; pixels are 0-based with centres at integers.
The depth buffer holds z. Because every surface goes through it, who hides whom is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

Vector = Float[np.ndarray, "3"]
Points = Float[np.ndarray, "P 3"]
Paint = Callable[[Points, Float[np.ndarray, "P"]], Points]
"""(points, share of the way from start to end) -> colours in [0, 1].

Points are metres from the start of the cone along its left, axis and front."""

NOBODY = -1
NEAREST = 0.15  # m; whatever reaches closer to the camera is not drawn
SMALLEST = 0.5  # px of radius; what is smaller is left out


@dataclass(frozen=True, kw_only=True)
class RoundCone:
    """All spheres between two spheres (a tapered capsule), squeezed across its axis.

    `front` need not be perpendicular to the axis. `stretch` multiplies the radii to the left and to the front. An
    `open_end` is cut off straight, as a skirt is.
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
    focal: float  # px

    @classmethod
    def over(cls, background: UInt8[np.ndarray, "H W 3"], focal: float) -> Canvas:
        """An empty canvas with `background` infinitely far away."""
        size = background.shape[:2]
        owner = np.full(size, NOBODY, dtype=np.int16)
        return cls(background.copy(), np.full(size, np.inf, dtype=np.float32), owner, focal)

    def rays(self, top: int, bottom: int, left: int, right: int) -> tuple[np.ndarray, np.ndarray]:
        """x and y of the viewing rays (with z = 1) of some rows and columns, (1, W) and (H, 1)."""
        height, width = self.depth.shape
        return (
            (np.arange(left, right)[None, :] - (width - 1) / 2) / self.focal,
            (np.arange(top, bottom)[:, None] - (height - 1) / 2) / self.focal,
        )


def draw(canvas: Canvas, cone: RoundCone, light: Light) -> None:
    """Draw one cone onto the canvas, shaded by Lambert's law, where nothing nearer is.

    The intersection of ray and cone is solved in the cone's own axes, where squeezing is undone.
    Source: I. Quilez, "Intersectors" (rounded cone), here for rays of any length so that t is the depth.
    """
    window = _window(canvas, cone)
    axis = cone.end - cone.start
    length = float(np.sqrt(axis @ axis))
    start_radius, end_radius = cone.start_radius, cone.end_radius
    slope = start_radius - end_radius
    if window is None or length == 0:
        return
    if length <= abs(slope):  # one end is inside the other: draw that ball
        centre, radius = (cone.start, start_radius) if slope > 0 else (cone.end, end_radius)
        end = centre + axis * (1e-4 * radius / length)
        draw(canvas, replace(cone, start=centre, end=end, start_radius=radius, end_radius=radius), light)
        return
    frame = _axes(axis / length, cone.front)
    squeeze = np.array([cone.stretch[0], 1.0, cone.stretch[1]])
    to_cone = frame / squeeze[:, None]
    eye = -to_cone @ cone.start

    # The depths t at which the ray t * ray meets the (endless) cone solve k2 t^2 + 2 k1 t + k0 = 0, where k1 is linear
    # and k2 quadratic in the ray. So is the discriminant, which makes it cheap for a whole window.
    taper = length**2 - slope**2
    k0 = taper * (eye @ eye) - (length * eye[1]) ** 2
    k0 += 2 * length * eye[1] * slope * start_radius - (length * start_radius) ** 2
    linear = taper * eye
    linear[1] += length * (slope * start_radius - length * eye[1])
    quadratic = np.diag([taper, taper - length**2, taper])
    form = to_cone.T @ (np.outer(linear, linear) - k0 * quadratic) @ to_cone
    x, y = canvas.rays(*window)
    inside = (form[0, 0] * x + 2 * form[0, 2]) * x + ((form[1, 1] * y + 2 * form[1, 2]) * y + form[2, 2])
    inside += (2 * form[0, 1] * y) * x
    hits = np.flatnonzero(inside > 0)
    if not len(hits):
        return
    rows, columns = np.divmod(hits, x.shape[1])
    ray = np.outer(x[0, columns], to_cone[:, 0]) + np.outer(y[rows, 0], to_cone[:, 1]) + to_cone[:, 2]  # (P, 3)
    k2 = (ray * ray) @ np.diag(quadratic)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -(np.sqrt(inside.ravel()[hits]) + ray @ linear) / k2
        # Whose sphere the point lies on: 0 at the start, 1 at the end, beyond that there is only a cap.
        share = (length * (eye[1] + depth * ray[:, 1]) - start_radius * slope) / taper
        capped = np.flatnonzero(~((share > 0) & (share < 1) & (depth > 0)))
    # A ray that comes out of the endless cone through its tip (radius < 0) saw the wide end first.
    with np.errstate(invalid="ignore"):
        tip = start_radius - share[capped] * slope < 0
        at_end = np.where(tip, slope < 0, share[capped] > 0.5)
    depth[capped] = _cap_depth(ray[capped], eye, at_end * length, np.where(at_end, end_radius, start_radius))
    share[capped] = at_end

    pixels = (rows + window[0]) * canvas.depth.shape[1] + columns + window[2]
    shown = (depth > NEAREST) & (depth < canvas.depth.ravel()[pixels])
    if cone.open_end:
        shown &= eye[1] + depth * ray[:, 1] < length
    shown = np.flatnonzero(shown)
    if not len(shown):
        return
    pixels, depth, share = pixels[shown], depth[shown], share[shown]
    point = eye + depth[:, None] * ray[shown]
    normal = point / squeeze
    normal[:, 1] -= length * share
    normal /= np.sqrt(np.einsum("pi,pi->p", normal, normal))[:, None]
    shaded = cone.paint(point * squeeze, share) * _shade(normal, frame, light)
    canvas.depth.ravel()[pixels] = depth
    canvas.colour.reshape(-1, 3)[pixels] = np.minimum(np.maximum(255 * shaded, 0), 255)
    canvas.owner.ravel()[pixels] = cone.owner


def _axes(axis: Vector, front: Vector) -> Float[np.ndarray, "3 3"]:
    """Rows: left, axis, front; all perpendicular."""
    # np.cross costs more than all the rest of a small cone.
    left = np.array(
        [
            axis[1] * front[2] - axis[2] * front[1],
            axis[2] * front[0] - axis[0] * front[2],
            axis[0] * front[1] - axis[1] * front[0],
        ]
    )
    left /= np.sqrt(left @ left)
    upright = front - (front @ axis) * axis
    return np.stack([left, axis, upright / np.sqrt(upright @ upright)])


def _cap_depth(
    ray: Points, eye: Vector, position: Float[np.ndarray, "P"], radius: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "P"]:
    """Where rays from `eye` first meet balls at these positions of the axis; infinite where they do not."""
    squared = np.einsum("pi,pi->p", ray, ray)
    along = ray @ eye - position * ray[:, 1]
    distance = eye @ eye - 2 * position * eye[1] + position * position
    inside = along * along - squared * (distance - radius * radius)
    return np.where(inside > 0, (-along - np.sqrt(np.maximum(inside, 0))) / squared, np.inf)


def _shade(normal: Points, frame: Float[np.ndarray, "3 3"], light: Light) -> Points:
    """Light that each surface point sends back, by its normal in the cone's axes."""
    lamp = np.maximum(normal @ (frame @ light.direction), 0)
    upward = 0.8 - 0.2 * (normal @ frame[:, 1])  # camera y points down
    return light.ambient * upward[:, None] + light.lamp * lamp[:, None]


def _window(canvas: Canvas, cone: RoundCone) -> tuple[int, int, int, int] | None:
    """Top, bottom, left, right of the pixels that the cone can cover; None where it is not drawn."""
    widest = max(1.0, *cone.stretch)
    if max(cone.start_radius, cone.end_radius) * widest * canvas.focal < SMALLEST * cone.start[2]:
        return None
    corners = []
    for centre, radius in ((cone.start, cone.start_radius * widest), (cone.end, cone.end_radius * widest)):
        if centre[2] - radius < NEAREST:
            return None
        # Generous: the box around the sphere, its near and its far face.
        for x, y in ((centre[0] + radius, centre[1] + radius), (centre[0] - radius, centre[1] - radius)):
            corners += [(x / z, y / z) for z in (centre[2] - radius, centre[2] + radius)]
    height, width = canvas.depth.shape
    xs = [canvas.focal * x + (width - 1) / 2 for x, _ in corners]
    ys = [canvas.focal * y + (height - 1) / 2 for _, y in corners]
    left, right = max(int(min(xs)), 0), min(int(max(xs)) + 2, width)
    top, bottom = max(int(min(ys)), 0), min(int(max(ys)) + 2, height)
    return (top, bottom, left, right) if left < right and top < bottom else None
