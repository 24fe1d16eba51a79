"""Poses of the held-out people under several decodings of a decoder of a study.

Axis letters: N people, K clicks, P cells and outside.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posernn.data.batches import Crops
from posernn.evaluation.diagnostics import somebody_else
from posernn.models.chain import Decoding
from posernn.models.contract import Truth
from posernn.models.parts import search
from posernn.models.parts.decoders import History, Scene
from posernn.models.parts.histories import no_history
from posernn.models.parts.readouts import Decode, Distribution
from posernn.pose.skeleton import SCORED_JOINTS

BATCH = 32
TIMED = 25
CLICKS = len(SCORED_JOINTS)
"""Joints that are corrected at most, in the test of what a click is worth."""
HISTORIES = ("hidden", "true", "other")
"""What the joints before a step are told as: nothing, the truth, another person's joints."""


class Batch(NamedTuple):
    """Some people, as a decoder reads them.

    Attributes:
        scene: their features.
        order: (B, 16): the joint of each step.
        truth: their joints.
        rows: (B,): which of all people they are.
    """

    scene: Scene
    order: Int[Tensor, "B 16"]
    truth: Truth
    rows: Int[np.ndarray, "B"]


Way = Callable[[Batch], Tensor]
"""Decodes a batch: its joints, (B, 16, 2) unit."""


@torch.inference_mode()
def poses(
    decoding: Decoding, people: Crops, *, beams: list[int], samples: int, given: list[int], seed: int
) -> dict[str, Float[np.ndarray, "N 16 2"]]:
    """Decode the held-out people in each way; joints, unit.

    Args:
        decoding: in eval mode.
        people: features of the held-out people.
        beams: widths.
        samples: number of poses over which maps are averaged.
        given: numbers of true joints that are given, chosen at random or as the least certain.
        seed: of samples, of whose history somebody is told, and of the joints that are given.

    Returns:
        (N, 16, 2) by decoding: greedy, mode, and for a decoder that sees history also hidden, true, other, beam K,
        marginal, given K random and given K uncertain.
    """
    ways: dict[str, Way] = {
        "greedy": partial(_greedy, decoding, decoding.settings.decode),
        "mode": partial(_greedy, decoding, "mode"),
    }
    if decoding.decoder.sees_history:
        ways |= {history: partial(_told_pose, decoding, people, history, seed) for history in HISTORIES}
        ways |= {f"beam {width}": partial(_beam, decoding, width) for width in beams}
        ways["marginal"] = partial(_marginal, decoding, samples)
        for choice in ("random", "uncertain"):
            ways |= {f"given {num} {choice}": partial(_given_pose, decoding, num, choice, seed) for num in given}
    found = {}
    for name, way in ways.items():
        torch.manual_seed(seed)
        found[name] = torch.cat([way(batch) for batch in batches(decoding, people)]).double().numpy()
    return found


@torch.inference_mode()
def clicked(decoding: Decoding, people: Crops) -> tuple[Float[np.ndarray, "K N 16 2"], Bool[np.ndarray, "K N 16"]]:
    """Correct 1, 2 ... K = CLICKS joints of each person, the least certain first, and predict the others from them.

    Returns:
        Poses, unit, in which the corrected joints are those of the truth; and which joints these are.
    """
    poses, given = [], []
    for num in range(1, CLICKS + 1):
        parts = [_with_given(decoding, num, "uncertain", 0, batch) for batch in batches(decoding, people)]
        poses.append(torch.cat([part[0] for part in parts]).double().numpy())
        given.append(torch.cat([part[1] for part in parts]).numpy())
    return np.stack(poses), np.stack(given)


def is_given(pred_unit: Float[np.ndarray, "N 16 2"], people: Crops) -> Bool[np.ndarray, "N 16"]:
    """Find the joints that stand where the truth does: those that were given."""
    return np.isclose(pred_unit, people.joints_unit.numpy(), atol=1e-6).all(axis=2)


@torch.inference_mode()
def milliseconds(decoding: Decoding, people: Crops, *, beams: list[int], repeats: int = 5) -> dict[str, float]:
    """Time the decoding of a batch of TIMED people from features: median ms a person."""
    rows = np.arange(min(TIMED, len(people)))
    features = people.images(rows)
    ways: dict[str, Way] = {"greedy": partial(_greedy, decoding, decoding.settings.decode)}
    if decoding.decoder.sees_history:
        ways |= {f"beam {width}": partial(_beam, decoding, width) for width in beams}
    found = {}
    for name, way in ways.items():
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            way(_batch(decoding, people, rows, features))
            times.append(time.perf_counter() - start)
        found[name] = round(1000 * float(np.median(times)) / len(rows), 3)
    return found


def batches(decoding: Decoding, people: Crops) -> Iterator[Batch]:
    """Read all people, BATCH at a time."""
    for start in range(0, len(people), BATCH):
        rows = np.arange(start, min(start + BATCH, len(people)))
        yield _batch(decoding, people, rows, people.images(rows))


def forced_logits(decoding: Decoding, people: Crops, history: str, seed: int, batch: Batch) -> Float[Tensor, "B 16 P"]:
    """Compute the logits of each joint of a batch of `people` under one of HISTORIES; `seed`: whose history is told."""
    told = _told(history, people, batch, seed)
    return search.teacher_forced(decoding.decoder, batch.scene, batch.order, told)


def _batch(decoding: Decoding, people: Crops, rows: Int[np.ndarray, "B"], features: Float[Tensor, "B C H W"]) -> Batch:
    truth = Truth(people.joints_unit[rows], people.annotated[rows])
    return Batch(decoding.decoder.scene(features), decoding.order(features), truth, rows)


def _told(history: str, people: Crops, batch: Batch, seed: int) -> History:
    if history == "hidden":
        return no_history(batch.truth.joints_unit)
    if history == "true":
        return History(*batch.truth)
    others = somebody_else(len(people), seed)[batch.rows]
    return History(people.joints_unit[others], people.annotated[others])


def _decoded(decoding: Decoding, logits: Float[Tensor, "B 16 P"]) -> Float[Tensor, "B 16 2"]:
    return Distribution.of(logits, decoding.settings.crop_size).decode(decoding.settings.decode)[0]


def _greedy(decoding: Decoding, how: Decode, batch: Batch) -> Float[Tensor, "B 16 2"]:
    return search.greedy(decoding.decoder, batch.scene, batch.order, how=how).joints_unit


def _told_pose(decoding: Decoding, people: Crops, history: str, seed: int, batch: Batch) -> Float[Tensor, "B 16 2"]:
    return _decoded(decoding, forced_logits(decoding, people, history, seed, batch))


def _beam(decoding: Decoding, width: int, batch: Batch) -> Float[Tensor, "B 16 2"]:
    decoder, how = decoding.decoder, decoding.settings.decode
    return search.beam(decoder, batch.scene, batch.order, width, how=how).joints_unit


def _marginal(decoding: Decoding, samples: int, batch: Batch) -> Float[Tensor, "B 16 2"]:
    return _decoded(decoding, search.sample(decoding.decoder, batch.scene, batch.order, samples)[1])


def _with_given(
    decoding: Decoding, num: int, choice: str, seed: int, batch: Batch
) -> tuple[Float[Tensor, "B 16 2"], Bool[Tensor, "B 16"]]:
    """Decode with some true joints of each person given, and return which: random ones, or the least certain."""
    decoder, truth = decoding.decoder, batch.truth
    if choice == "random":
        generator = torch.Generator().manual_seed(seed + int(batch.rows[0]))
        rank = torch.rand(truth.annotated.shape, generator=generator)
    else:
        free = search.greedy(decoder, batch.scene, batch.order)
        rank = Distribution.of(free.logits, decoder.side).decode("local")[1]
    candidates = truth.annotated & torch.isin(torch.arange(truth.annotated.shape[1]), torch.tensor(SCORED_JOINTS))
    rank = torch.where(candidates, rank, torch.inf)
    known = (rank.argsort(dim=1).argsort(dim=1) < num) & candidates
    given = History(torch.where(known[..., None], truth.joints_unit, 0), known)
    order = decoding.order_of(given, batch.scene.features)
    return search.greedy(decoder, batch.scene, order, given=given, how=decoding.settings.decode).joints_unit, known


def _given_pose(decoding: Decoding, num: int, choice: str, seed: int, batch: Batch) -> Float[Tensor, "B 16 2"]:
    return _with_given(decoding, num, choice, seed, batch)[0]
