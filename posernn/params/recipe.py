"""The training of an entry, as its settings have it: what `posernn.training.loop` takes from params.yaml."""

import torch

from posernn import models
from posernn.data.augmentation import Augmentation
from posernn.data.batches import Crops
from posernn.params.entries import Entry
from posernn.training import loop
from posernn.training.optimization import make_schedule
from posernn.training.processes import Group


def fresh_state(entry: Entry, device: torch.device) -> loop.TrainingState:
    """Build the model of an entry and its optimizer; see `loop.fresh_state`."""
    training = entry.training
    return loop.fresh_state(
        entry.arch,
        entry.settings,
        optimizer=training.optimizer,
        lr=training.lr,
        seed=training.seed,
        device=device,
        weight_decay=training.weight_decay,
        trunk_lr=training.trunk_lr,
        averaged=training.ema > 0,
        start_from=None if training.start_from is None else models.weights_file(training.start_from),
    )


def steps(
    entry: Entry,
    state: loop.TrainingState,
    train_crops: Crops,
    val_crops: Crops,
    *,
    dtype: torch.dtype = torch.float32,
    group: Group = loop.ALONE,
) -> loop.Steps:
    """Train as the entry says; see `loop.train`."""
    training = entry.training
    return loop.train(
        state,
        train_crops,
        val_crops,
        iterations=training.iterations,
        batch_size=training.batch_size,
        schedule=make_schedule(
            training.schedule,
            training.lr,
            training.iterations,
            halve_every=training.halve_lr_every,
            warmup=training.warmup,
        ),
        augmentation=Augmentation(**training.augment.model_dump()),
        dtype=dtype,
        seed=training.seed,
        validate_every=training.validate_every,
        ema=training.ema,
        clip_grad=training.clip_grad,
        group=group,
    )
