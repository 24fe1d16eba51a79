"""Training at the paper's size on a GPU: images per second, share of what the card multiplies, ours over a bare loop.

    python benchmarks/gpu.py          # some ten minutes on a CUDA GPU
    python benchmarks/gpu.py --try    # a minute on any machine: whether it runs, nothing else

The bare loop trains on one resident batch: eagerly, compiled, and compiled into CUDA graphs; the best of them counts.
"""

import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from paper_models import SETTINGS, fresh
from torch.utils.flop_counter import FlopCounterMode

from posernn.data.augmentation import Augmentation
from posernn.data.batches import Crops
from posernn.training import loop, optimization

os.environ["POSERNN_TRACKING"] = "off"
TRY = "--try" in sys.argv
DEVICE = torch.device("cpu" if TRY else "cuda")
SIDE, WIDTH, BATCHES, STEPS, ROUNDS, PEOPLE = (
    (32, 0.0625, (4,), 3, 2, 20) if TRY else (224, 1.0, (25, 256), 100, 5, 4000)
)
MODES = ("eager",) if TRY else ("eager", "default", "reduce-overhead")  # the others are torch.compile's


def wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def rate(work: Callable[[], object], items: int) -> float:
    """Items per second: the median of a few rounds."""
    seconds = []
    for _ in range(ROUNDS):
        wait()
        start = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - start)
    return items / statistics.median(seconds)


def matrix_peak() -> float:
    """Operations per second of one large product in bf16: what this card reaches at best."""
    size = 256 if TRY else 8192
    a, b = (torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    repeats = 2 if TRY else 50
    a @ b
    return rate(lambda: [a @ b for _ in range(repeats)], 2 * size**3 * repeats)


def crops() -> Crops:
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (PEOPLE, SIDE, SIDE, 3), dtype=np.uint8)).permute(0, 3, 1, 2)
    joints = torch.from_numpy(random.random((PEOPLE, 16, 2), dtype=np.float32))
    annotated = torch.ones(PEOPLE, 16, dtype=torch.bool)
    return Crops(lambda people: pixels[torch.from_numpy(people)], joints, annotated, SIDE)


def bare(arch: str, batch: int, mode: str, people: Crops) -> tuple[float, float]:
    """Images per second of the loop, and operations for one image."""
    state = fresh(arch, side=SIDE, width=WIDTH, device=DEVICE.type)
    who = np.arange(batch) % PEOPLE
    images = people.images(who).to(DEVICE)
    joints, annotated = people.joints_unit[who].to(DEVICE), people.annotated[who].to(DEVICE)
    model = state.model.train()

    def loss_of() -> torch.Tensor:
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            predicted = model(images).joints_unit
        return ((predicted.float() - joints).square().sum(dim=2) * annotated).sum() / annotated.sum()

    compiled = loss_of if mode == "eager" else torch.compile(loss_of, mode=mode)

    def steps(count: int) -> None:
        for _ in range(count):
            state.optimizer.zero_grad(set_to_none=True)
            compiled().backward()
            state.optimizer.step()

    with FlopCounterMode(display=False) as counter:
        loss_of().backward()
    steps(STEPS // 5 + 1)
    return rate(lambda: steps(STEPS), STEPS * batch), counter.get_total_flops() / batch


def ours(arch: str, batch: int, people: Crops) -> float:
    """Images per second of posernn's own training, validation left out."""
    state = fresh(arch, side=SIDE, width=WIDTH, device=DEVICE.type)
    few = Crops(people.images, people.joints_unit[:1], people.annotated[:1], SIDE)
    steps = loop.train(
        state,
        people,
        few,
        iterations=10**9,
        batch_size=batch,
        schedule=optimization.halving(1e-3, 10**9),
        augmentation=Augmentation(flip=0.5),
        dtype=torch.bfloat16,
        seed=0,
        validate_every=10**9,
    )
    for _ in range(STEPS // 5 + 1):
        next(steps)
    return rate(lambda: [next(steps) for _ in range(STEPS)], STEPS * batch)


def main() -> None:
    if DEVICE.type == "cuda" and not torch.cuda.is_available():
        print("training on a GPU: there is none here; with --try the script shows whether it runs")
        return
    peak, people = matrix_peak(), crops()
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    print(f"{name}: {peak / 1e12:.3g} T operations/s in bf16")
    for arch, batch in itertools.product(SETTINGS, BATCHES):
        best = 0.0
        for mode in MODES:
            found, operations = bare(arch, batch, mode, people)
            best = max(best, found)
            share = f"{100 * found * operations / peak:.0f}% of the peak"
            print(f"{arch}, batch {batch}, bare, {mode}: {found:.0f} images/s, {share}", flush=True)
        mine = ours(arch, batch, people)
        ratio = f"{mine / best:.2f} of the best bare loop (goal >= 0.95)"
        print(
            f"{arch}, batch {batch}, ours: {mine:.0f} images/s, {ratio}; 10,000 batches: {10_000 * batch / mine:.0f} s"
        )


if __name__ == "__main__":
    main()
