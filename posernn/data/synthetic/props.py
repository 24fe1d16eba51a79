"""Draws objects near people: seats, held objects, and objects on the ground."""

from __future__ import annotations

import numpy as np

from posernn.data.synthetic.body import Body, PosedBody
from posernn.data.synthetic.camera import Camera
from posernn.data.synthetic.clothes import cloth, cloth_colour, draw_fabric, flat
from posernn.data.synthetic.cones import RoundCone
from posernn.data.synthetic.poses import SIDES
from posernn.pose.skeleton import Joint

_UP = np.array([0.0, 1.0, 0.0])


def seat(body: Body, posed: PosedBody, rng: np.random.Generator) -> list[RoundCone]:
    """Draw a drum, a stool or a chair under the hips; world axes."""
    pelvis = posed.joints[Joint.PELVIS]
    top = pelvis - _UP * 0.095 * body.height
    heading = posed.bones["pelvis"].rotation[:, 2] * (1, 0, 1)
    heading = heading / max(float(np.linalg.norm(heading)), 1e-6)
    aside = np.cross(_UP, heading)
    paint = cloth(draw_fabric(rng)) if rng.random() < 0.5 else flat(cloth_colour(rng))
    floor = top * (1, 0, 1)
    kind = rng.random()
    if kind < 0.35:  # a drum
        radius = float(rng.uniform(0.17, 0.26))
        return [
            RoundCone(
                start=top - _UP * 0.06,
                end=floor + _UP * 0.05,
                start_radius=0.06,
                end_radius=0.06,
                front=heading,
                paint=paint,
                stretch=(radius / 0.06,) * 2,
            )
        ]
    legs = [
        RoundCone(
            start=top - _UP * 0.05,
            end=floor + aside * x + heading * z,
            start_radius=0.02,
            end_radius=0.02,
            front=heading + 0.01,
            paint=flat(cloth_colour(rng)),
        )
        for x in (-0.18, 0.18)
        for z in (-0.18, 0.18)
    ]
    wide = float(rng.uniform(0.15, 0.9))
    plank = RoundCone(
        start=top - aside * wide - _UP * 0.04,
        end=top + aside * wide - _UP * 0.04,
        start_radius=0.04,
        end_radius=0.04,
        front=heading,
        paint=paint,
        stretch=(1.0, 5.0),
    )
    back = top - heading * 0.24
    rest = RoundCone(
        start=back + _UP * 0.25 - aside * 0.18,
        end=back + _UP * 0.25 + aside * 0.18,
        start_radius=0.03,
        end_radius=0.03,
        front=_UP,
        paint=paint,
        stretch=(1.0, 6.0),
    )
    return [*legs, plank, rest] if kind < 0.75 else [*legs, plank]


def held_things(body: Body, posed: PosedBody, rng: np.random.Generator) -> list[RoundCone]:
    """Draw a ball, a stick, a racket or a bag in one hand of some people; world axes."""
    if rng.random() > 0.3:
        return []
    hand = posed.bones[f"{SIDES[rng.integers(2)]}_hand"]
    grip, paint = hand.at(0, -0.05 * body.height, 0.02 * body.height), flat(cloth_colour(rng))
    front = hand.rotation[:, 2]
    kind = rng.random()
    if kind < 0.35:
        radius = float(rng.uniform(0.03, 0.14))
        centre = hand.at(0, -0.05 * body.height, radius)
        return [
            RoundCone(
                start=centre, end=centre + 0.001 * _UP, start_radius=radius, end_radius=radius, front=front, paint=paint
            )
        ]
    if kind < 0.85:
        direction = hand.rotation @ np.array([rng.uniform(-1, 1), rng.uniform(-1, 0.2), rng.uniform(0, 1.0)])
        end = grip + direction / np.linalg.norm(direction) * rng.uniform(0.3, 1.3)
        stick = RoundCone(start=grip, end=end, start_radius=0.015, end_radius=0.015, front=front + 0.01, paint=paint)
        racket = RoundCone(
            start=end,
            end=end + 0.12 * (end - grip),
            start_radius=0.10,
            end_radius=0.12,
            front=front + 0.01,
            paint=flat(cloth_colour(rng)),
            stretch=(1.0, 0.15),
        )
        return [stick, racket] if rng.random() < 0.4 else [stick]
    low = grip - _UP * float(rng.uniform(0.2, 0.4))
    return [
        RoundCone(
            start=grip,
            end=low,
            start_radius=0.05,
            end_radius=0.13,
            front=front + 0.01,
            paint=paint,
            stretch=(1.0, 0.5),
            open_end=True,
        )
    ]


def loose_things(camera: Camera, depth: float, rng: np.random.Generator) -> list[RoundCone]:
    """Draw posts, blocks, rails and balls on the ground, some in front of a person at `depth` (m); world axes."""
    things = []
    for _ in range(rng.poisson(1.2)):
        near = rng.random() < 0.3
        away = depth * float(rng.uniform(0.6, 0.9) if near else rng.uniform(1.1, 2.5))
        foot = camera.ground_at(float(rng.uniform(0, camera.width)), away)
        paint = cloth(draw_fabric(rng)) if rng.random() < 0.4 else flat(cloth_colour(rng))
        heading = rng.normal(0, 1, 3) * (1, 0, 1) + (1e-3, 0, 0)
        heading /= np.linalg.norm(heading)
        kind = rng.random()
        if kind < 0.3:
            thick, tall = float(rng.uniform(0.02, 0.08)), float(rng.uniform(0.3, 2.8))
            start, end, radii, stretch = foot, foot + _UP * tall, (thick, thick), (1.0, 1.0)
        elif kind < 0.6:  # a block
            tall, squeeze = float(rng.uniform(0.1, 0.7 if near else 1.2)), rng.uniform(2, 8, 2)
            start, end, radii, stretch = foot + _UP * 0.05, foot + _UP * tall, (0.06, 0.06), tuple(squeeze.tolist())
        elif kind < 0.8:  # a rail
            middle, half = foot + _UP * rng.uniform(0.1, 1.0), heading * rng.uniform(0.3, 1.5)
            start, end, radii, stretch = middle - half, middle + half, (0.03, 0.03), (1.0, 1.0)
        else:
            size = float(rng.uniform(0.08, 0.35))
            start, end, radii, stretch = foot + _UP * size, foot + _UP * (size + 1e-3), (size, size), (1.0, 1.0)
        across = np.cross(heading, _UP) if 0.6 <= kind < 0.8 else heading
        things.append(
            RoundCone(
                start=start,
                end=end,
                start_radius=radii[0],
                end_radius=radii[1],
                front=across,
                paint=paint,
                stretch=stretch,
            )
        )
    return things
