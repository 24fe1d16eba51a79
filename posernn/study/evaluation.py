"""Evaluates a decoder of a study on the held-out people: bits of each joint, poses, confidence.

What differs between two histories is measured with the same weights. Axis letters: N people, P cells and outside.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from posernn.data.batches import Crops
from posernn.models.chain import Decoding
from posernn.models.contract import Truth
from posernn.models.parts import search
from posernn.models.parts.places import cell_of
from posernn.models.parts.readouts import Distribution, num_cells
from posernn.study.decodings import HISTORIES, batches, clicked, forced_logits, is_given, poses
from posernn.study.settings import Evaluate

TEMPERATURES = np.exp(np.linspace(math.log(0.5), math.log(2.5), 41))


def decoded(
    decoding: Decoding, people: Crops, calibration: Crops, evaluate: Evaluate, seed: int
) -> dict[str, np.ndarray]:
    """Decode the held-out people and measure bits and confidence.

    Args:
        decoding: in eval mode.
        people: features of the held-out people.
        calibration: features of people for the temperature.
        evaluate: what is measured.
        seed: as in `bits` and `poses`.

    Returns:
        "pose W" (N, 16, 2), unit, and for joints that were given "given W" (N, 16), for each decoding W of `poses`;
        "bits H" (N, 16) for each history H of `bits`; "confidence" (N, 16); of `clicked`, "clicked pose" (K, N, 16, 2)
        and "clicked given" (K, N, 16).
    """
    found = poses(decoding, people, beams=evaluate.beams, samples=evaluate.samples, given=evaluate.given, seed=seed)
    arrays = {f"pose {way}": joints_unit for way, joints_unit in found.items()}
    arrays |= {f"given {way}": is_given(found[way], people) for way in found if way.startswith("given")}
    arrays |= {f"bits {history}": values for history, values in bits(decoding, people, calibration, seed).items()}
    corrected, given = clicked(decoding, people)
    return arrays | {
        "confidence": confidence(decoding, people),
        "clicked pose": corrected,
        "clicked given": given,
    }


@torch.inference_mode()
def bits(decoding: Decoding, people: Crops, calibration: Crops, seed: int) -> dict[str, Float[np.ndarray, "N 16"]]:
    """Measure -log2 p of the cell of each joint, under each of HISTORIES.

    Logits are divided by a temperature that is fitted on other people, with history and without.

    Args:
        decoding: in eval mode.
        people: features of the held-out people.
        calibration: features of people for the temperature.
        seed: of whose history somebody is told.

    Returns:
        (N, 16) by history; NaN where a joint is not annotated, or outside the crop.
    """
    found, side = {}, decoding.settings.crop_size
    for history in HISTORIES if decoding.decoder.sees_history else HISTORIES[:1]:
        if history != "other":  # somebody else's is taken for the true one
            temperature = fit_temperature(_forced(decoding, calibration, history, seed), side)
        forced = _forced(decoding, people, history, seed)
        found[history] = torch.cat([_bits(logits / temperature, truth, side) for logits, truth in forced]).numpy()
    return found


@torch.inference_mode()
def confidence(decoding: Decoding, people: Crops) -> Float[np.ndarray, "N 16"]:
    """Compute the confidence of greedy decoding: the probability of the cells around each predicted joint."""
    how, side = decoding.settings.decode, decoding.settings.crop_size
    parts = []
    for batch in batches(decoding, people):
        logits = search.greedy(decoding.decoder, batch.scene, batch.order, how=how).logits
        parts.append(Distribution.of(logits, side).decode(how)[1])
    return torch.cat(parts).double().numpy()


def fit_temperature(forced: Iterator[tuple[Float[Tensor, "B 16 P"], Truth]], side: int) -> float:
    """Find the temperature with the fewest bits, for crops of `side` px. Source: Guo et al. 2017."""
    totals = np.zeros(len(TEMPERATURES))
    for logits, truth in forced:
        for number, temperature in enumerate(TEMPERATURES):
            totals[number] += float(_bits(logits / temperature, truth, side).nansum())
    return float(TEMPERATURES[totals.argmin()])


def _forced(
    decoding: Decoding, people: Crops, history: str, seed: int
) -> Iterator[tuple[Float[Tensor, "B 16 P"], Truth]]:
    for batch in batches(decoding, people):
        yield forced_logits(decoding, people, history, seed, batch), batch.truth


def _bits(logits: Float[Tensor, "B 16 P"], truth: Truth, side: int) -> Float[Tensor, "B 16"]:
    """Compute -log2 p of each joint's cell; NaN where it has none."""
    cell, inside = cell_of(truth.joints_unit, num_cells(logits), side)
    nats = -logits.float().log_softmax(dim=2).gather(2, cell[..., None])[..., 0]
    return torch.where(inside & truth.annotated, nats / math.log(2), torch.nan)
