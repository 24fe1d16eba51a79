"""Chains beside the parallel model of the same size: speed of training and of decoding."""

from collections.abc import Callable

import torch
from timing import in_turns, report
from torch import nn

from posernn import models
from posernn.models.chain import TINY, Chain
from posernn.models.contract import Truth
from posernn.models.parts import search

SIDE, TRAIN_BATCH, BATCH, STEPS, ROUNDS = 128, 32, 25, 3, 5
SETTINGS = TINY[0].model_copy(
    update={
        "crop_size": SIDE,
        "trunk": "tf_efficientnet_lite0",
        "channels": 96,
        "layers": 2,
        "width": 128,
        "decoder": "parallel",
        "feedback": "none",
        "history": "truth",
    }
)
CHAINS = {
    "transformer": {"decoder": "transformer", "feedback": "coordinates", "history": "masked"},
    "lstm": {"decoder": "lstm", "feedback": "coordinates", "history": "masked"},
    "lstm with attention": {"decoder": "lstm", "attention": True, "feedback": "coordinates", "history": "masked"},
    "lstm with maps": {"decoder": "lstm", "feedback": "map", "history": "masked"},
}


def built(**changes: object) -> Chain:
    model: nn.Module = models.build("chain", SETTINGS.model_copy(update=changes))
    assert isinstance(model, Chain)
    return model.to(memory_format=torch.channels_last)


def training(model: Chain) -> Callable[[], None]:
    images = torch.randint(0, 256, (TRAIN_BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    truth = Truth(torch.rand(TRAIN_BATCH, 16, 2), torch.ones(TRAIN_BATCH, 16, dtype=torch.bool))

    def steps() -> None:
        for _ in range(STEPS):
            loss = model.train()(images, truth).loss.mean()
            model.zero_grad(set_to_none=True)
            loss.backward()

    return steps


def decoding(model: Chain, beam: int | None = None) -> Callable[[], None]:
    images = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    decoder = model.decoding.decoder

    @torch.inference_mode()
    def decode() -> None:
        features = model.eval().features(images)
        scene, order = decoder.scene(features), model.decoding.order(features)
        if beam is None:
            search.greedy(decoder, scene, order)
        else:
            search.beam(decoder, scene, order, beam)

    return decode


if __name__ == "__main__":
    parallel = built()
    for name, changes in CHAINS.items():
        chain = built(**changes)
        times = in_turns(training(parallel), training(chain), ROUNDS)
        report(f"{name}, images/s in training over parallel's", [floor / ours for floor, ours in times], ">= 0.8")
        times = in_turns(decoding(parallel), decoding(chain), ROUNDS)
        report(f"{name}, ms a person over parallel's, greedy", [ours / floor for floor, ours in times], "<= 1.3")
        times = in_turns(decoding(parallel), decoding(chain, 4), ROUNDS)
        report(f"{name}, ms a person over parallel's, beam 4", [ours / floor for floor, ours in times], "<= 2")
