"""Trains an entry of the comparison: crops -> weights and history."""

import json
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

from posernn import models, params
from posernn.data import batches, shards
from posernn.params import recipe
from posernn.runtime import git, tracking
from posernn.runtime.device import choose_device, choose_dtype
from posernn.runtime.errors import InputError
from posernn.runtime.progress import progress_bar, silent
from posernn.training import checkpoints, processes
from posernn.training.following import follow
from stages import run

IF_LONG = (
    "Ctrl-C stops it with a checkpoint. A GPU, or smaller iterations, crop_size or trunk_width in params.yaml, "
    "makes it shorter"
)


def main(name: str, crops: str, out: Path) -> None:
    """Train the entry NAME of params.yaml on the train split of CROPS and write the run to OUT."""
    settings = params.load()
    num_processes = settings.entry(name).training.processes
    if num_processes > 1 and not processes.launched():
        processes.launch(num_processes)
    else:
        train_one(settings, name, crops, out)


def train_one(settings: params.Params, name: str, crops: str, out: Path) -> None:
    """Train with the other processes, if there are any; only rank 0 writes and records."""
    entry = settings.entry(name)
    arch, model_settings, train = entry
    # The number of processes does not change a training: a resumed one may have another number.
    all_settings = {"arch": arch} | model_settings.model_dump() | train.model_dump(exclude={"processes"})
    device = choose_device(train.device)
    dtype = choose_dtype(train.precision, device)

    with processes.join(device) as group:
        group.require_people(train.batch_size)
        first = group.rank == 0
        with progress_bar("decode crops", "people") if first else nullcontext(silent) as advance:
            train_crops, val_crops = (
                batches.load(crops, split, advance, crop_size=model_settings.crop_size) for split in ("train", "val")
            )
        state = recipe.fresh_state(entry, device)
        checkpoint = checkpoints.path_for(name, all_settings, crops)
        extra, changed = checkpoints.restore(checkpoint, state, arch)
        group.require_same("checkpoint", state.iteration)
        if first:
            together = f", {group.size} processes" if group.size > 1 else ""
            if changes := changes_since_commit(name):
                print(f"train {name}: params.yaml differs from the last commit: {', '.join(changes)}", flush=True)
            weights = sum(parameter.numel() for parameter in state.model.parameters())
            print(f"train {name}: {arch}, {weights:,} weights, {device}, {dtype}{together}", flush=True)
            if state.fit and not state.iteration:
                fresh = f"; fresh: {', '.join(state.fit.fresh)}" if state.fit.fresh else ""
                print(f"train {name}: {len(state.fit.loaded)} weights from {train.start_from}{fresh}", flush=True)
            if changed:
                print(f"train {name}: starting afresh; changed since the checkpoint: {', '.join(changed)}", flush=True)
            if state.iteration:
                print(f"train {name}: resuming after iteration {state.iteration} of {train.iterations}", flush=True)

        steps = recipe.steps(entry, state, train_crops, val_crops, dtype=dtype, group=group)
        title = " ".join([arch, *models.switches_in_name(model_settings.model_dump())])
        tags = {"model": name, "arch": arch, "dataset": settings.dataset}
        dataset = {"name": settings.dataset, "digest": shards.digest(crops)[:8], "people": len(train_crops)}
        if not first:
            follow(steps, train.iterations, group=group)
            return
        recording = tracking.record(
            out,
            name=title,
            parameters=params.recorded(name),
            tags=tags,
            dataset=dataset,
            run_id=extra["run_id"] if extra else None,
        )
        with recording as recorded:

            def save() -> None:
                checkpoints.save(checkpoint, state, arch, {"run_id": recorded.run_id})

            def log(*_: object) -> None:
                recorded.log([asdict(row) for row in state.history])

            if state.history:
                log()
            with progress_bar(f"train {name}", "batches", if_long=IF_LONG) as advance:
                follow(steps, train.iterations, log, save, train.checkpoint_every, advance, group)

    cut = settings.crops.model_dump(include={"box", "padding", "keep_aspect"})
    models.save(out, state.result, arch, model_settings, cut)
    checkpoint.unlink(missing_ok=True)


def changes_since_commit(name: str) -> list[str]:
    """List what the training of an entry depends on and differs from the params.yaml of the last commit.

    `dvc exp run -S` leaves its change in params.yaml, where the next experiment finds it.
    """
    text = git.committed("params.yaml")
    if text is None:
        return []
    now, before = params.recorded(name), {}
    with suppress(InputError, KeyError, TypeError):  # a file of another version
        before = params.recorded(name, text=text)
    return [f"{key}={json.dumps(value)}" for key, value in now.items() if before and before.get(key) != value]


if __name__ == "__main__":
    run(main)
