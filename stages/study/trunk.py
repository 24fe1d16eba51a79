"""Trains a trunk of the study on half of the people."""

from pathlib import Path

import numpy as np

from posernn import models, params
from posernn.data import batches
from posernn.data.schemas import to_numpy
from posernn.data.shards import read_shards
from posernn.params import recipe
from posernn.runtime.device import choose_device
from posernn.runtime.progress import progress_bar
from posernn.study import features, settings, training
from posernn.training import checkpoints
from stages import run


def main(seed: int, crops: str, out: Path) -> None:
    """Train the trunk of SEED on its half of the train split of CROPS and write the run to OUT."""
    all_settings = params.load()
    entry = settings.load().trunk_entry(all_settings, seed)
    train, model_settings = entry.training, entry.settings
    with progress_bar("decode crops", "people") as advance:
        train_crops, val_crops = (
            batches.load(crops, split, advance, crop_size=model_settings.crop_size) for split in ("train", "val")
        )
    mine = features.halves(images_of(crops), seed).nonzero()[0]
    state = recipe.fresh_state(entry, choose_device(train.device))
    depends_on = model_settings.model_dump() | train.model_dump()
    checkpoint = checkpoints.path_for(f"trunk-{seed}", depends_on, crops)
    training.train(f"trunk {seed}", state, entry, features.subset(train_crops, mine), val_crops, checkpoint)
    cut = all_settings.crops.model_dump(include={"box", "padding", "keep_aspect"})
    models.save(out, state.result, entry.arch, model_settings, cut)
    print(f"trunk {seed}: {len(mine)} of {len(train_crops)} people, val RMSE {state.history[-1].val_rmse:.1f} px")


def images_of(crops: str) -> np.ndarray:
    """Read the image of each person of the train split."""
    return np.concatenate([to_numpy(table, "image_index") for table in read_shards(crops, "train", ["image_index"])])


if __name__ == "__main__":
    run(main)
