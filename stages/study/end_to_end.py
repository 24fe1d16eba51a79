"""Trains a chain of the study from the picture on, trunk and decoder together, and decodes the held-out people."""

from pathlib import Path

from posernn import models, params
from posernn.data import batches
from posernn.models.chain import Chain
from posernn.params import recipe
from posernn.runtime.device import choose_device
from posernn.runtime.progress import progress_bar
from posernn.study import evaluation, features, settings, training
from posernn.training import checkpoints
from stages import run
from stages.study.decoder import write_decoded


def main(variant: str, seed: int, crops: str, out: Path) -> None:
    """Train VARIANT with SEED on the train split of CROPS; write the run and its poses of the val split to OUT."""
    study, all_settings = settings.load(), params.load()
    entry = study.end_to_end_entry(all_settings, variant, seed)
    with progress_bar("decode crops", "people") as advance:
        people, val = (
            batches.load(crops, split, advance, crop_size=entry.settings.crop_size) for split in ("train", "val")
        )
    rows = features.calibration_split(len(people), study.decoders.calibration, seed)
    train, calibration = (features.subset(people, some) for some in rows)

    state = recipe.fresh_state(entry, choose_device(entry.training.device))
    depends_on = entry.settings.model_dump() | entry.training.model_dump()
    checkpoint = checkpoints.path_for(f"{variant}-{seed}", depends_on, crops)
    training.train(f"{variant} {seed}", state, entry, train, val, checkpoint)
    model = state.result.cpu().eval()
    assert isinstance(model, Chain)
    cut = all_settings.crops.model_dump(include={"box", "padding", "keep_aspect"})
    models.save(out, model, entry.arch, entry.settings, cut)
    val, calibration = features.compute(model, val), features.compute(model, calibration)
    write_decoded(out, evaluation.decoded(model.decoding, val, calibration, study.evaluate, seed))


if __name__ == "__main__":
    run(main)
