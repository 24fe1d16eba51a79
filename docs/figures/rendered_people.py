"""Draws README's figure of rendered people: python docs/figures/rendered_people.py, after `dvc repro`.

Odd rows show pictures, even rows the same pictures with their annotation.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from posernn.data import schemas
from posernn.pose.skeleton import LIMBS
from posernn.runtime.files import read_table

WIDTH, HEIGHT, COLUMNS, ROWS = 256, 192, 5, 2
COLORS = {"RIGHT": (240, 120, 30), "LEFT": (60, 170, 240)}


def main() -> None:
    """Draw the first pictures with a large person and the figure's aspect, at most one per video."""
    people = read_table(Path("data/people.parquet"), schemas.PEOPLE)
    people = people.filter([split == "train" for split in people["split"].to_pylist()])
    joints, annotated = schemas.to_numpy(people, "joints_image"), schemas.to_numpy(people, "annotated")
    names, videos = people["image"].to_pylist(), people["video"].to_pylist()
    sheet = Image.new("RGB", (WIDTH * COLUMNS, 2 * HEIGHT * ROWS))
    seen: set[int] = set()
    for row, (name, video) in enumerate(zip(names, videos, strict=True)):
        picture = Image.open(Path("data/synthetic/images") / name)
        large = np.ptp(joints[row, annotated[row], 1]) > 0.5 * picture.height
        if video in seen or not large or abs(picture.width / picture.height - WIDTH / HEIGHT) > 0.01:
            continue
        place = len(seen)
        seen.add(video)
        corner = (place % COLUMNS * WIDTH, place // COLUMNS * 2 * HEIGHT)
        sheet.paste(picture.resize((WIDTH, HEIGHT)), corner)
        sheet.paste(_annotated(picture, joints, annotated, [n for n in range(len(names)) if names[n] == name]),
                    (corner[0], corner[1] + HEIGHT))  # fmt: skip
        if len(seen) == COLUMNS * ROWS:
            break
    sheet.save("docs/figures/rendered_people.jpg", quality=85)


def _annotated(picture: Image.Image, joints: np.ndarray, annotated: np.ndarray, rows: list[int]) -> Image.Image:
    drawn = picture.resize((WIDTH, HEIGHT))
    brush = ImageDraw.Draw(drawn)
    for row in rows:
        points = (joints[row] + 0.5) * WIDTH / picture.width - 0.5
        for start, end in LIMBS:
            if annotated[row, start] and annotated[row, end]:
                side = f"{start.name}_{end.name}".split("_")
                color = next((COLORS[word] for word in side if word in COLORS), (250, 220, 60))
                brush.line([tuple(points[start]), tuple(points[end])], fill=color, width=3)
    return drawn


if __name__ == "__main__":
    main()
