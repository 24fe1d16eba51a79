"""Stages a picture: draws people with clothes and poses, places them and aims the camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from posernn.data.synthetic.body import Body, PosedBody, draw_body, pose_body, standing_height
from posernn.data.synthetic.camera import Camera, aim
from posernn.data.synthetic.clothes import Outfit, draw_outfit
from posernn.data.synthetic.poses import SIDES, Pose, draw_pose, perturb_pose
from posernn.pose.skeleton import Joint

FEWEST_JOINTS = 5  # of a person inside the picture


@dataclass(frozen=True)
class Actor:
    """A dressed and posed person, ready to be rendered."""

    body: Body
    outfit: Outfit
    pose: Pose
    posed: PosedBody  # world axes

    def extent(self) -> float:
        """Return the height of the posed person, m: from the lowest to the highest joint and a margin."""
        return float(np.ptp(self.posed.joints[:, 1])) + 0.1 * self.body.height


def cast_actor(style: np.random.Generator, frame_rng: np.random.Generator, activity: str) -> Actor:
    """Draw a person of the shot in a pose of this frame."""
    body = draw_body(style)
    outfit = draw_outfit(style, body.female)
    activity = activity if style.random() < 0.6 else draw_pose(style).activity
    first = draw_pose(style, activity)
    for _ in range(6):
        pose = perturb_pose(first, 10, frame_rng) if frame_rng.random() < 0.4 else draw_pose(frame_rng, activity)
        posed = pose_body(body, pose)
        if not _collides(body, posed):
            break
    return Actor(body, outfit, pose, stand(body, posed, pose))


def _collides(body: Body, posed: PosedBody) -> bool:
    """Return whether an arm intersects the trunk or the head, which limits of single joints cannot prevent."""
    pelvis, thorax, head = (posed.joints[joint] for joint in (Joint.PELVIS, Joint.THORAX, Joint.HEAD_TOP))
    trunk, neck = thorax - pelvis, posed.joints[Joint.UPPER_NECK]
    thick = 0.075 * body.height * body.girth
    for side in SIDES:
        elbow, wrist = (posed.joints[Joint[f"{side.upper()}_{name}"]] for name in ("ELBOW", "WRIST"))
        for point in (wrist, 0.5 * (wrist + elbow), elbow):
            share = np.clip((point - pelvis) @ trunk / (trunk @ trunk), 0, 0.9)
            if np.linalg.norm(point - pelvis - share * trunk) < thick:
                return True
            if np.linalg.norm(point - (0.4 * neck + 0.6 * head)) < 0.45 * np.linalg.norm(head - neck):
                return True
    return False


def stand(body: Body, posed: PosedBody, pose: Pose) -> PosedBody:
    """Move the body onto the ground (y = 0), or `lift` above it, centred on the origin."""
    soles = [
        posed.bones[f"{side}_foot"].at(0, -0.04 * body.height, z * body.height) for side in SIDES for z in (-0.03, 0.09)
    ]
    hands = [posed.bones[f"{side}_hand"].at(0, -0.08 * body.height, 0) for side in SIDES]
    low = min(float(np.min(np.stack(soles + hands)[:, 1])), float(posed.joints[:, 1].min()) - 0.035 * body.height)
    middle = posed.joints.mean(axis=0)
    return posed.moved(np.eye(3), np.array([-middle[0], pose.lift - low, -middle[2]]))


def frame_first(actor: Actor, size: tuple[int, int], rng: np.random.Generator) -> tuple[Camera, Actor]:
    """Return a camera that shows the first person small or large, anywhere, sometimes cut off by the border."""
    width, height = size
    middle = actor.posed.joints.mean(axis=0)
    shown = float(np.clip(height * 0.66 * np.exp(rng.normal(0, 0.42)), 0.25 * height, 1.7 * height))
    while True:
        focal = width * float(rng.uniform(0.9, 2.2))
        depth = max(focal * standing_height(actor.body) / shown, 1.6)
        shown = focal * standing_height(actor.body) / depth
        extent = actor.extent() * shown / standing_height(actor.body)
        column = float(np.clip(rng.normal(0.5, 0.17), 0.12, 0.88)) * width
        if extent < 0.94 * height:
            row = float(rng.uniform(0.5 * extent, height - 0.5 * extent))
        else:  # mostly keep the head and cut off the feet, as photographers do
            margin = rng.uniform(-0.06, 0.16) if rng.random() < 0.85 else rng.uniform(-0.5, 0.2)
            row = 0.54 * extent + height * float(margin)
        high = float(np.clip(rng.normal(1.45, 0.45), 0.35, 3.0) if rng.random() < 0.92 else rng.uniform(3, 6))
        camera = aim(
            middle,
            (column, row),
            depth=depth,
            above=high - middle[1],
            roll=float(rng.normal(0, 3)),
            focal=focal,
            size=size,
        )
        if _num_inside(actor, camera) >= FEWEST_JOINTS:
            return camera, actor
        shown *= 0.9


def place(actor: Actor, others: list[Actor], camera: Camera, depth: float, rng: np.random.Generator) -> Actor:
    """Place a person somewhere in the picture with little mutual occlusion with the others."""
    best, least = None, np.inf
    for attempt in range(40):
        away = max(depth * float(np.exp(rng.normal(0.25, 0.35))), 1.8)
        spot = camera.ground_at(float(rng.uniform(0.04, 0.96)) * camera.width, away) * (1, 0, 1)
        placed = replace(actor, posed=actor.posed.moved(np.eye(3), spot))
        if _num_inside(placed, camera) < FEWEST_JOINTS:
            continue
        overlap = max(_overlap(placed, other, camera) for other in others)
        if overlap < least:
            best, least = placed, overlap
        if least < 0.3 or (attempt > 8 and best is not None):
            break
    if best is None:  # the camera sees almost no ground: place the person beside the first one, farther away
        aside = camera.rotation.T @ np.array([0.5, 0.0, 1.0])
        best = replace(actor, posed=actor.posed.moved(np.eye(3), aside * (1, 0, 1)))
    return best


def _num_inside(actor: Actor, camera: Camera) -> int:
    seen = camera.to_camera(actor.posed.joints)
    if seen[:, 2].min() < 1.0:
        return 0
    joints = camera.project(actor.posed.joints)
    return int(((joints > 0) & (joints < (camera.width - 1, camera.height - 1))).all(axis=1).sum())


def _overlap(one: Actor, other: Actor, camera: Camera) -> float:
    """Return the overlap of two people's boxes as a share of the smaller box."""
    boxes = [camera.project(actor.posed.joints) for actor in (one, other)]
    low, high = (np.array([edge(box, axis=0) for box in boxes]) for edge in (np.min, np.max))
    common = np.clip(high.min(axis=0) - low.max(axis=0), 0, None).prod()
    return float(common / max((high - low).prod(axis=1).min(), 1.0))
