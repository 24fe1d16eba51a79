"""Trains a decoder of the study on features, and decodes the held-out people."""

import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from posernn import params
from posernn.models.chain import Decoding, Settings
from posernn.params import Entry
from posernn.runtime.device import choose_device
from posernn.runtime.files import replacing, write_json
from posernn.study import decodings, evaluation, features, settings, training
from posernn.training import loop
from posernn.training.optimization import make_optimizer
from stages import run


def main(variant: str, seed: int, folder: Path, out: Path) -> None:
    """Train the decoder VARIANT with SEED on the features in FOLDER and write what it decodes to OUT."""
    study = settings.load()
    entry = training.for_decoders(
        study.chain_entry(params.load(), variant), study.decoders, study.amount.iterations, seed
    )
    side = entry.settings.crop_size
    folder = folder / str(study.trunk_of(seed))
    val = features.read(folder / "val", side)
    num = len(features.read(folder / "train", side, views=1))
    training_rows, calibration_rows = features.calibration_split(num, study.decoders.calibration, seed)
    calibration = features.read(folder / "train", side, calibration_rows, views=1)
    train = features.read(folder / "train", side, training_rows)

    torch.manual_seed(seed)
    state = fresh_state(entry, choose_device(entry.training.device))
    start = time.monotonic()
    training.train(f"{variant} {seed}", state, entry, train, val)
    seconds = time.monotonic() - start
    decoding: nn.Module = state.result.cpu().eval()
    assert isinstance(decoding, Decoding)

    write_decoded(out, evaluation.decoded(decoding, val, calibration, study.evaluate, seed))
    write_json(
        out / "about.json",
        {
            "weights": sum(parameter.numel() for parameter in decoding.parameters()),
            "seconds": round(seconds, 1),
            "people_per_second": round(entry.training.iterations * entry.training.batch_size / seconds, 1),
            "milliseconds": decodings.milliseconds(decoding, val, beams=study.evaluate.beams),
        },
    )


def write_decoded(out: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write decoded.npz."""
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "decoded.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def fresh_state(entry: Entry, device: torch.device) -> loop.TrainingState:
    """Build a decoder with its optimizer."""
    assert isinstance(entry.settings, Settings)
    model = Decoding(entry.settings).to(device).to(memory_format=torch.channels_last)
    train = entry.training
    optimizer = make_optimizer(train.optimizer, model, train.lr, weight_decay=train.weight_decay)
    return loop.TrainingState(model, optimizer, copy.deepcopy(model) if train.ema else None)


if __name__ == "__main__":
    run(main)
