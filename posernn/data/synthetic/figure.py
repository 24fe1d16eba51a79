"""A posed, dressed person as tapered capsules, ready to be drawn."""

from __future__ import annotations

import numpy as np

from posernn.data.synthetic.body import Body, Bone, PosedBody
from posernn.data.synthetic.clothes import Outfit, cloth, flat, until
from posernn.data.synthetic.head import head_cones
from posernn.data.synthetic.limbs import arm_cones, attach, leg_cones
from posernn.data.synthetic.poses import SIDES
from posernn.data.synthetic.rendering import RoundCone


def figure(body: Body, posed: PosedBody, outfit: Outfit, owner: int) -> list[RoundCone]:
    """Every surface of a person; `owner` marks the pixels that show it."""
    return [
        *_trunk_cones(body, posed.bones, outfit, owner),
        *head_cones(body, posed.bones, outfit, owner),
        *(cone for side in SIDES for cone in arm_cones(body, posed.bones, outfit, owner, side)),
        *(cone for side in SIDES for cone in leg_cones(body, posed.bones, outfit, owner, side)),
    ]


def _trunk_cones(body: Body, bones: dict[str, Bone], outfit: Outfit, owner: int) -> list[RoundCone]:
    size, thick = body.height, body.height * body.girth
    pelvis, waist, chest = bones["pelvis"], bones["waist"], bones["chest"]
    skin, bottom = flat(outfit.skin), cloth(outfit.bottom)
    top = skin if outfit.top is None else cloth(outfit.top)
    belly = skin if outfit.crop_top else top
    hips = top if outfit.coat and not outfit.crop_top else bottom
    hip, half = body.hip * size, 0.5 * body.torso * size
    broad = 1.27 if body.female else 1.36
    loose = outfit.loose
    seat = hips if outfit.coat > 0.06 else bottom
    cones = [
        attach(
            pelvis, (-0.75 * hip, 0.012 * size, 0), (0.75 * hip, 0.012 * size, 0), (0.060 * thick,) * 2, seat, owner
        ),
        attach(
            pelvis,
            (0, 0.02 * size, 0),
            (0, 0.35 * body.torso * size, 0),
            (0.067 * thick, 0.065 * thick + loose),
            until(0.45, hips, belly),
            owner,
            (1.3, 0.95),
        ),
        attach(
            waist, (0, 0, 0), (0, half, 0), (0.064 * thick + loose, 0.071 * thick + loose), belly, owner, (1.3, 0.96)
        ),
        attach(
            chest,
            (0, 0, 0),
            (0, 0.33 * body.torso * size, 0),
            (0.071 * thick + loose, 0.058 * thick + loose),
            top,
            owner,
            (broad, 0.97),
        ),
    ]
    shoulders = [bones[f"{side}_upper_arm"].origin for side in SIDES]
    middle = (shoulders[0] + shoulders[1]) / 2
    for shoulder in shoulders:  # collar bones and the muscle from neck to shoulder
        cones.append(
            RoundCone(
                start=middle + chest.rotation[:, 1] * 0.012 * size,
                end=shoulder * 0.9 + middle * 0.1,
                start_radius=0.040 * thick,
                end_radius=0.035 * thick,
                front=chest.rotation[:, 2],
                paint=top,
                owner=owner,
            )
        )
    for mirror in (-1, 1):
        x = mirror * 0.045 * size
        cones.append(
            attach(
                pelvis,
                (x, -0.012 * size, -0.030 * size),
                (x, 0.012 * size, -0.034 * size),
                (0.050 * thick,) * 2,
                seat,
                owner,
            )
        )
        if body.female:
            x = mirror * 0.042 * size
            cones.append(
                attach(
                    chest,
                    (x, 0.09 * size, 0.045 * thick),
                    (x, 0.11 * size, 0.04 * thick),
                    (0.040 * thick, 0.034 * thick),
                    top,
                    owner,
                )
            )
    if outfit.coat and not outfit.crop_top:
        cones.append(
            attach(
                pelvis,
                (0, 0.05 * size, 0),
                (0, 0.02 * size - outfit.coat, 0.03 * outfit.coat),
                (0.068 * thick + loose, 0.078 * thick + loose),
                top,
                owner,
                (1.5, 1.15),
                True,
            )
        )
    if outfit.skirt:
        downward = -(bones["left_thigh"].rotation[:, 1] + bones["right_thigh"].rotation[:, 1])
        downward = downward / max(float(np.linalg.norm(downward)), 1e-6) - 0.1 * pelvis.rotation[:, 1]
        cones.append(
            RoundCone(
                start=pelvis.at(0, 0.03 * size, 0),
                end=pelvis.origin + downward * outfit.skirt * body.thigh * size,
                start_radius=0.070 * thick,
                end_radius=(0.085 + 0.035 * outfit.skirt) * thick,
                front=pelvis.rotation[:, 2] + 0.01,
                paint=bottom,
                stretch=(1.4, 1.1),
                owner=owner,
                open_end=True,
            )
        )
    return cones
