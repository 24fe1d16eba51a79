"""Draws skin, hair and clothes: colours, patterns and whole outfits."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from posernn.data.synthetic.cones import Paint, Points

Colour = Float[np.ndarray, "3"]

SKIN = np.array(
    [
        [0.95, 0.78, 0.68],
        [0.90, 0.70, 0.58],
        [0.86, 0.66, 0.50],
        [0.78, 0.57, 0.42],
        [0.66, 0.46, 0.33],
        [0.52, 0.35, 0.25],
        [0.40, 0.26, 0.19],
        [0.29, 0.19, 0.14],
    ]
)
HAIR = np.array(
    [
        [0.07, 0.06, 0.06],
        [0.13, 0.09, 0.07],
        [0.24, 0.15, 0.09],
        [0.40, 0.27, 0.15],
        [0.72, 0.56, 0.32],
        [0.50, 0.22, 0.10],
        [0.62, 0.62, 0.62],
        [0.85, 0.84, 0.82],
    ]
)
HAIR_SHARES = np.array([0.27, 0.24, 0.17, 0.11, 0.08, 0.04, 0.06, 0.03])
PATTERNS = ("plain", "hoops", "stripes", "checks", "dots", "blotches", "print")
PATTERN_SHARES = np.array([0.62, 0.07, 0.05, 0.06, 0.02, 0.06, 0.12])

_NOISE_SIZE = 64  # a power of two


def _smooth_noise() -> Float[np.ndarray, "S S"]:
    """Return a tile of smooth noise in [-1, 1], the same in every process."""
    noise = np.random.default_rng(0).normal(size=(_NOISE_SIZE, _NOISE_SIZE))
    for axis in (0, 1):
        noise = np.mean([np.roll(noise, shift, axis) for shift in (-2, -1, 0, 1, 2)], axis=0)
    return np.clip(noise / noise.std() / 2, -1, 1).astype(np.float32)


_NOISE = _smooth_noise()


def _noise_at(row: Float[np.ndarray, "P"], column: Float[np.ndarray, "P"]) -> Float[np.ndarray, "P"]:
    """Look the noise up at these cells; the tile repeats."""
    last = np.int32(_NOISE_SIZE - 1)
    return _NOISE[row.astype(np.int32) & last, column.astype(np.int32) & last]


def cloth_colour(rng: np.random.Generator) -> Colour:
    """Draw a colour for clothes: often black, white, grey or blue."""
    kind = rng.random()
    if kind < 0.36:
        return np.clip(rng.choice([0.08, 0.14, 0.3, 0.55, 0.85, 0.93]) + rng.normal(0, 0.03, 3), 0.03, 1)
    hue = rng.normal(0.61, 0.03) if kind < 0.55 else rng.random()
    return np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.15, 0.9), rng.uniform(0.15, 0.95)))


@dataclass(frozen=True, kw_only=True)
class Fabric:
    """A cloth: a pattern of two colours with smooth folds."""

    colour: Colour
    second: Colour
    pattern: str
    period: float  # m
    folds: float  # contrast of the folds, share of the brightness

    def __call__(self, points: Points) -> Points:
        """Return colours at points on a cone (see cones.Paint)."""
        left, along, front = points
        noise = _noise_at(left * 150 + front * 90, along * 110)
        colour = self.colour.astype(points.dtype)[:, None]
        if self.pattern != "plain":
            mix = self._second_share(left, along, front, noise)
            colour = colour + (self.second - self.colour).astype(points.dtype)[:, None] * mix
        return colour * (1 + self.folds * noise)

    def _second_share(self, left: np.ndarray, along: np.ndarray, front: np.ndarray, noise: np.ndarray) -> np.ndarray:
        hoop, stripe = along / self.period % 1 < 0.5, left / self.period % 1 < 0.5
        if self.pattern == "hoops":
            return hoop
        if self.pattern == "stripes":
            return stripe
        if self.pattern == "checks":
            return (hoop + stripe.astype(np.float32)) / 2
        if self.pattern == "dots":
            return np.hypot(along / self.period % 1 - 0.5, left / self.period % 1 - 0.5) < 0.3
        if self.pattern == "blotches":
            return noise > 0.15
        # "print": a ragged patch on the chest
        inside = (np.abs(left) < 1.2 * self.period) & (np.abs(along - 0.12) < self.period)
        return inside & (front > 0) & (noise > -0.2)


def draw_fabric(rng: np.random.Generator) -> Fabric:
    """Draw a random cloth."""
    return Fabric(
        colour=cloth_colour(rng),
        second=cloth_colour(rng),
        period=float(rng.uniform(0.03, 0.12)),
        pattern=str(rng.choice(PATTERNS, p=PATTERN_SHARES)),
        folds=float(rng.uniform(0.05, 0.25)),
    )


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """Appearance of one person, except for the body's proportions."""

    skin: Colour
    hair: Colour
    hair_style: str  # bald, short, long, ponytail, bun, cap, helmet
    hat: Colour
    beard: bool
    top: Fabric | None  # None: bare chest
    sleeve: float  # share of the arm that is covered: 0 none, 0.5 to the elbow, 1 to the wrist
    crop_top: bool
    coat: float  # length of the top below the hips, m; 0: it ends at the waist
    bottom: Fabric
    leg: float  # share of the leg that is covered: 0.5 to the knee, 1 to the ankle
    skirt: float  # its length, share of the thigh; 0: none
    loose: float  # extra thickness of clothes, m
    shoe: Colour
    sole: Colour
    sock: float  # share of the shank that is covered
    glove: Colour | None


def draw_outfit(rng: np.random.Generator, female: bool) -> Outfit:
    """Draw random skin, hair and clothes."""
    tone = rng.beta(1, 1.5) * (len(SKIN) - 1.001)
    skin = SKIN[int(tone)] * (1 - tone % 1) + SKIN[int(tone) + 1] * (tone % 1)
    styles = ("bald", "short", "long", "ponytail", "bun", "cap", "helmet")
    shares = (0.0, 0.16, 0.36, 0.26, 0.1, 0.07, 0.05) if female else (0.1, 0.6, 0.05, 0.01, 0.01, 0.16, 0.07)
    top, bottom = draw_fabric(rng), draw_fabric(rng)
    suit = rng.random() < 0.12  # one cloth from neck to ankle
    bare = not female and rng.random() < 0.10
    skirt = female and rng.random() < 0.22
    return Outfit(
        skin=np.clip(skin * rng.normal(1, 0.06) + rng.normal(0, 0.015, 3), 0.05, 1),
        hair=np.clip(HAIR[rng.choice(len(HAIR), p=HAIR_SHARES)] * rng.uniform(0.7, 1.3), 0.02, 1),
        hair_style=str(rng.choice(styles, p=shares)),
        hat=cloth_colour(rng),
        beard=bool(not female and rng.random() < 0.25),
        top=None if bare else top,
        sleeve=float(rng.choice([0.0, rng.uniform(0.2, 0.4), rng.uniform(0.4, 0.6), 1.0], p=[0.2, 0.37, 0.08, 0.35])),
        crop_top=bool(female and rng.random() < 0.15),
        coat=float(rng.uniform(0.05, 0.3) if rng.random() < 0.3 else 0.0),
        bottom=top if suit and not bare else bottom,
        leg=float(rng.choice([rng.uniform(0.1, 0.25), rng.uniform(0.3, 0.55), 1.0], p=[0.1, 0.32, 0.58])),
        skirt=float(rng.uniform(0.35, 1.3)) if skirt else 0.0,
        loose=float(rng.choice([0.002, rng.uniform(0.005, 0.02)])),
        shoe=cloth_colour(rng) if rng.random() < 0.85 else skin,
        sole=cloth_colour(rng),
        sock=float(rng.choice([0.0, 0.15, 0.4, 0.9], p=[0.5, 0.25, 0.15, 0.1])),
        glove=cloth_colour(rng) if rng.random() < 0.06 else None,
    )


def flat(colour: Colour) -> Paint:
    """Return a paint of one slightly uneven colour."""

    def paint(points: Points, share: np.ndarray) -> Points:
        noise = _noise_at(points[0] * 200, points[1] * 200)
        return colour.astype(points.dtype)[:, None] * (1 + 0.06 * noise)

    return paint


def cloth(fabric: Fabric) -> Paint:
    """Return a paint of one cloth."""
    return lambda points, share: fabric(points)


def until(cut: float, first: Paint, rest: Paint) -> Paint:
    """Return a paint that is `first` up to this share of the cone's length and `rest` beyond it."""
    if cut >= 1:
        return first

    def paint(points: Points, share: np.ndarray) -> Points:
        return np.where(share < cut, first(points, share), rest(points, share))

    return paint
