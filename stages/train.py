"""Train one of the two compared models: crops -> weights and history."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch

from posernn import models, params
from posernn.data import batches
from posernn.runtime import tracking
from posernn.runtime.device import choose_device, choose_dtype
from posernn.runtime.files import write_csv, write_json
from posernn.runtime.progress import progress_bar, silent
from posernn.training import checkpoints, loop, processes
from posernn.training.following import follow
from stages import run


def main(name: str, crops: str, out: Path) -> None:
    """Train NAME (baseline or model) on the train split of CROPS and write the run to OUT."""
    settings = params.load()
    if settings.train.processes > 1 and not processes.launched():
        processes.launch(settings.train.processes)
    else:
        train_one(settings, name, crops, out)


def train_one(settings: params.Params, name: str, crops: str, out: Path) -> None:
    """Train together with the other processes, if there are any; number 0 alone writes and records."""
    train, data = settings.train, settings.data
    arguments = settings.architecture(name).model_dump()
    arch = arguments.pop("arch") + ("_attention" if arguments.pop("attention", False) else "")
    arguments |= {"crop_size": data.crop_size, "trunk_width": data.trunk_width}
    schedule = {"iterations": data.iterations, "halve_lr_every": data.halve_lr_every}
    # How many processes there are is no part of what is trained: a resumed training may have another number.
    all_settings = {"arch": arch} | arguments | schedule | train.model_dump(exclude={"processes"})
    device = choose_device(train.device)
    dtype = choose_dtype(train.precision, device)

    with processes.join(device) as group:
        group.require_people(train.batch_size)
        first = group.rank == 0
        with progress_bar("decode crops", "people") if first else nullcontext(silent) as advance:
            train_crops, val_crops = batches.load(crops, "train", advance), batches.load(crops, "val", advance)
        torch.manual_seed(train.seed)
        # channels_last: the layout in which crops are decoded and convolutions are quickest
        model = models.build(arch, **arguments).to(device).to(memory_format=torch.channels_last)
        state = loop.TrainingState(model, loop.make_optimizer(train.optimizer, model, train.lr))
        checkpoint = checkpoints.path_for(name, all_settings, crops)
        extra = checkpoints.restore(checkpoint, state) or {"run_id": None}
        group.require_same("checkpoint", state.iteration)
        if first:
            together = f", {group.size} processes" if group.size > 1 else ""
            weights = sum(parameter.numel() for parameter in model.parameters())
            print(f"train {name}: {arch}, {weights:,} weights, {device}, {dtype}{together}", flush=True)
            if state.iteration:
                print(f"train {name}: going on after iteration {state.iteration} of {data.iterations}", flush=True)

        steps = loop.train(
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
            group=group,
            **train.augment.model_dump(),
        )
        title, tags = f"{name}-{arch}-{settings.dataset}", {"model": name, "arch": arch, "dataset": settings.dataset}
        if not first:
            follow(steps, data.iterations, group=group)
            return
        with tracking.start_run(title, parameters=all_settings, tags=tags, run_id=extra["run_id"]) as tracked:

            def save() -> None:
                checkpoints.save(checkpoint, state, {"run_id": tracked.run_id})

            with progress_bar(f"train {name}", "batches") as advance:
                follow(steps, data.iterations, tracked.log, save, train.checkpoint_every, advance, group)

    models.save(out, model, arch, **arguments)
    write_csv(out / "history.csv", [asdict(row) for row in state.history])
    write_json(out / "run.json", {"run_id": tracked.run_id})
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
