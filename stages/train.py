"""Trains an entry of the comparison: crops -> weights and history."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from posernn import models, params
from posernn.data import batches, shards
from posernn.data.augmentation import Augmentation
from posernn.runtime import tracking
from posernn.runtime.device import choose_device, choose_dtype
from posernn.runtime.progress import progress_bar, silent
from posernn.training import checkpoints, loop, processes
from posernn.training.following import follow
from stages import run


def main(name: str, crops: str, out: Path) -> None:
    """Train the entry NAME of params.yaml on the train split of CROPS and write the run to OUT."""
    settings = params.load()
    if settings.train.processes > 1 and not processes.launched():
        processes.launch(settings.train.processes)
    else:
        train_one(settings, name, crops, out)


def train_one(settings: params.Params, name: str, crops: str, out: Path) -> None:
    """Train with the other processes, if there are any; only rank 0 writes and records."""
    train, data = settings.train, settings.data
    arch, model_settings = settings.entry(name)
    # The number of processes does not change a training: a resumed one may have another number.
    optimization = train.model_dump(exclude={"processes", "augment"})
    schedule = {"iterations": data.iterations, "halve_lr_every": data.halve_lr_every}
    all_settings = {"arch": arch} | model_settings.model_dump() | schedule | optimization
    all_settings |= {"augment": train.augment.model_dump()}
    device = choose_device(train.device)
    dtype = choose_dtype(train.precision, device)

    with processes.join(device) as group:
        group.require_people(train.batch_size)
        first = group.rank == 0
        with progress_bar("decode crops", "people") if first else nullcontext(silent) as advance:
            train_crops, val_crops = batches.load(crops, "train", advance), batches.load(crops, "val", advance)
        state = loop.fresh_state(
            arch, model_settings, optimizer=train.optimizer, lr=train.lr, seed=train.seed, device=device
        )
        checkpoint = checkpoints.path_for(name, all_settings, crops)
        changed = checkpoints.changed_code(checkpoint, arch)
        extra = (None if changed else checkpoints.restore(checkpoint, state)) or {"run_id": None}
        group.require_same("checkpoint", state.iteration)
        if first:
            together = f", {group.size} processes" if group.size > 1 else ""
            weights = sum(parameter.numel() for parameter in state.model.parameters())
            print(f"train {name}: {arch}, {weights:,} weights, {device}, {dtype}{together}", flush=True)
            if changed:
                print(f"train {name}: starting afresh; changed since the checkpoint: {', '.join(changed)}", flush=True)
            if state.iteration:
                print(f"train {name}: resuming after iteration {state.iteration} of {data.iterations}", flush=True)

        steps = loop.train(
            state,
            train_crops,
            val_crops,
            iterations=data.iterations,
            batch_size=train.batch_size,
            lr_of=loop.halving(train.lr, data.halve_lr_every),
            augmentation=Augmentation(**train.augment.model_dump()),
            dtype=dtype,
            seed=train.seed,
            validate_every=train.validate_every,
            group=group,
        )
        title = " ".join([arch, *(key for key, value in model_settings if value is True)])
        tags = {"model": name, "arch": arch, "dataset": settings.dataset}
        dataset = {"name": settings.dataset, "digest": shards.digest(crops)[:8], "people": len(train_crops)}
        if not first:
            follow(steps, data.iterations, group=group)
            return
        recording = tracking.record(
            out,
            name=title,
            parameters=params.recorded(name),
            tags=tags,
            dataset=dataset,
            run_id=extra["run_id"],
        )
        with recording as recorded:

            def save() -> None:
                checkpoints.save(checkpoint, state, arch, {"run_id": recorded.run_id})

            def log(*_: object) -> None:
                recorded.log([asdict(row) for row in state.history])

            if state.history:
                log()
            with progress_bar(f"train {name}", "batches") as advance:
                follow(steps, data.iterations, log, save, train.checkpoint_every, advance, group)

    models.save(out, state.model, arch, model_settings)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
