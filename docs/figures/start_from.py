"""Draws the figure of docs/how-to/your-own-data.md: python docs/figures/start_from.py, about 15 minutes of one core.

Compares starting points of a training on 50 people of a kind that `rendered-small` has not seen: gymnasts in grey
pictures of a camera that looks down on them by 50 degrees.
"""

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import matplotlib
import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure
from PIL import Image

from posernn import params
from posernn.data import batches, crops, schemas, shards
from posernn.data.synthetic.annotation import RenderedPerson, annotate
from posernn.data.synthetic.backgrounds import background
from posernn.data.synthetic.body import standing_height
from posernn.data.synthetic.camera import Camera, aim
from posernn.data.synthetic.figure import figure
from posernn.data.synthetic.rendering import Canvas, Light, draw
from posernn.data.synthetic.staging import Actor, cast_actor
from posernn.evaluation import scores
from posernn.evaluation.predict import predict
from posernn.params import recipe
from posernn.pose import geometry
from posernn.report.drawing import draw_people
from posernn.report.style import STYLE, colors, save


class Start(NamedTuple):
    """A starting point: `heatmap.weights` and `train.start_from` of params.yaml."""

    weights: str
    start_from: str | None


class Row(NamedTuple):
    """Total PCKh of the held-out people, percent, after some batches."""

    start: str
    seed: int
    batches: int
    pckh_total: float


STARTS = {
    "rendered-small": Start("pretrained", "rendered-small"),
    "ImageNet": Start("pretrained", None),
    "random weights": Start("none", None),
}
NUM_TRAIN, NUM_VAL, SEEDS = 50, 200, (0, 1, 2)
BATCHES, BATCH_SIZE = 64, 16
SCORED_AFTER = (0, 16, 32, 64)
SIDE, MARGIN = 192, 0.25
GYMNASTICS = ("upside down", "cartwheel", "lie", "plank", "climb", "jump", "lunge", "spread")
SIZE = (400, 300)
OUT = Path("docs/figures")


def main() -> None:
    """Measure the learning curves that start_from.csv does not have, and draw the figure from it."""
    torch.set_num_threads(1)
    table = OUT / "start_from.csv"
    if not table.exists():
        table.write_text(",".join(Row._fields) + "\n", encoding="utf-8")
    done = {(row.start, row.seed) for row in read(table)}
    for curve in measured([(seed, start) for seed in SEEDS for start in STARTS if (start, seed) not in done]):
        with table.open("a", encoding="utf-8") as file:
            file.writelines(",".join(map(str, row)) + "\n" for row in curve)
    save(drawn(read(table), examples()), OUT / "start_from.png")


def read(table: Path) -> list[Row]:
    """Read the rows of start_from.csv."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [Row(row["start"], int(row["seed"]), int(row["batches"]), float(row["pckh_total"])) for row in rows]


def measured(wanted: list[tuple[int, str]]) -> Iterator[list[Row]]:
    """Train for each seed and starting point on the 50 people of the seed, and score on the same 200 others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        val = render(folder, "val", NUM_VAL, seed=1000)
        for seed, start in wanted:
            people = pa.concat_tables([render(folder, "train", NUM_TRAIN, seed), val])
            crops.write_crops(people, folder, str(folder / "crops"), box="person", padding=20, keep_aspect=False,
                              side=SIDE, jpeg_quality=92, margin=MARGIN)  # fmt: skip
            yield [Row(start, seed, *score) for score in learning_curve(folder / "crops", start, seed)]


def examples() -> list[Image.Image]:
    """Draw the first four people of the first seed with their annotation, cut to their boxes."""
    found = []
    for number in range(4):
        picture, person = render_gymnast(np.random.default_rng([SEEDS[0], number]))
        box = geometry.person_box(person.center_image, person.scale)
        drawn_picture = draw_people(picture, person.joints_image[None], box[None])
        found.append(drawn_picture.crop(tuple(box.tolist())).resize((240, 240)))
    return found


def render(folder: Path, split: str, num: int, seed: int) -> pa.Table:
    """Render `num` pictures of one gymnast each into `folder`, and return their annotation (`schemas.PEOPLE`)."""
    people: list[RenderedPerson] = []
    names = [f"{seed}-{number}.jpg" for number in range(num)]
    for number, name in enumerate(names):
        picture, person = render_gymnast(np.random.default_rng([seed, number]))
        picture.save(folder / name, quality=80)
        people.append(person)
    joints = np.stack([np.where(person.annotated[:, None], person.joints_image, np.nan) for person in people])
    return schemas.people_table(
        names,
        image_index=np.arange(num, dtype=np.int32) + 1000 * (split == "train"),
        person_index=np.zeros(num, dtype=np.int32),
        split=[split] * num,
        single_person=np.ones(num, dtype=bool),
        center_image=np.stack([person.center_image for person in people]),
        scale=np.array([person.scale for person in people]),
        head_box_image=np.stack([person.head_box_image for person in people]),
        joints_image=joints,
        visible=np.stack([np.where(person.annotated, person.visible, np.nan) for person in people]),
    )


def render_gymnast(rng: np.random.Generator) -> tuple[Image.Image, RenderedPerson]:
    """Render a person in one of the poses of gymnastics from above, in grey."""
    actor = cast_gymnast(rng)
    camera = ceiling_camera(actor, rng)
    light = Light(
        direction=camera.rotation @ np.array([0.0, 1.0, 0.0]),
        lamp=np.full(3, rng.uniform(0.3, 0.7)),
        ambient=np.full(3, rng.uniform(0.3, 0.6)),
    )
    canvas = Canvas.over(np.asarray(background(rng, camera)))
    draw(canvas, figure(actor.body, actor.posed, actor.outfit, 0), camera, light)
    person = annotate(canvas, camera, actor.posed, actor.body, 0, rng)
    grey = np.asarray(Image.fromarray(canvas.colour).convert("L"), dtype=np.float64)
    noisy = grey * rng.uniform(0.5, 0.9) + rng.normal(0, 8, grey.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).convert("RGB"), person


def cast_gymnast(rng: np.random.Generator) -> Actor:
    """Draw people until one has a pose of gymnastics."""
    while True:
        actor = cast_actor(rng, rng, str(rng.choice(GYMNASTICS)))
        if actor.pose.activity in GYMNASTICS:
            return actor


def ceiling_camera(actor: Actor, rng: np.random.Generator) -> Camera:
    """Return a camera that looks down on the person by about 50 degrees."""
    width, height = SIZE
    depth = float(rng.uniform(5, 9))
    return aim(
        actor.posed.joints.mean(axis=0),
        (width * float(rng.uniform(0.35, 0.65)), height * float(rng.uniform(0.4, 0.6))),
        depth=depth,
        above=0.77 * depth,
        roll=float(rng.normal(0, 8)),
        focal=height * float(rng.uniform(0.5, 0.8)) * depth / standing_height(actor.body),
        size=SIZE,
    )


def learning_curve(folder: Path, start: str, seed: int) -> Iterator[tuple[int, float]]:
    """Train with the recipe of params.yaml; yield batches seen and Total PCKh of the held-out people, percent."""
    entry = params.load().entry("pretrained")
    settings = entry.settings.model_copy(
        update={"crop_size": SIDE, "flip_test": False, "weights": STARTS[start].weights}
    )
    training = entry.training.model_copy(
        update={
            "seed": seed,
            "start_from": STARTS[start].start_from,
            "iterations": BATCHES,
            "validate_every": BATCHES,
            "batch_size": BATCH_SIZE,
        }
    )
    entry = entry._replace(settings=settings, training=training)
    state = recipe.fresh_state(entry, torch.device("cpu"))
    train_crops, val_crops = (batches.load(str(folder), split, crop_size=SIDE) for split in ("train", "val"))
    steps = recipe.steps(entry, state, train_crops, val_crops)
    table = shards.read_crops(str(folder), "val")
    people, images = scores.people_of(table), batches.decode(scores.jpegs_of(table))
    for after in range(BATCHES + 1):
        if after in SCORED_AFTER:
            pred_crop = SIDE * predict(state.result.eval(), images).joints_unit.numpy()
            yield after, round(scores.score(pred_crop, people)["pckh_total"], 2)
        next(steps, None)


@matplotlib.rc_context(STYLE)
def drawn(rows: list[Row], pictures: list[Image.Image]) -> Figure:
    """Draw some people, and the learning curves: lines are means over the seeds, dots are single seeds."""
    drawing = Figure(figsize=(10.0, 3.8), layout="constrained")
    left, axes = drawing.subfigures(1, 2, width_ratios=(1, 1.15))
    for cell, picture in zip(left.subplots(2, 2).flat, pictures, strict=True):
        cell.imshow(picture)
        cell.set_axis_off()
    left.suptitle("Four of the 50 people, with their annotation", fontsize=11)
    axes = axes.subplots()
    for start, color in colors(STARTS).items():
        of_start = [row for row in rows if row.start == start]
        means = [mean(row.pckh_total for row in of_start if row.batches == after) for after in SCORED_AFTER]
        axes.plot(SCORED_AFTER, means, color=color)
        axes.scatter([row.batches for row in of_start], [row.pckh_total for row in of_start], s=12, color=color)
        end = (BATCHES, means[-1])
        axes.annotate(f" {start}  {means[-1]:.1f}", end, color=color, va="center", annotation_clip=False)
    axes.set(xlabel=f"batches of {BATCH_SIZE} people", xlim=(0, BATCHES), ylim=(0, None), xticks=SCORED_AFTER)
    axes.set_title(f"Total PCKh@0.5 of {NUM_VAL} others, percent")
    return drawing


if __name__ == "__main__":
    main()
