"""Computes the features that the decoders of the study read."""

from pathlib import Path

import numpy as np

from posernn import models, params
from posernn.data import batches
from posernn.data.augmentation import Augmentation
from posernn.runtime.progress import progress_bar
from posernn.study import features, settings
from stages import run
from stages.study.trunk import images_of


def main(seed: int, crops: str, trunk: Path, out: Path) -> None:
    """Write the features that TRUNK gives of the other half of the people in CROPS, and of the val split, to OUT."""
    all_settings = params.load()
    study = settings.load()
    entry = study.trunk_entry(all_settings, seed)
    side = entry.settings.crop_size
    with progress_bar("decode crops", "people") as advance:
        train_crops, val_crops = (batches.load(crops, split, advance, crop_size=side) for split in ("train", "val"))
    others = np.flatnonzero(~features.halves(images_of(crops), seed))
    model = models.load(trunk)
    changes = Augmentation(**entry.training.augment.model_dump())
    for split, people, views in (
        ("train", features.subset(train_crops, others), study.amount.views),
        ("val", val_crops, 1),
    ):
        with progress_bar(f"features {split}", "crops") as advance:
            features.write(out / split, model, people, changes, views=views, seed=seed, advance=advance)


if __name__ == "__main__":
    run(main)
