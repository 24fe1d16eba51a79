"""A posed, dressed person as tapered capsules: trunk, head, arms and legs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posernn.data.synthetic.body import Body, Bone, PosedBody
from posernn.data.synthetic.clothes import Outfit, cloth, flat, until
from posernn.data.synthetic.cones import Paint, RoundCone
from posernn.data.synthetic.head import head_cones
from posernn.data.synthetic.limbs import arm_cones, attach, leg_cones
from posernn.data.synthetic.poses import SIDES

Bones = dict[str, Bone]


def figure(body: Body, posed: PosedBody, outfit: Outfit, owner: int) -> list[RoundCone]:
    """Return all surfaces of a person; `owner` marks their pixels."""
    bones = posed.bones
    paints = _trunk_paints(outfit)
    return [
        *_torso(body, bones, outfit, paints, owner),
        *_shoulders(body, bones, paints, owner),
        *_buttocks_and_breasts(body, bones, paints, owner),
        *_coat(body, bones, outfit, paints, owner),
        *_skirt(body, bones, outfit, paints, owner),
        *head_cones(body, bones, outfit, owner),
        *(cone for side in SIDES for cone in arm_cones(body, bones, outfit, owner, side)),
        *(cone for side in SIDES for cone in leg_cones(body, bones, outfit, owner, side)),
    ]


class _TrunkPaints(NamedTuple):
    """Paints of the trunk from the chest down."""

    top: Paint
    belly: Paint
    hips: Paint
    seat: Paint
    bottom: Paint


def _trunk_paints(outfit: Outfit) -> _TrunkPaints:
    skin, bottom = flat(outfit.skin), cloth(outfit.bottom)
    top = skin if outfit.top is None else cloth(outfit.top)
    hips = top if outfit.coat and not outfit.crop_top else bottom
    return _TrunkPaints(
        top=top,
        belly=skin if outfit.crop_top else top,
        hips=hips,
        seat=hips if outfit.coat > 0.06 else bottom,
        bottom=bottom,
    )


def _torso(body: Body, bones: Bones, outfit: Outfit, paints: _TrunkPaints, owner: int) -> list[RoundCone]:
    size, thick, loose = body.height, body.height * body.girth, outfit.loose
    hip, half = body.hip * size, 0.5 * body.torso * size
    broad = 1.27 if body.female else 1.36
    return [
        attach(
            bones["pelvis"],
            (-0.75 * hip, 0.012 * size, 0),
            (0.75 * hip, 0.012 * size, 0),
            (0.060 * thick,) * 2,
            paints.seat,
            owner,
        ),
        attach(
            bones["pelvis"],
            (0, 0.02 * size, 0),
            (0, 0.35 * body.torso * size, 0),
            (0.067 * thick, 0.065 * thick + loose),
            until(0.45, paints.hips, paints.belly),
            owner,
            (1.3, 0.95),
        ),
        attach(
            bones["waist"],
            (0, 0, 0),
            (0, half, 0),
            (0.064 * thick + loose, 0.071 * thick + loose),
            paints.belly,
            owner,
            (1.3, 0.96),
        ),
        attach(
            bones["chest"],
            (0, 0, 0),
            (0, 0.33 * body.torso * size, 0),
            (0.071 * thick + loose, 0.058 * thick + loose),
            paints.top,
            owner,
            (broad, 0.97),
        ),
    ]


def _shoulders(body: Body, bones: Bones, paints: _TrunkPaints, owner: int) -> list[RoundCone]:
    """Return the collar bones and the muscles from neck to shoulder."""
    size, thick, chest = body.height, body.height * body.girth, bones["chest"]
    shoulders = [bones[f"{side}_upper_arm"].origin for side in SIDES]
    middle = (shoulders[0] + shoulders[1]) / 2
    return [
        RoundCone(
            start=middle + chest.rotation[:, 1] * 0.012 * size,
            end=shoulder * 0.9 + middle * 0.1,
            start_radius=0.040 * thick,
            end_radius=0.035 * thick,
            front=chest.rotation[:, 2],
            paint=paints.top,
            owner=owner,
        )
        for shoulder in shoulders
    ]


def _buttocks_and_breasts(body: Body, bones: Bones, paints: _TrunkPaints, owner: int) -> list[RoundCone]:
    size, thick = body.height, body.height * body.girth
    cones = []
    for mirror in (-1, 1):
        x = mirror * 0.045 * size
        start, end = (x, -0.012 * size, -0.030 * size), (x, 0.012 * size, -0.034 * size)
        cones.append(attach(bones["pelvis"], start, end, (0.050 * thick,) * 2, paints.seat, owner))
        if body.female:
            x = mirror * 0.042 * size
            start, end = (x, 0.09 * size, 0.045 * thick), (x, 0.11 * size, 0.04 * thick)
            cones.append(attach(bones["chest"], start, end, (0.040 * thick, 0.034 * thick), paints.top, owner))
    return cones


def _coat(body: Body, bones: Bones, outfit: Outfit, paints: _TrunkPaints, owner: int) -> list[RoundCone]:
    if not outfit.coat or outfit.crop_top:
        return []
    size, thick, loose = body.height, body.height * body.girth, outfit.loose
    start, end = (0, 0.05 * size, 0), (0, 0.02 * size - outfit.coat, 0.03 * outfit.coat)
    radii = (0.068 * thick + loose, 0.078 * thick + loose)
    return [attach(bones["pelvis"], start, end, radii, paints.top, owner, (1.5, 1.15), open_end=True)]


def _skirt(body: Body, bones: Bones, outfit: Outfit, paints: _TrunkPaints, owner: int) -> list[RoundCone]:
    """Return the skirt; it hangs in the mean direction of the thighs."""
    if not outfit.skirt:
        return []
    size, thick, pelvis = body.height, body.height * body.girth, bones["pelvis"]
    downward = -(bones["left_thigh"].rotation[:, 1] + bones["right_thigh"].rotation[:, 1])
    downward = downward / max(float(np.linalg.norm(downward)), 1e-6) - 0.1 * pelvis.rotation[:, 1]
    return [
        RoundCone(
            start=pelvis.at(0, 0.03 * size, 0),
            end=pelvis.origin + downward * outfit.skirt * body.thigh * size,
            start_radius=0.070 * thick,
            end_radius=(0.085 + 0.035 * outfit.skirt) * thick,
            front=pelvis.rotation[:, 2] + 0.01,
            paint=paints.bottom,
            stretch=(1.4, 1.1),
            owner=owner,
            open_end=True,
        )
    ]
