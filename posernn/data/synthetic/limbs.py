"""Arms and legs with their sleeves, trousers and shoes, as tapered capsules."""

from __future__ import annotations

from posernn.data.synthetic.body import Body, Bone
from posernn.data.synthetic.clothes import Outfit, cloth, flat, until
from posernn.data.synthetic.cones import Paint, RoundCone

Offset = tuple[float, float, float]


def attach(
    bone: Bone,
    start: Offset,
    end: Offset,
    radii: tuple[float, float],
    paint: Paint,
    owner: int,
    stretch: tuple[float, float] = (1.0, 1.0),
    open_end: bool = False,
) -> RoundCone:
    """Return a cone fixed to a bone; offsets (along the bone's left, up and front) and radii in m."""
    return RoundCone(
        start=bone.at(*start),
        end=bone.at(*end),
        start_radius=radii[0],
        end_radius=radii[1],
        front=bone.rotation[:, 2],
        paint=paint,
        stretch=stretch,
        owner=owner,
        open_end=open_end,
    )


def arm_cones(body: Body, bones: dict[str, Bone], outfit: Outfit, owner: int, side: str) -> list[RoundCone]:
    """Return upper arm, forearm, hand with thumb, and sleeve."""
    size, thick, mirror = body.height, body.height * body.girth, -1 if side == "right" else 1
    upper, forearm, hand = (bones[f"{side}_{name}"] for name in ("upper_arm", "forearm", "hand"))
    skin = flat(outfit.skin)
    sleeve = skin if outfit.top is None else cloth(outfit.top)
    palm = skin if outfit.glove is None else flat(outfit.glove)
    covered = 0.0 if outfit.top is None else 2 * outfit.sleeve
    loose = outfit.loose if covered > 1 else 0.0
    cones = [
        attach(
            upper,
            (0, 0, 0),
            (0, -body.upper_arm * size, 0),
            (0.033 * thick + loose / 2, 0.024 * thick + loose),
            until(covered, sleeve, skin),
            owner,
        ),
        attach(
            forearm,
            (0, 0, 0),
            (0, -0.97 * body.forearm * size, 0),
            (0.026 * thick + loose, 0.0165 * thick + loose),
            until(covered - 1, sleeve, skin),
            owner,
        ),
        attach(
            hand,
            (0, -0.012 * size, 0),
            (0, -0.070 * size, 0.008 * size),
            (0.019 * size, 0.017 * size),
            palm,
            owner,
            (1.15, 0.55),
        ),
        attach(
            hand,
            (mirror * 0.012 * size, -0.012 * size, 0),
            (mirror * 0.033 * size, -0.045 * size, 0.006 * size),
            (0.009 * size, 0.008 * size),
            palm,
            owner,
        ),
    ]
    if 0.2 < covered < 1.2:  # a wide short sleeve
        length = min(covered, 1.0) * body.upper_arm * size
        radii = (0.035 * thick + outfit.loose / 2, 0.031 * thick + outfit.loose)
        cones.append(attach(upper, (0, 0, 0), (0, -max(length, 0.02), 0), radii, sleeve, owner, open_end=True))
    return cones


def leg_cones(body: Body, bones: dict[str, Bone], outfit: Outfit, owner: int, side: str) -> list[RoundCone]:
    """Return thigh, shank and foot with trousers, socks and shoes."""
    size, thick = body.height, body.height * body.girth
    thigh, shank, foot = (bones[f"{side}_{name}"] for name in ("thigh", "shank", "foot"))
    skin, trousers = flat(outfit.skin), cloth(outfit.bottom)
    covered = 0.15 if outfit.skirt else 2 * outfit.leg
    loose = outfit.loose if covered > 1 else 0.0
    sock = flat(outfit.sole) if outfit.sock else skin
    lower = until(covered - 1, trousers, until(1 - outfit.sock, skin, sock))
    # Legs may poke through a coat or skirt that hangs over them: paint the covered part in its colour.
    over = outfit.top if outfit.coat and outfit.top and not outfit.crop_top else None
    upper = until(covered, trousers, skin)
    if outfit.skirt:
        upper = until(outfit.skirt, trousers, skin)
    if over:
        upper = until(0.8 * outfit.coat / (body.thigh * size), cloth(over), upper)
    cones = [
        attach(thigh, (0, 0, 0), (0, -body.thigh * size, 0), (0.056 * thick, 0.036 * thick + loose), upper, owner),
        attach(
            shank,
            (0, 0, 0),
            (0, -body.shank * size, 0),
            (0.037 * thick + loose, 0.022 * thick + 1.5 * loose),
            lower,
            owner,
        ),
        attach(
            foot,
            (0, -0.018 * size, -0.028 * size),
            (0, -0.023 * size, 0.085 * size),
            (0.024 * size, 0.017 * size),
            flat(outfit.shoe),
            owner,
            (1.15, 1.0),
        ),
    ]
    if covered <= 1:
        cones.append(
            attach(
                shank,
                (0, -0.02 * size, -0.010 * size),
                (0, -0.12 * size, -0.012 * size),
                (0.030 * thick, 0.026 * thick),
                skin,
                owner,
            )
        )
    if 0.35 < covered < 1.3:  # wide shorts
        length = min(covered, 1.1) * body.thigh * size
        radii = (0.057 * thick + outfit.loose, 0.048 * thick + 2 * outfit.loose)
        cones.append(attach(thigh, (0, 0, 0), (0, -max(length, 0.02), 0), radii, trousers, owner, open_end=True))
    return cones
