"""A training step with MLflow there, down and off: the training must not become slower by more than 2%."""

import os
import socket
import statistics
import tempfile
import time

import torch

from posernn import models, tracking, training
from posernn.dataset import Crops

ROUNDS, ITERATIONS, PEOPLE, SIDE, WIDTH = 7, 400, 500, 64, 0.125
"""A round lasts about half a minute, so that the two seconds in which the sender imports MLflow weigh as in a demo."""


def crops() -> Crops:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PEOPLE, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    joints = torch.rand((PEOPLE, 16, 2), generator=generator)
    return Crops(
        lambda people: images[torch.from_numpy(people)], joints, torch.ones(PEOPLE, 16, dtype=torch.bool), SIDE
    )


def seconds(people: Crops) -> float:
    """Seconds for one recorded training, from its first batch to its last."""
    torch.manual_seed(0)
    model = models.build("cnn", crop_size=SIDE, trunk_width=WIDTH).to(memory_format=torch.channels_last)
    state = training.TrainingState(model, training.make_optimizer("adam", model, 1e-3))
    with tracking.start_run("bench", parameters={}, tags={}) as run:
        start = time.perf_counter()
        for step in training.train(
            state,
            people,
            people,
            iterations=ITERATIONS,
            halve_lr_every=ITERATIONS,
            batch_size=25,
            lr=1e-3,
            loss="l2",
            dtype=torch.float32,
            seed=0,
            validate_every=100,
        ):
            if step.row:
                run.log(step.iteration, {"loss": step.row.loss, "val_rmse": step.row.val_rmse})
        return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as root, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        os.environ["DVC_ROOT"] = root
        people = crops()
        ways = {"off": {"POSERNN_TRACKING": "off"}, "there": {}, "down": {"MLFLOW_TRACKING_URI": down}}
        found: dict[str, list[float]] = {way: [] for way in ways}
        seconds(people)
        for _ in range(ROUNDS):
            for way, environment in ways.items():
                os.environ.update(environment)
                found[way].append(seconds(people))
                for name in environment:
                    del os.environ[name]
        for way in ("there", "down"):
            ratios = [ours / floor for floor, ours in zip(found["off"], found[way], strict=True)]
            shown = " ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
            print(f"training, MLflow {way} / off: {statistics.median(ratios):.3f} (goal <= 1.02; all: {shown})")


if __name__ == "__main__":
    main()
