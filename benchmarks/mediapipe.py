"""Scores a run, or the model of the package, beside MediaPipe's pose landmark models, on the same people of a data set.

    npm pack @mediapipe/pose && tar xzf mediapipe-pose-*.tgz
    pip install ai-edge-litert
    python benchmarks/mediapipe.py package RUN PEOPLE.parquet IMAGES

PCKh@0.5 over the 12 joints that both have, size of the weights, and milliseconds a person on one core. MediaPipe starts
from the same `person` box; like its own tracker, it then looks at the region of its landmarks twice more.
"""

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from posernn import models
from posernn.data import cropping, schemas
from posernn.data.crops import select
from posernn.data.images import opened, to_rgb
from posernn.evaluation import metrics
from posernn.evaluation.predict import predict
from posernn.pose import geometry
from posernn.runtime.files import read_json, read_table

LANDMARKS = {0: 28, 1: 26, 2: 24, 3: 23, 4: 25, 5: 27, 10: 16, 11: 14, 12: 12, 13: 11, 14: 13, 15: 15}
"""MPII's joint -> MediaPipe's landmark."""
JOINTS = list(LANDMARKS)
GROWTH = 1.1
"""Side of MediaPipe's first region, as a multiple of the person box."""
PASSES = 3
BODY_CENTER, BODY_TOP = 33, 34
"""Landmarks that say where the body is: its centre, and a point on the circle around it, above the head."""
REGION = 2.5
"""Side of the next region, as a multiple of that circle's radius."""


class MediaPipe:
    """One of the pose landmark models."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.network = Interpreter(str(path), num_threads=1)
        self.network.allocate_tensors()
        self.image = self.network.get_input_details()[0]
        outputs = self.network.get_output_details()
        self.landmarks = next(output["index"] for output in outputs if output["shape"][-1] == 195)

    def __call__(self, person: dict[str, Any]) -> np.ndarray:
        """Predict the 12 joints of a person, image px: (12, 2)."""
        picture, box = person["picture"], person["box"]
        side = self.image["shape"][1]
        center, size, angle = (box[:2] + box[2:]) / 2, GROWTH * (box[2] - box[0]), 0.0
        for _ in range(PASSES):
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * size / side
            shift = center - turn @ np.full(2, (side - 1) / 2)
            # Pillow's origin is the corner of a pixel.
            corner = shift + 0.5 - turn @ np.full(2, 0.5)
            affine = np.concatenate([turn, corner[:, None]], axis=1)
            region = picture.transform((side, side), Image.Transform.AFFINE, affine.ravel(), Image.Resampling.BILINEAR)
            self.network.set_tensor(self.image["index"], np.asarray(region, np.float32)[None] / 255)
            self.network.invoke()
            found = self.network.get_tensor(self.landmarks).reshape(39, 5)[:, :2] @ turn.T + shift
            up = found[BODY_TOP] - found[BODY_CENTER]
            center, size, angle = found[BODY_CENTER], REGION * np.hypot(*up), np.arctan2(up[0], -up[1])
        return found[list(LANDMARKS.values())]


def people_of(people_file: Path, images: Path) -> list[dict[str, Any]]:
    """Read the held-out people whose image is there, with their pictures and boxes."""
    table = select(read_table(people_file, schemas.PEOPLE), "val")
    arrays = {
        name: schemas.to_numpy(table, name).astype(float) for name in ("center_image", "joints_image", "head_size")
    }
    found, pictures = [], {}
    for row, name in enumerate(table["image"].to_pylist()):
        if not (images / name).exists():
            continue
        if name not in pictures:
            with opened(images, name) as image:
                pictures[name] = to_rgb(image)
        scale = float(table["scale"][row].as_py())
        box = geometry.person_box(arrays["center_image"][row], scale)
        found.append({"picture": pictures[name], "box": box} | {name: array[row] for name, array in arrays.items()})
    return found


def score(found: list[np.ndarray], people: list[dict[str, Any]]) -> float:
    """Compute PCKh@0.5 of the 12 joints, percent."""
    truth = np.stack([person["joints_image"] for person in people])[:, JOINTS]
    head = np.stack([person["head_size"] for person in people])
    errors = metrics.normalized_errors(np.stack(found), truth, np.isfinite(truth).all(axis=2), head)
    return float(100 * (errors <= 0.5).sum() / np.isfinite(errors).sum())


def main(package: Path, run: Path, people_file: Path, images: Path) -> None:
    """Print a line for each model."""
    if importlib.util.find_spec("ai_edge_litert") is None or not package.exists():
        print("mediapipe: skipped; it needs ai-edge-litert and the unpacked npm package @mediapipe/pose")
        return
    torch.set_num_threads(1)
    people = people_of(people_file, images)
    model, side = models.load(run), read_json(run / "model.json")["crop_size"]

    def ours(person: dict[str, Any]) -> np.ndarray:
        crop = cropping.render(person["picture"], person["box"], side)
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None]
        joints_crop = side * predict(model, pixels, device=torch.device("cpu")).joints_unit[0].numpy()
        return geometry.transform(joints_crop, geometry.crop_to_image(person["box"], side))[JOINTS]

    contestants = {run.name: (ours, run / "weights.safetensors")}
    for size in ("lite", "full", "heavy"):
        path = package / f"pose_landmark_{size}.tflite"
        contestants[f"MediaPipe {size}"] = MediaPipe(path), path
    for name, (joints_of, weights) in contestants.items():
        start = time.perf_counter()
        found = [joints_of(person) for person in people]
        milliseconds = 1000 * (time.perf_counter() - start) / len(people)
        print(
            f"{name}: {score(found, people):.1f} over {len(people)} people, {weights.stat().st_size / 1e6:.1f} MB, "
            f"{milliseconds:.0f} ms a person",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
