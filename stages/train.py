"""Train one of the two compared models: crops -> weights and history."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from posernn import checkpoints, dataset, models, params, tracking, training
from posernn.device import choose_device, choose_dtype
from posernn.files import write_csv, write_json
from posernn.interrupts import deferred
from posernn.progress import progress_bar
from stages import run


def main(name: str, crops: Path, out: Path) -> None:
    """Train NAME (baseline or model) on the train split of CROPS and write the run to OUT."""
    settings = params.load()
    train, data = settings.train, settings.data
    arguments = settings.architecture(name).model_dump()
    arch = arguments.pop("arch") + ("_attention" if arguments.pop("attention", False) else "")
    arguments |= {"crop_size": data.crop_size, "trunk_width": data.trunk_width}
    schedule = {"iterations": data.iterations, "halve_lr_every": data.halve_lr_every}
    all_settings = {"arch": arch} | arguments | schedule | train.model_dump()
    device = choose_device(train.device)
    dtype = choose_dtype(train.precision, device)

    with progress_bar("decode crops", "people") as advance:
        train_crops, val_crops = dataset.load(crops, "train", advance), dataset.load(crops, "val", advance)
    torch.manual_seed(train.seed)
    # channels_last: the layout in which crops are decoded and convolutions are quickest
    model = models.build(arch, **arguments).to(device).to(memory_format=torch.channels_last)
    state = training.TrainingState(model, training.make_optimizer(train.optimizer, model, train.lr))
    checkpoint = checkpoints.path_for(name, all_settings, crops)
    extra = checkpoints.restore(checkpoint, state) or {"run_id": None}
    print(f"train {name}: {arch}, {sum(p.numel() for p in model.parameters()):,} weights, {device}, {dtype}")
    if state.iteration:
        print(f"train {name}: going on after iteration {state.iteration} of {data.iterations}")

    steps = training.train(
        state,
        train_crops,
        val_crops,
        iterations=data.iterations,
        halve_lr_every=data.halve_lr_every,
        batch_size=train.batch_size,
        lr=train.lr,
        loss=train.loss,
        dtype=dtype,
        seed=train.seed,
        validate_every=train.validate_every,
        **train.augment.model_dump(),
    )
    with tracking.start_run(
        f"{name}-{arch}-{settings.dataset}",
        parameters=all_settings,
        tags={"model": name, "arch": arch, "dataset": settings.dataset},
        run_id=extra["run_id"],
    ) as tracked:

        def save() -> None:
            checkpoints.save(checkpoint, state, {"run_id": tracked.run_id})

        follow(steps, data.iterations, f"train {name}", tracked.log, save, train.checkpoint_every)

    models.save(out, model, arch, **arguments)
    write_csv(out / "history.csv", [asdict(row) for row in state.history])
    write_json(out / "run.json", {"run_id": tracked.run_id})
    checkpoint.unlink(missing_ok=True)


def follow(
    steps: training.Steps,
    iterations: int,
    description: str,
    log: Callable[[int, dict[str, float]], None],
    save: Callable[[], None],
    save_every: int,
) -> None:
    """Run the training, show and record how it goes, save it now and then and when somebody stops it."""
    shown, seen, errors, speed = time.monotonic(), None, "", ""
    with deferred() as stop_requested, progress_bar(description, "batches") as advance:
        for step in steps:
            if step.row:
                log(
                    step.iteration,
                    {key: value for key, value in asdict(step.row).items() if key != "iteration"},
                )
                errors = f", train RMSE {step.row.train_rmse:.1f} px, val RMSE {step.row.val_rmse:.1f} px"
            if step.iteration % save_every == 0 or stop_requested():
                save()
            if stop_requested():
                raise KeyboardInterrupt
            elapsed = time.monotonic() - shown
            if elapsed >= 1 or step.iteration == iterations:
                if seen is not None and elapsed >= 1:
                    speed = f", {(step.num_people - seen) / elapsed:.0f} images/s"
                advance(step.iteration, iterations, f"loss {step.loss.item():.4g}{errors}{speed}")
                shown, seen = time.monotonic(), step.num_people


if __name__ == "__main__":
    run(main)
