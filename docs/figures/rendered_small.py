"""Draws README's figure: python docs/figures/rendered_small.py, after `dvc repro`.

Rendered people of the demo, which `rendered-small` has not seen: the predicted joints, and the boxes that were given.
"""

from pathlib import Path

import numpy as np
from PIL import Image

import posernn
from posernn.data import schemas
from posernn.pose import geometry
from posernn.report.drawing import draw_people
from posernn.runtime.files import read_table

WIDTH, HEIGHT, COLUMNS, ROWS = 320, 240, 4, 2


def main() -> None:
    """Draw the first pictures of the figure's aspect whose only person is large and whole, at most one per video."""
    model = posernn.load("rendered-small")
    people = read_table(Path("data/people.parquet"), schemas.PEOPLE)
    joints, annotated = schemas.to_numpy(people, "joints_image"), schemas.to_numpy(people, "annotated")
    names, videos = people["image"].to_pylist(), people["video"].to_pylist()
    sheet = Image.new("RGB", (WIDTH * COLUMNS, HEIGHT * ROWS))
    seen: set[int] = set()
    for row, (name, video) in enumerate(zip(names, videos, strict=True)):
        if video in seen or names.count(name) > 1 or not annotated[row].all():
            continue
        with Image.open(Path("data/synthetic/images") / name) as file:
            picture = file.convert("RGB")
        large = np.ptp(joints[row, annotated[row], 1]) > 0.5 * picture.height
        if not large or abs(picture.width / picture.height - WIDTH / HEIGHT) > 0.01:
            continue
        box = geometry.joints_box(joints[row], annotated[row], padding=20, size=picture.size)
        poses = model.predict(picture, boxes=box)
        drawn = draw_people(picture, poses.joints_image, poses.boxes_image).resize((WIDTH, HEIGHT))
        sheet.paste(drawn, (len(seen) % COLUMNS * WIDTH, len(seen) // COLUMNS * HEIGHT))
        seen.add(video)
        if len(seen) == COLUMNS * ROWS:
            break
    sheet.save("docs/figures/rendered_small.jpg", quality=85)


if __name__ == "__main__":
    main()
