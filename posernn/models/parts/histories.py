"""Histories for the training of a decoder: the truth, with jitter, with gaps, or what the decoder itself predicts.

Random numbers are PyTorch's own; the training loop seeds them for each batch. Axis letters: B batch, J joints.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from posernn.models.contract import Truth
from posernn.models.parts.decoders import Decoder, History, Scene
from posernn.models.parts.search import greedy

Regime = Literal["truth", "masked", "scheduled", "own"]


def history_of(
    regime: Regime, truth: Truth, decoder: Decoder, scene: Scene, order: Int[Tensor, "B 16"], *, jitter: float
) -> History:
    """Choose what the steps of a training batch are told of the joints before them.

    Args:
        regime: truth: teacher forcing. masked: the same, with a share of the joints hidden that is drawn for each
            person, so that one set of weights learns p(y_t | y_<t, x) and p(y_t | x). scheduled: half of the joints are
            replaced by the decoder's own predictions. own: all are.
        truth: the joints of the batch; those that are not annotated are not known.
        decoder, scene, order: what predicts.
        jitter: standard deviation of a Gaussian that is added to what is told, unit.

    Source: Chen et al. 2022 (Pix2Seq v2) for masks; Bengio et al. 2015 for scheduled sampling.
    """
    joints, known = truth.joints_unit, truth.annotated
    if regime in ("scheduled", "own"):
        with torch.no_grad():
            own = greedy(decoder, scene, order).joints_unit
        replaced = torch.rand(known.shape, device=known.device) < (0.5 if regime == "scheduled" else 1.0)
        joints = torch.where(replaced[..., None] | ~known[..., None], own, joints)
        known = torch.ones_like(known)
    if regime == "masked":
        known = known & ~_masks(known)
    if jitter:
        joints = joints + jitter * torch.randn_like(joints)
    return History(joints, known)


def no_history(joints_unit: Float[Tensor, "B 16 2"]) -> History:
    """Tell nothing."""
    return History(joints_unit, torch.zeros_like(joints_unit[..., 0], dtype=torch.bool))


def _masks(known: Bool[Tensor, "B 16"]) -> Bool[Tensor, "B 16"]:
    """Draw a share from U(0, 1) for each person, and that share of the joints."""
    share = torch.rand((len(known), 1), device=known.device)
    return torch.rand(known.shape, device=known.device) < share
