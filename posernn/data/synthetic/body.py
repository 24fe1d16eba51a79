"""Draws bodies and computes forward kinematics: joint angles of a pose -> joints and bones in space.

Convention: metres; body and world axes are x to the left of a person who faces the camera (picture's right), y up,
z towards the camera. The columns of a bone's rotation are its left, up and front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from posernn.data.synthetic.poses import SIDES, Pose
from posernn.pose.skeleton import Joint

Vector = Float[np.ndarray, "3"]
Rotation = Float[np.ndarray, "3 3"]


@dataclass(frozen=True, kw_only=True)
class Body:
    """Proportions of one person. Lengths are shares of `height`, close to the medians of MPII's frontal people."""

    height: float  # m
    girth: float  # factor of all radii, 1: average
    female: bool
    shoulder: float  # thorax to shoulder
    hip: float  # pelvis to hip
    torso: float  # pelvis to thorax
    neck: float  # thorax to upper neck
    head: float  # upper neck to head top
    upper_arm: float
    forearm: float
    thigh: float
    shank: float
    ankle: float  # above the sole


def draw_body(rng: np.random.Generator) -> Body:
    """Draw a random adult, sometimes a child (larger head, shorter limbs)."""
    female, child = bool(rng.random() < 0.45), bool(rng.random() < 0.08)
    vary = lambda mean: float(mean * np.clip(rng.normal(1, 0.05), 0.87, 1.13))  # noqa: E731
    return Body(
        height=float(rng.uniform(1.1, 1.45) if child else rng.normal(1.66 if female else 1.78, 0.07)),
        girth=float(np.clip(rng.lognormal(-0.02 if female else 0.03, 0.15), 0.75, 1.5)),
        female=female,
        shoulder=vary(0.103 if female else 0.115),
        hip=vary(0.062 if female else 0.058),
        torso=vary(0.298),
        neck=vary(0.040),
        head=vary(0.185 if child else 0.162),
        upper_arm=vary(0.165 if child else 0.175),
        forearm=vary(0.140 if child else 0.148),
        thigh=vary(0.225 if child else 0.245),
        shank=vary(0.225 if child else 0.243),
        ankle=vary(0.040),
    )


@dataclass(frozen=True)
class Bone:
    """A rigid body part: `origin` is its parent joint, `rotation` its axes."""

    origin: Vector
    rotation: Rotation

    def at(self, left: float, up: float, front: float) -> Vector:
        """Return the point at these offsets (m) from the origin along the bone's axes."""
        return self.origin + self.rotation @ np.array([left, up, front])


@dataclass(frozen=True)
class PosedBody:
    """Joints (16, 3) in skeleton order and bones by name, in world axes."""

    joints: Float[np.ndarray, "J 3"]
    bones: dict[str, Bone]

    def moved(self, rotation: Rotation, translation: Vector) -> PosedBody:
        """Return this body rotated, then translated."""
        bones = {
            name: Bone(rotation @ bone.origin + translation, rotation @ bone.rotation)
            for name, bone in self.bones.items()
        }
        return PosedBody(self.joints @ rotation.T + translation, bones)


def turn(axis: str, degrees: float) -> Rotation:
    """Return the right-handed rotation about the x, y or z axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    if axis == "y":
        return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _ball_joint(angles: dict[str, float], name: str, mirror: int) -> Rotation:
    return (
        turn("x", -angles[f"{name}_flexion"])
        @ turn("z", mirror * angles[f"{name}_abduction"])
        @ turn("y", -mirror * angles[f"{name}_rotation"])
    )


def pose_body(body: Body, pose: Pose) -> PosedBody:
    """Compute joints and bones of a pose, with the pelvis at the origin.

    Limbs extend along their bone's -y. The thorax is the midpoint of the shoulders and the pelvis that of the hips; in
    MPII both are true to half a pixel.
    """
    angles, size = pose.angles, body.height
    pelvis = turn("y", pose.facing) @ turn("x", pose.lean) @ turn("z", pose.tilt)
    # The spine bends in two places, so that a bent back is round; the lower bend orients the waist.
    half = turn("y", angles["spine_twist"] / 2) @ turn("x", angles["spine_flexion"] / 2)
    half = half @ turn("z", -angles["spine_lateral"] / 2)
    waist, chest = pelvis @ half, pelvis @ half @ half
    bones = {"pelvis": Bone(np.zeros(3), pelvis)}
    waist_origin = bones["pelvis"].at(0, 0.35 * body.torso * size, 0)
    bones["waist"] = Bone(waist_origin, waist)
    chest_origin = bones["waist"].at(0, 0.25 * body.torso * size, 0)
    bones["chest"] = Bone(chest_origin, chest)

    joints = np.zeros((len(Joint), 3))
    for side, mirror in zip(SIDES, (-1, 1), strict=True):
        own = {name.removeprefix(f"{side}_"): value for name, value in angles.items() if name.startswith(side)}
        prefix = side.upper()
        upper_arm = chest @ _ball_joint(own, "shoulder", mirror)
        # The shoulder blade lifts the shoulder joint of a raised arm.
        lift = 0.035 * max(0.0, float((chest.T @ -upper_arm[:, 1])[1]))
        shoulder = bones["chest"].at(mirror * (1 - lift) * body.shoulder * size, (0.4 * body.torso + lift) * size, 0)
        bones[f"{side}_upper_arm"] = Bone(shoulder, upper_arm)
        forearm = upper_arm @ turn("x", -own["elbow_flexion"])
        elbow = bones[f"{side}_upper_arm"].at(0, -body.upper_arm * size, 0)
        bones[f"{side}_forearm"] = Bone(elbow, forearm)
        wrist = bones[f"{side}_forearm"].at(0, -body.forearm * size, 0)
        # Palms of hanging arms face inward.
        bones[f"{side}_hand"] = Bone(wrist, forearm @ turn("y", -70.0 * mirror) @ turn("x", -own["wrist_flexion"]))

        thigh = pelvis @ _ball_joint(own, "hip", mirror)
        hip = bones["pelvis"].at(mirror * body.hip * size, 0, 0)
        bones[f"{side}_thigh"] = Bone(hip, thigh)
        knee = bones[f"{side}_thigh"].at(0, -body.thigh * size, 0)
        shank = thigh @ turn("x", own["knee_flexion"])
        bones[f"{side}_shank"] = Bone(knee, shank)
        ankle = bones[f"{side}_shank"].at(0, -body.shank * size, 0)
        bones[f"{side}_foot"] = Bone(ankle, shank @ turn("y", 8.0 * mirror) @ turn("x", -own["ankle_flexion"]))
        for name, point in (
            ("SHOULDER", shoulder),
            ("ELBOW", elbow),
            ("WRIST", wrist),
            ("HIP", hip),
            ("KNEE", knee),
            ("ANKLE", ankle),
        ):
            joints[Joint[f"{prefix}_{name}"]] = point

    thorax = (joints[Joint.RIGHT_SHOULDER] + joints[Joint.LEFT_SHOULDER]) / 2
    bend = turn("y", angles["neck_twist"] / 2) @ turn("x", angles["neck_flexion"] / 2)
    bend = bend @ turn("z", -angles["neck_lateral"] / 2)
    # At rest the neck leans forward and the head compensates.
    bones["neck"] = Bone(thorax, chest @ turn("x", 15.0) @ bend)
    upper_neck = bones["neck"].at(0, body.neck * size, 0)
    bones["head"] = Bone(upper_neck, chest @ bend @ bend)
    joints[Joint.PELVIS] = 0.0
    joints[Joint.THORAX] = thorax
    joints[Joint.UPPER_NECK] = upper_neck
    joints[Joint.HEAD_TOP] = bones["head"].at(0, body.head * size, 0)
    return PosedBody(joints, bones)


def standing_height(body: Body) -> float:
    """Return the height from soles to head top, m. MPII's `scale` is this height in px, divided by 200."""
    return body.height * (body.ankle + body.shank + body.thigh + body.torso + body.neck + body.head)
