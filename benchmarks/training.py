"""Images per second of a training with data, logging, validation left out and checkpoints, over a bare loop."""

import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from paper_models import SETTINGS, fresh
from timing import in_turns, report

from posernn.data.augmentation import Augmentation
from posernn.data.batches import Crops
from posernn.runtime import tracking
from posernn.training import checkpoints, loop, optimization
from posernn.training.following import follow

PEOPLE, BATCH, SIDE, WIDTH = 1000, 25, 64, 0.125
ITERATIONS, ROUNDS = 150, 7
os.environ["POSERNN_TRACKING"] = "off"  # tracking.py measures that


def crops() -> Crops:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PEOPLE, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    joints = torch.rand((PEOPLE, 16, 2), generator=generator)
    return Crops(
        lambda people: images[torch.from_numpy(people)], joints, torch.ones(PEOPLE, 16, dtype=torch.bool), SIDE
    )


def bare(arch: str, people: Crops) -> None:
    """One resident batch, and nothing but the step."""
    state = fresh(arch, side=SIDE, width=WIDTH)
    state.model.train()
    images = people.images(torch.arange(BATCH).numpy())
    joints, annotated = people.joints_unit[:BATCH], people.annotated[:BATCH]
    for _ in range(ITERATIONS):
        loss = ((state.model(images).joints_unit - joints).square().sum(dim=-1) * annotated).sum() / annotated.sum()
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()


def ours(name: str, people: Crops, few: Crops, folder: Path) -> None:
    state = fresh(name, side=SIDE, width=WIDTH)
    steps = loop.train(
        state,
        people,
        few,
        iterations=ITERATIONS,
        batch_size=BATCH,
        schedule=optimization.halving(1e-3, ITERATIONS),
        augmentation=Augmentation(),
        dtype=torch.float32,
        seed=0,
        validate_every=200,
    )
    arch = name.split("_")[0]
    with tracking.record(folder, name="bench", parameters={}, tags={}) as run:

        def log(*_: object) -> None:
            run.log([asdict(row) for row in state.history])

        follow(steps, ITERATIONS, log, lambda: checkpoints.save(folder / "checkpoint", state, arch, {}), 200)


def main() -> None:
    people = crops()
    # Validation is work of its own, which the bare loop has no counterpart of: a single person.
    few = Crops(people.images, people.joints_unit[:1], people.annotated[:1], SIDE)
    with tempfile.TemporaryDirectory() as folder:
        for arch in SETTINGS:
            times = in_turns(
                lambda arch=arch: bare(arch, people),
                lambda arch=arch: ours(arch, people, few, Path(folder)),
                rounds=ROUNDS,
            )
            rates = sorted(ITERATIONS * BATCH / seconds for _, seconds in times)
            note = f"{rates[len(rates) // 2]:.0f} images/s"
            report(f"training {arch} / bare loop, images/s", [b / o for b, o in times], ">= 0.97", note=note)


if __name__ == "__main__":
    main()
