"""Paints backgrounds: ground, walls, sky and clutter, without depth."""

from __future__ import annotations

import colorsys
import math

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter

from posernn.data.synthetic.camera import Camera
from posernn.data.synthetic.clothes import cloth_colour

Picture = Float[np.ndarray, "H W 3"]
PLACES = ("field", "court", "room", "street", "rock", "collage")
PLACE_SHARES = np.array([0.22, 0.17, 0.25, 0.13, 0.08, 0.15])


def noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Float[np.ndarray, "H W"]:
    """Return smooth noise in about [-1, 1], with `cells` cells along the longer side."""
    width, height = size
    rows, columns = (max(2, round(cells * side / max(size))) for side in (height, width))
    coarse = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _colour(rng: np.random.Generator, hue: float, spread: float, saturation: float, value: float) -> np.ndarray:
    """Draw a colour near a hue (0 red, 1/3 green, 2/3 blue)."""
    rgb = colorsys.hsv_to_rgb(
        (hue + rng.normal(0, spread)) % 1,
        np.clip(saturation * rng.uniform(0.5, 1.3), 0, 1),
        np.clip(value * rng.uniform(0.6, 1.25), 0, 1),
    )
    return np.array(rgb)


def _byte(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (min(max(int(255 * value), 0), 255) for value in colour.tolist())
    return red, green, blue


def _thing_colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour for a built object: usually less saturated than clothes."""
    colour = cloth_colour(rng)
    return colour + float(rng.uniform(0, 0.9)) * (colour.mean() - colour)


def background(rng: np.random.Generator, camera: Camera) -> Image.Image:
    """Paint a random place as the camera sees it."""
    place = str(rng.choice(PLACES, p=PLACE_SHARES))
    whole, camera = (camera.width, camera.height), camera.shrunk(2)  # faster, and slightly out of focus
    size = camera.width, camera.height
    # Distance at which the ground ends: at the horizon, or at a wall.
    reach = rng.uniform(4, 14) if place in ("court", "room") else rng.uniform(25, 200)
    distance = float(np.clip(reach, 1.5 * abs(camera.position[1]), None))
    foot = camera.project(camera.position[None] * (1, 0, 1) + np.array([[0.0, 0.0, -distance]]))[0, 1]
    edge = int(np.clip(foot, -1, camera.height))
    picture = Image.new("RGB", size)
    _paint_behind(ImageDraw.Draw(picture), rng, place, camera, edge)
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.2))))
    pixels = np.asarray(picture, dtype=np.float32) / 255
    shade = 1 + rng.uniform(0.03, 0.15) * noise(rng, size, int(rng.integers(3, 9)))
    shade += rng.uniform(0.0, 0.2 if place == "rock" else 0.06) * noise(rng, size, int(rng.integers(40, 160)))
    pixels = pixels * shade[:, :, None]
    if place not in ("rock", "collage") and edge < camera.height:
        _paint_ground(pixels, rng, place, camera, max(edge, 0))
    coarse = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    return coarse.resize(whole, Image.Resampling.BILINEAR)


def _paint_behind(brush: ImageDraw.ImageDraw, rng: np.random.Generator, place: str, camera: Camera, edge: int) -> None:
    width, height = camera.width, camera.height
    if place in ("field", "street"):
        top, bottom = _colour(rng, 0.58, 0.03, 0.5, 0.8), _colour(rng, 0.55, 0.05, 0.15, 0.9)
        for row in range(0, max(edge, 1), 4):
            share = row / max(edge, 1)
            brush.rectangle((0, row, width, row + 4), fill=_byte(top * (1 - share) + bottom * share))
        hills = _colour(rng, 0.33, 0.06, 0.4, 0.45)
        bumps = edge - height * 0.12 * (1 + noise(rng, (width, 1), 6)[0])
        brush.polygon([(0, edge + 2), *enumerate(bumps.tolist()), (width, edge + 2)], fill=_byte(hills))
    else:
        brush.rectangle((0, 0, width, height), fill=_byte(_thing_colour(rng) * 0.6 + rng.uniform(0.1, 0.4)))
    if place == "field":
        for _ in range(rng.integers(2, 12)):
            _tree(brush, rng, float(rng.uniform(0, width)), edge, height * float(rng.uniform(0.1, 0.6)))
    if place == "street":
        for _ in range(rng.integers(3, 9)):
            _building(brush, rng, edge, width, height)
    if place in ("court", "room"):
        for _ in range(rng.integers(3, 16)):
            _fitting(brush, rng, edge, width, height)
    if place in ("rock", "collage"):
        base = _thing_colour(rng) if place == "collage" else _colour(rng, 0.08, 0.05, 0.25, 0.5)
        for _ in range(rng.integers(25, 90)):
            colour = _thing_colour(rng) if place == "collage" else base * rng.uniform(0.5, 1.5)
            centre, reach = rng.uniform(0, 1, 2) * (width, height), height * rng.uniform(0.03, 0.3)
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
            outline = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            corners = centre + reach * rng.uniform(0.5, 1, (len(angles), 1)) * outline
            brush.polygon([tuple(corner) for corner in corners.tolist()], fill=_byte(colour))
    for _ in range(rng.integers(0, 5)):  # poles, cables, edges: long and thin, like limbs
        start, end = rng.uniform(-0.1, 1.1, (2, 2)) * (width, height)
        brush.line([tuple(start), tuple(end)], fill=_byte(_thing_colour(rng)), width=int(rng.integers(1, 5)))
    for _ in range(rng.integers(0, 5)):  # blobs in the colours of clothes and skin
        x, y, reach = rng.uniform(0, width), rng.uniform(0, height), height * rng.uniform(0.02, 0.12)
        brush.ellipse(
            (x - reach, y - reach * rng.uniform(0.5, 2), x + reach, y + reach), fill=_byte(_thing_colour(rng))
        )


def _tree(brush: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, foot: float, tall: float) -> None:
    trunk, leaves = _colour(rng, 0.08, 0.02, 0.4, 0.3), _colour(rng, 0.29, 0.07, 0.6, 0.4)
    brush.rectangle((x - tall * 0.04, foot - tall * 0.6, x + tall * 0.04, foot + 2), fill=_byte(trunk))
    for _ in range(30):
        left, up = x + rng.normal(0, tall * 0.2), foot - tall * 0.65 + rng.normal(0, tall * 0.18)
        reach = tall * rng.uniform(0.04, 0.14)
        brush.ellipse((left - reach, up - reach, left + reach, up + reach), fill=_byte(leaves * rng.uniform(0.5, 1.6)))


def _building(brush: ImageDraw.ImageDraw, rng: np.random.Generator, foot: int, width: int, height: int) -> None:
    left, wide, tall = rng.uniform(-0.1, 1) * width, rng.uniform(0.1, 0.4) * width, rng.uniform(0.1, 0.9) * height
    wall, glass = _colour(rng, 0.08, 0.1, 0.3, 0.6), _colour(rng, 0.6, 0.1, 0.3, 0.5)
    brush.rectangle((left, foot - tall, left + wide, foot + 2), fill=_byte(wall))
    step = max(8.0, wide / rng.integers(3, 9))
    for x in np.arange(left + step * 0.3, left + wide - step * 0.6, step):
        for y in np.arange(foot - tall + step * 0.4, foot - step * 0.7, step * 1.3):
            brush.rectangle((x, y, x + step * 0.5, y + step * 0.7), fill=_byte(glass * rng.uniform(0.6, 1.5)))


def _fitting(brush: ImageDraw.ImageDraw, rng: np.random.Generator, foot: int, width: int, height: int) -> None:
    """Paint a picture, door, window, shelf, cupboard or curtain on the wall, or furniture in front of it."""
    wide, tall = rng.uniform(0.05, 0.3) * width, rng.uniform(0.06, 0.6) * height
    left, colour = rng.uniform(-0.1, 1) * width, _thing_colour(rng)
    top = foot - tall if rng.random() < 0.5 else rng.uniform(0, 0.8) * max(foot, 1)
    brush.rectangle(
        (left, top, left + wide, top + tall),
        fill=_byte(colour),
        outline=_byte(colour * rng.uniform(0.4, 1.6)),
        width=int(rng.integers(1, 5)),
    )
    parts = int(rng.integers(0, 7))
    if rng.random() < 0.5:
        for y in np.linspace(top, top + tall, parts + 1)[:parts]:
            brush.line((left, y, left + wide, y), fill=_byte(colour * 0.6), width=2)
    else:
        for x in np.linspace(left, left + wide, parts + 1)[:parts]:
            brush.rectangle((x, top + 3, x + wide / parts * 0.6, top + tall - 3), fill=_byte(_thing_colour(rng)))


def _paint_ground(pixels: Picture, rng: np.random.Generator, place: str, camera: Camera, edge: int) -> None:
    """Fill the rows below `edge` with ground in perspective: planks, tiles, court lines, grass or tar."""
    y, x = np.mgrid[edge : camera.height, 0 : camera.width].astype(np.float32)
    x = (x - (camera.width - 1) / 2) / camera.focal
    y = (y - (camera.height - 1) / 2) / camera.focal
    to_world = camera.rotation.T.tolist()
    fall = np.minimum(to_world[1][0] * x + to_world[1][1] * y + to_world[1][2], -1e-3)
    depth = -max(float(camera.position[1]), 0.3) / fall
    east = depth * (to_world[0][0] * x + to_world[0][1] * y + to_world[0][2]) + float(camera.position[0])
    north = depth * (to_world[2][0] * x + to_world[2][1] * y + to_world[2][2])
    turned = rng.uniform(0, math.pi)
    cos, sin = math.cos(turned), math.sin(turned)
    east, north = east * cos - north * sin, east * sin + north * cos
    hue, saturation = {"field": (0.27, 0.6), "street": (0.6, 0.08)}.get(place, (rng.random(), 0.4))
    colour = _colour(rng, hue, 0.04, saturation, 0.55)
    fine = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    grain = fine[(east * 12).astype(np.int32) % 64, (north * 12).astype(np.int32) % 64]
    # Distant pixels cover many grains: fade the texture to avoid aliasing.
    shade = 1 + rng.uniform(0.02, 0.22) * grain / (1 + 0.15 * depth)
    if rng.random() < 0.55:
        step = rng.uniform(0.15, 1.5)
        shade *= 1 - rng.uniform(0, 0.3) * ((east / step) % 1 < rng.uniform(0.05, 0.5))
        if rng.random() < 0.5:
            shade *= 1 - rng.uniform(0, 0.3) * ((north / step) % 1 < rng.uniform(0.05, 0.5))
    ground = colour.astype(np.float32) * shade[:, :, None]
    if place in ("court", "street") or rng.random() < 0.15:
        lines = (np.abs(east % rng.uniform(2, 7) - 1) < 0.04) | (np.abs(north % rng.uniform(2, 7) - 1) < 0.04)
        ground[lines] = _thing_colour(rng) * 0.3 + 0.7 * rng.uniform(0.5, 1)
    pixels[edge:] = ground
