"""Trains the models of a study: as `posernn.training`, with checkpoints, without MLflow."""

from pathlib import Path

from posernn.data.batches import Crops
from posernn.params import Entry, recipe
from posernn.params.sections import Augment
from posernn.runtime.progress import progress_bar
from posernn.study.settings import Decoders
from posernn.training import checkpoints
from posernn.training.following import follow
from posernn.training.loop import TrainingState


def train(
    name: str,
    state: TrainingState,
    entry: Entry,
    train_crops: Crops,
    val_crops: Crops,
    checkpoint: Path | None = None,
) -> None:
    """Train to the end of `entry.training`, from the checkpoint of the same training if there is one.

    Args:
        name: for the progress bar.
        state: fresh; changed.
        entry: architecture and training.
        train_crops: crops or features.
        val_crops: the held-out set.
        checkpoint: file; deleted at the end. None: a training of minutes needs none.
    """
    arch, _, training = entry
    if checkpoint:
        checkpoints.restore(checkpoint, state, arch)
    steps = recipe.steps(entry, state, train_crops, val_crops)

    def save() -> None:
        if checkpoint:
            checkpoints.save(checkpoint, state, arch, {})

    with progress_bar(name, "batches") as advance:
        follow(steps, training.iterations, save=save, save_every=training.checkpoint_every, advance=advance)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)


def for_decoders(entry: Entry, decoders: Decoders, iterations: int, seed: int) -> Entry:
    """Return an entry that is trained as all decoders of the study are; features are not augmented once more."""
    changes = {
        "batch_size": decoders.batch_size,
        "optimizer": "adamw",
        "lr": decoders.lr,
        "weight_decay": decoders.weight_decay,
        "schedule": "cosine",
        "warmup": decoders.warmup,
        "ema": decoders.ema,
        "iterations": iterations,
        "validate_every": iterations,
        "seed": seed,
        "augment": Augment(**dict.fromkeys(Augment.model_fields, 0.0)),
    }
    return entry._replace(training=entry.training.model_copy(update=changes))
