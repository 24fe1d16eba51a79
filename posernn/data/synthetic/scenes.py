"""Composes one picture: camera, background, people and objects.

A shot is a video or a single photo. Properties that are constant in a video (people, clothes, light, place) are drawn
from the shot's seed, all others from the image's seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from posernn.data.synthetic.annotation import RenderedPerson, annotate
from posernn.data.synthetic.backgrounds import background
from posernn.data.synthetic.camera import Camera
from posernn.data.synthetic.figure import figure
from posernn.data.synthetic.poses import ACTIVITIES
from posernn.data.synthetic.props import held_things, loose_things, seat
from posernn.data.synthetic.rendering import Canvas, Light, draw
from posernn.data.synthetic.staging import Actor, cast_actor, frame_first, place
from posernn.pose.skeleton import LIMBS

PICTURE_WIDTH = 512
"""Width of the widest pictures, px, where nothing else is said."""

SIZES = ((512, 288), (464, 348), (432, 324), (400, 300), (320, 400))  # width, height, px, at PICTURE_WIDTH
SIZE_SHARES = np.array([0.45, 0.15, 0.2, 0.1, 0.1])


@dataclass(frozen=True, kw_only=True)
class ImagePlan:
    """Properties of an image that are decided before it is rendered."""

    index: int  # of the image
    shot: int
    activity: str
    num_people: int


@dataclass(frozen=True, kw_only=True)
class RenderedImage:
    """A picture, its people in the order of the plan, and the owner of each pixel."""

    picture: Image.Image
    owner: Int[np.ndarray, "H W"]
    people: list[RenderedPerson]


def render_image(plan: ImagePlan, seed: int, picture_width: int = PICTURE_WIDTH) -> RenderedImage:
    """Render one image. The same plan, seed and width give the same pixels; another width the same scene.

    Args:
        plan: what it shows.
        seed: of all random choices.
        picture_width: of the widest format, px; an image of another format is smaller.
    """
    style = np.random.default_rng([seed, 1, plan.shot])
    frame = np.random.default_rng([seed, 2, plan.index])
    width, height = SIZES[style.choice(len(SIZES), p=SIZE_SHARES)]
    size = round(width * picture_width / PICTURE_WIDTH), round(height * picture_width / PICTURE_WIDTH)
    place_seed = int(style.integers(2**32))
    casts = [np.random.default_rng([seed, 3, plan.shot, number]) for number in range(plan.num_people)]
    actors = [cast_actor(cast, frame, plan.activity) for cast in casts]

    camera, actors[0] = frame_first(actors[0], size, frame)
    depth = float(camera.to_camera(actors[0].posed.joints).mean(axis=0)[2])
    for number in range(1, len(actors)):
        actors[number] = place(actors[number], actors[:number], camera, depth, frame)

    light = _draw_light(camera, style)
    picture = _cast_shadows(background(np.random.default_rng(place_seed), camera), camera, actors, light)
    canvas = Canvas.over(np.asarray(picture))
    things = loose_things(camera, depth, frame)
    for number, actor in enumerate(actors):
        things += figure(actor.body, actor.posed, actor.outfit, number)
        things += held_things(actor.body, actor.posed, frame)
        if ACTIVITIES[actor.pose.activity].seat:
            things += seat(actor.body, actor.posed, frame)
    draw(canvas, things, camera, light)
    people = [annotate(canvas, camera, actor.posed, actor.body, number, frame) for number, actor in enumerate(actors)]
    return RenderedImage(picture=_develop(canvas.colour, style, frame), owner=canvas.owner, people=people)


def _draw_light(camera: Camera, rng: np.random.Generator) -> Light:
    direction = np.array([rng.normal(0, 0.7), rng.uniform(0.4, 1.3), rng.normal(0.4, 0.6)])
    tint = 1 + rng.normal(0, 0.06, 3)
    lamp = float(rng.uniform(0.2, 0.85))
    return Light(
        direction=camera.rotation @ direction / np.linalg.norm(direction),
        lamp=lamp * tint,
        ambient=(1.0 - 0.55 * lamp) * rng.uniform(0.7, 1.05) * (1 + rng.normal(0, 0.04, 3)),
    )


def _cast_shadows(picture: Image.Image, camera: Camera, actors: list[Actor], light: Light) -> Image.Image:
    """Darken the ground where limbs shade it from the lamp."""
    coarse = camera.shrunk(4)  # shadows are soft
    mask = Image.new("L", (coarse.width, coarse.height), 255)
    strength = 0.6 * float(light.lamp.mean() / (light.lamp.mean() + light.ambient.mean()))
    brush = ImageDraw.Draw(mask)
    grey = round(255 * (1 - strength))
    toward = camera.rotation.T @ light.direction
    for actor in actors:
        joints = actor.posed.joints
        fallen = joints - toward * (joints[:, 1] / max(toward[1], 0.3))[:, None]
        fallen[:, 1] = 0.0
        seen = coarse.to_camera(fallen)
        if seen[:, 2].min() < 0.5:
            continue
        spots = coarse.project(fallen)
        for start, end in LIMBS:
            wide = coarse.focal * 0.065 * actor.body.height / seen[start, 2]
            brush.line([tuple(spots[start]), tuple(spots[end])], fill=grey, width=max(round(wide), 1))
    mask = mask.filter(ImageFilter.GaussianBlur(0.7)).resize(picture.size, Image.Resampling.BILINEAR)
    return ImageChops.multiply(picture, Image.merge("RGB", (mask,) * 3))


def _develop(colour: UInt8[np.ndarray, "H W 3"], style: np.random.Generator, frame: np.random.Generator) -> Image.Image:
    """Apply lens blur, which also antialiases edges, colour grading and sensor noise."""
    picture = Image.fromarray(colour)
    if style.random() < 0.85:
        picture = picture.filter(ImageFilter.BoxBlur(float(frame.uniform(0.1, 0.3))))
    else:
        picture = picture.filter(ImageFilter.GaussianBlur(float(frame.uniform(0.8, 1.8))))
    contrast, brightness, tint = style.uniform(0.85, 1.45), style.normal(0.04, 0.06), style.normal(1, 0.05, 3)
    level = np.arange(256) / 255
    graded = np.clip(((level - 0.45) * contrast + 0.45 + brightness) * tint[:, None], 0, 1) * 255
    picture = picture.point(graded.astype(np.uint8).ravel().tolist())
    # Each row is another section of one strip of noise: fast, and looks like independent noise.
    strip = np.clip(128 + frame.exponential(4.5) * frame.normal(size=1 << 15), 0, 255).astype(np.uint8)
    starts = frame.integers(0, strip.size - picture.width, picture.height)
    grain = Image.fromarray(strip[starts[:, None] + np.arange(picture.width)])
    return ImageChops.add(picture, Image.merge("RGB", (grain,) * 3), offset=-128)
