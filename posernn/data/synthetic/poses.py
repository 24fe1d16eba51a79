"""Draws poses as joint angles, within anatomical limits (LIMITS) and typical of an activity (ACTIVITIES).

Convention: angles in degrees, all 0 for a person who stands straight with hanging arms. Signs are the same on both
sides: flexion moves a limb forward (the knee: backward), abduction moves it away from the body, rotation turns it
inward. Keys are `left_` or `right_` + a limb angle, or the name of a trunk angle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

SIDES = ("right", "left")

TRUNK_LIMITS = {
    "spine_flexion": (-30.0, 75.0),
    "spine_lateral": (-30.0, 30.0),  # to the person's left
    "spine_twist": (-40.0, 40.0),  # to the person's left
    "neck_flexion": (-40.0, 40.0),
    "neck_lateral": (-30.0, 30.0),
    "neck_twist": (-65.0, 65.0),
}
LIMB_LIMITS = {
    "shoulder_flexion": (-50.0, 180.0),
    "shoulder_abduction": (-25.0, 120.0),
    "shoulder_rotation": (-80.0, 80.0),
    "elbow_flexion": (0.0, 145.0),
    "wrist_flexion": (-50.0, 60.0),
    "hip_flexion": (-25.0, 125.0),
    "hip_abduction": (-15.0, 60.0),
    "hip_rotation": (-40.0, 35.0),
    "knee_flexion": (0.0, 140.0),
    "ankle_flexion": (-45.0, 25.0),
}
LIMITS = TRUNK_LIMITS | {f"{side}_{name}": limit for side in SIDES for name, limit in LIMB_LIMITS.items()}
"""Lowest and highest value of each angle, degrees; roughly an adult's active range of motion."""

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Ranges of the angles of an activity's poses.

    Attributes:
        share: frequency relative to the other activities.
        lean: turn of the whole body around its left-right axis, degrees; 90: face down, -90: on the back.
        tilt: turn around its front-back axis, degrees; positive: to the person's right.
        lift: height of the lowest point above the ground, m.
        seat: whether to put a seat under the hips.
        names: `cat_name` and `act_name` of the release.
        both: ranges of limb angles of both sides, drawn independently for each side.
        lead: ranges for one side, chosen at random; they override `both`.
        trail: ranges for the other side; they override `both`.
        trunk: ranges of trunk angles.
    """

    share: float
    names: tuple[str, str]
    lean: Range = (-4, 8)
    tilt: Range = (-5, 5)
    lift: Range = (0, 0)
    seat: bool = False
    both: dict[str, Range]
    lead: dict[str, Range]
    trail: dict[str, Range]
    trunk: dict[str, Range]


def _activity(share: float, category: str, name: str, **fields) -> Activity:
    limbs = {key: fields.pop(key, {}) for key in ("both", "lead", "trail", "trunk")}
    return Activity(share=share, names=(category, name), **limbs, **fields)


_LOOSE_ARMS: dict[str, Range] = {
    "shoulder_flexion": (-15, 30), "shoulder_abduction": (2, 25), "shoulder_rotation": (-15, 50),
    "elbow_flexion": (5, 70), "wrist_flexion": (-20, 30),
}  # fmt: skip
_BUSY_ARMS: dict[str, Range] = {
    "shoulder_flexion": (5, 80), "shoulder_abduction": (0, 40), "shoulder_rotation": (-20, 60),
    "elbow_flexion": (20, 115), "wrist_flexion": (-25, 35),
}  # fmt: skip
_RAISED_ARMS: dict[str, Range] = {
    "shoulder_flexion": (95, 175), "shoulder_abduction": (0, 45), "shoulder_rotation": (-40, 40),
    "elbow_flexion": (0, 95), "wrist_flexion": (-30, 30),
}  # fmt: skip
_SPREAD_ARMS: dict[str, Range] = {
    "shoulder_flexion": (-20, 45), "shoulder_abduction": (50, 115), "shoulder_rotation": (-70, 60),
    "elbow_flexion": (0, 100), "wrist_flexion": (-30, 30),
}  # fmt: skip
_HANDS_ON_HIPS: dict[str, Range] = {
    "shoulder_flexion": (-25, 0), "shoulder_abduction": (35, 50), "shoulder_rotation": (40, 65),
    "elbow_flexion": (75, 100), "wrist_flexion": (-20, 20),
}  # fmt: skip
_STANDING: dict[str, Range] = {
    "hip_flexion": (-8, 15), "hip_abduction": (0, 16), "hip_rotation": (-20, 5),
    "knee_flexion": (0, 18), "ankle_flexion": (-8, 8),
}  # fmt: skip
_SITTING: dict[str, Range] = {
    "hip_flexion": (70, 105), "hip_abduction": (0, 30), "hip_rotation": (-15, 15),
    "knee_flexion": (55, 110), "ankle_flexion": (-15, 15),
}  # fmt: skip
_STRIDE_LEAD: dict[str, Range] = {"hip_flexion": (15, 55), "knee_flexion": (5, 65), "hip_abduction": (-3, 12)}
_STRIDE_TRAIL: dict[str, Range] = {"hip_flexion": (-25, 0), "knee_flexion": (5, 60), "ankle_flexion": (-35, 5)}

ACTIVITIES = {
    "stand": _activity(30, "miscellaneous", "standing", both=_LOOSE_ARMS | _STANDING),
    "talk": _activity(30, "occupation", "teaching", both=_BUSY_ARMS | _STANDING),
    "pose": _activity(7, "fishing and hunting", "fishing, standing", both=_HANDS_ON_HIPS | _STANDING,
                      trail=_LOOSE_ARMS),
    "walk": _activity(12, "walking", "walking, general", both=_LOOSE_ARMS | {"ankle_flexion": (-15, 15)},
                      lead=_STRIDE_LEAD, trail=_STRIDE_TRAIL | {"shoulder_flexion": (10, 45)}, lean=(0, 12)),
    "run": _activity(4, "running", "jogging", both=_LOOSE_ARMS | {"elbow_flexion": (60, 115)},
                     lead={"hip_flexion": (30, 85), "knee_flexion": (30, 110), "shoulder_flexion": (-45, -10)},
                     trail={"hip_flexion": (-25, 5), "knee_flexion": (10, 110), "shoulder_flexion": (10, 60)},
                     lean=(5, 22), lift=(0, 0.15)),
    "reach": _activity(10, "sports", "basketball", both=_STANDING | _BUSY_ARMS, lead=_RAISED_ARMS, lift=(0, 0.1)),
    "cheer": _activity(6, "dancing", "aerobic, step", both=_STANDING | _RAISED_ARMS),
    "spread": _activity(7, "dancing", "ballroom", both=_STANDING | _SPREAD_ARMS,
                        lead={"hip_abduction": (0, 45), "hip_flexion": (-15, 40), "knee_flexion": (0, 60)}),
    "swing": _activity(5, "sports", "golf", lean=(5, 30), both=_STANDING | {
        "shoulder_flexion": (25, 95), "shoulder_abduction": (-20, -5), "shoulder_rotation": (-10, 25),
        "elbow_flexion": (5, 45), "knee_flexion": (5, 40), "hip_flexion": (10, 45), "hip_abduction": (5, 22)},
        trunk={"spine_twist": (-40, 40), "spine_flexion": (5, 35)}),
    "guard": _activity(5, "sports", "boxing", both=_BUSY_ARMS | {
        "shoulder_flexion": (30, 85), "elbow_flexion": (80, 140), "hip_flexion": (0, 35), "hip_abduction": (5, 25),
        "knee_flexion": (5, 45)}, lead={"shoulder_flexion": (60, 100), "elbow_flexion": (5, 80)}),
    "kick": _activity(2, "sports", "martial arts", both=_BUSY_ARMS | _STANDING, lean=(-20, 5),
                      lead={"hip_flexion": (40, 115), "hip_abduction": (0, 55), "knee_flexion": (0, 90),
                            "ankle_flexion": (-40, 10)}, trail=_SPREAD_ARMS | {"hip_flexion": (-20, 10)}),
    "lunge": _activity(4, "conditioning exercise", "stretching", both=_BUSY_ARMS,
                       lead={"hip_flexion": (45, 100), "knee_flexion": (45, 110), "ankle_flexion": (0, 25)},
                       trail={"hip_flexion": (-25, 0), "knee_flexion": (5, 90), "hip_abduction": (0, 25),
                              "ankle_flexion": (-10, 20)}),
    "squat": _activity(2.5, "conditioning exercise", "weight lifting", lean=(10, 40), both=_BUSY_ARMS | {
        "hip_flexion": (70, 120), "knee_flexion": (70, 140), "hip_abduction": (5, 45), "ankle_flexion": (5, 25),
        "hip_rotation": (-30, 0)}),
    "bend": _activity(3, "lawn and garden", "gardening", lean=(20, 70), both=_LOOSE_ARMS | {
        "shoulder_flexion": (30, 110), "hip_flexion": (35, 95), "knee_flexion": (0, 70), "hip_abduction": (0, 18)},
        trunk={"spine_flexion": (10, 60), "neck_flexion": (-35, 20)}),
    "sit": _activity(11, "inactivity quiet/light", "sitting", seat=True, lean=(-18, 15), both=_SITTING | _BUSY_ARMS),
    "ride": _activity(4, "bicycling", "bicycling", seat=True, lean=(10, 45), both={
        "hip_flexion": (60, 115), "knee_flexion": (35, 110), "hip_abduction": (0, 12), "shoulder_flexion": (55, 95),
        "shoulder_abduction": (5, 25), "elbow_flexion": (5, 50), "ankle_flexion": (-20, 15)},
        trunk={"neck_flexion": (-35, -5), "spine_flexion": (5, 35)}),
    "sit on floor": _activity(1.5, "conditioning exercise", "yoga", lean=(-25, 10), both=_BUSY_ARMS | {
        "hip_flexion": (75, 120), "knee_flexion": (5, 135), "hip_abduction": (5, 55), "hip_rotation": (-40, 10)}),
    "kneel": _activity(1.5, "home repair", "carpentry", both=_BUSY_ARMS | {
        "hip_flexion": (0, 40), "knee_flexion": (85, 125), "ankle_flexion": (-45, -20)},
        lead={"hip_flexion": (0, 95)}, lean=(0, 30)),
    "jump": _activity(2.5, "sports", "skateboarding", both=_SPREAD_ARMS | {
        "hip_flexion": (-10, 90), "knee_flexion": (10, 115), "hip_abduction": (0, 40), "ankle_flexion": (-40, 10)},
        lean=(-15, 28), tilt=(-15, 15), lift=(0.15, 0.7)),
    "climb": _activity(2, "sports", "rock climbing", both=_RAISED_ARMS | {
        "hip_flexion": (10, 100), "knee_flexion": (20, 115), "hip_abduction": (10, 50), "hip_rotation": (-35, 0)},
        tilt=(-25, 25), lift=(0.3, 1.2)),
    "lie": _activity(0.7, "inactivity quiet/light", "lying quietly", lean=(-95, -75), both=_LOOSE_ARMS | {
        "shoulder_abduction": (5, 80), "hip_flexion": (-5, 60), "knee_flexion": (0, 95), "hip_abduction": (0, 25)}),
    "plank": _activity(0.8, "conditioning exercise", "push-ups", lean=(60, 95), both={
        "shoulder_flexion": (65, 110), "shoulder_abduction": (0, 20), "elbow_flexion": (0, 80),
        "hip_flexion": (-5, 60), "knee_flexion": (0, 60), "ankle_flexion": (-20, 25)},
        trunk={"neck_flexion": (-40, 0)}),
    "upside down": _activity(0.8, "sports", "gymnastics", lean=(150, 210), tilt=(-25, 25), both={
        "shoulder_flexion": (145, 178), "shoulder_abduction": (0, 20), "elbow_flexion": (0, 30),
        "hip_flexion": (-20, 60), "hip_abduction": (0, 50), "knee_flexion": (0, 70), "ankle_flexion": (-40, 0)},
        trunk={"neck_flexion": (-35, 0)}),
    "cartwheel": _activity(0.6, "dancing", "ballet, modern, or jazz", tilt=(40, 150), both=_SPREAD_ARMS | {
        "shoulder_abduction": (80, 120), "hip_abduction": (15, 60), "hip_flexion": (-15, 40), "knee_flexion": (0, 30)},
        lift=(0, 0.3)),
}  # fmt: skip

_TRUNK_REST = {
    "spine_flexion": (-8, 18), "spine_lateral": (-10, 10), "spine_twist": (-15, 15),
    "neck_flexion": (-15, 25), "neck_lateral": (-12, 12), "neck_twist": (-35, 35),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Joint angles (keys of LIMITS), lean, tilt and lift (see Activity), and the direction that the person faces.

    `facing` is in degrees: 0 to the camera, 90 to the picture's right, 180 away from the camera.
    """

    activity: str
    angles: dict[str, float]
    lean: float
    tilt: float
    lift: float
    facing: float


def draw_facing(rng: np.random.Generator) -> float:
    """Draw the direction that a person faces, degrees; mostly to the camera, as 64% of MPII's people do."""
    kind = rng.random()
    if kind < 0.5:
        return float(rng.normal(0, 32))
    return float(rng.uniform(-180, 180) if kind < 0.78 else rng.normal(180, 32))


def draw_pose(rng: np.random.Generator, activity: str | None = None) -> Pose:
    """Draw a pose of `activity` (None: drawn by shares), within LIMITS."""
    if activity is None:
        shares = np.array([one.share for one in ACTIVITIES.values()])
        activity = str(rng.choice(list(ACTIVITIES), p=shares / shares.sum()))
    ranges = ACTIVITIES[activity]
    lead, trail = SIDES if rng.random() < 0.5 else SIDES[::-1]
    by_key = _TRUNK_REST | ranges.trunk
    for side, own in ((lead, ranges.lead), (trail, ranges.trail)):
        by_key |= {f"{side}_{name}": limit for name, limit in (ranges.both | own).items()}
    angles = {}
    for key, limits in LIMITS.items():
        low, high = by_key.get(key, (-3.0, 3.0))
        # The noise exceeds the usual range sometimes: photos show unusual poses too.
        angles[key] = float(np.clip(rng.uniform(low, high) + rng.normal(0, 4), *limits))
    tilt = rng.uniform(*ranges.tilt) * (1 if rng.random() < 0.5 else -1)
    return Pose(activity=activity, angles=angles, lean=float(rng.uniform(*ranges.lean)), tilt=float(tilt),
                lift=float(rng.uniform(*ranges.lift)), facing=draw_facing(rng))  # fmt: skip


def perturb_pose(pose: Pose, spread: float, rng: np.random.Generator) -> Pose:
    """Return a similar pose, as a moment later: every angle changes by about `spread` degrees, within LIMITS."""
    angles = {key: float(np.clip(value + rng.normal(0, spread), *LIMITS[key])) for key, value in pose.angles.items()}
    return replace(pose, angles=angles, facing=pose.facing + float(rng.normal(0, spread)))
