"""Heads: a face in front, and hair or a hat."""

from __future__ import annotations

import numpy as np

from posernn.data.synthetic.body import Body, Bone
from posernn.data.synthetic.clothes import Colour, Outfit, flat
from posernn.data.synthetic.cones import Paint, Points, RoundCone
from posernn.data.synthetic.limbs import Offset, attach


def head_cones(body: Body, bones: dict[str, Bone], outfit: Outfit, owner: int) -> list[RoundCone]:
    """Return neck, head, ears and hair. Numbers are shares of the length from upper neck to head top."""
    size, head, neck = body.head * body.height, bones["head"], bones["neck"]
    skin, hair, hat = flat(outfit.skin), flat(outfit.hair), flat(outfit.hat)

    def part(start: Offset, end: Offset, radii: tuple[float, float], paint: Paint, stretch=(1.0, 1.0)) -> RoundCone:
        to_metres = lambda offset: tuple(size * value for value in offset)  # noqa: E731
        return attach(head, to_metres(start), to_metres(end), (radii[0] * size, radii[1] * size), paint, owner, stretch)

    cones = [
        attach(
            neck,
            (0, -0.02 * body.height, 0),
            (0, (body.neck + 0.03) * body.height, 0),
            (0.034 * body.height * body.girth**0.5,) * 2,
            skin,
            owner,
        ),
        part(
            (0, 0.40, 0.06),
            (0, 0.69, -0.01),
            (0.21, 0.30),
            face(outfit.skin, outfit.hair, outfit.beard, size),
            (0.88, 1.10),
        ),
        part((0, 0.57, 0.26), (0, 0.48, 0.33), (0.030, 0.045), skin),
    ]
    for mirror in (-1, 1):
        cones.append(part((mirror * 0.26, 0.50, -0.02), (mirror * 0.27, 0.58, -0.03), (0.05, 0.065), skin, (0.5, 1.0)))
    style = outfit.hair_style
    if style != "bald":
        crown = hat if style in ("cap", "helmet") else hair
        thick = {"short": 0.0, "helmet": 0.04}.get(style, 0.015)
        cones.append(part((0, 0.58, -0.09), (0, 0.71, -0.035), (0.275, 0.305 + thick), crown, (0.95, 1.05)))
        cones.append(part((0, 0.44, -0.10), (0, 0.60, -0.08), (0.21, 0.26), hair, (0.95, 1.0)))
    if style == "cap":
        cones.append(part((0, 0.80, 0.22), (0, 0.77, 0.45), (0.19, 0.15), hat, (1.0, 0.2)))
    if style == "long":
        cones.append(part((0, 0.62, -0.10), (0, 0.02, -0.16), (0.29, 0.24), hair, (1.0, 0.75)))
    if style == "ponytail":
        cones.append(part((0, 0.72, -0.36), (0, 0.15, -0.50), (0.10, 0.05), hair))
    if style == "bun":
        cones.append(part((0, 0.88, -0.28), (0, 0.90, -0.30), (0.14, 0.13), hair))
    return cones


def face(skin: Colour, hair: Colour, beard: bool, size: float) -> Paint:
    """Return a paint with eyes, brows, lips and beard for a head whose axis starts in the jaw.

    Args:
        skin, hair: colours.
        beard: whether to paint one.
        size: upper neck to head top, m.
    """

    def paint(points: Points, share: np.ndarray) -> Points:
        left, up, front = points / size
        colour = flat(skin)(points, share).T  # (P, 3)
        forward = front > 0.08
        outward = np.abs(left)
        if beard:
            bearded = (up < 0.02) & (front > -0.06) | (up < 0.16) & (outward > 0.17) & (front > -0.06)
            colour[bearded] = hair * 0.8 + skin * 0.2
        colour[forward & (np.abs(up - 0.275) < 0.016) & (np.abs(outward - 0.105) < 0.062)] = hair * 0.8
        eye = np.hypot((outward - 0.105) / 1.5, up - 0.205)
        colour[forward & (eye < 0.036)] = (0.92, 0.90, 0.88)
        colour[forward & (np.hypot(outward - 0.105, up - 0.205) < 0.026)] = (0.10, 0.07, 0.05)
        socket = forward & (eye > 0.036) & (eye < 0.055)
        colour[socket] *= 0.8
        colour[forward & (np.hypot(left / 2.6, up + 0.055) < 0.030)] = skin * (0.80, 0.48, 0.48)
        colour[forward & (outward < 0.075) & (np.abs(up + 0.055) < 0.006)] = skin * 0.35
        return colour.T

    return paint
