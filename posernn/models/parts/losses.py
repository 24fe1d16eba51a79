"""Losses of single joints, and their sum over the annotated ones."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SMOOTH_L1_KNEE = 0.05
"""Distance at which smooth_l1 turns from a square to a line, unit: a twentieth of the crop, about half a head."""


def l2(pred: Float[Tensor, "B J 2"], true: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J"]:
    """Compute the squared distance of each joint, unit²: (B, J)."""
    return (pred - true).square().sum(dim=2)


def l1(pred: Float[Tensor, "B J 2"], true: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J"]:
    """Compute |dx| + |dy| of each joint, unit: (B, J)."""
    return (pred - true).abs().sum(dim=2)


def smooth_l1(pred: Float[Tensor, "B J 2"], true: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J"]:
    """Compute a square below SMOOTH_L1_KNEE, a line above, summed over x and y, unit: (B, J). Source: Girshick 2015."""
    return torch.nn.functional.smooth_l1_loss(pred, true, reduction="none", beta=SMOOTH_L1_KNEE).sum(dim=2)


LOSSES = {"l2": l2, "l1": l1, "smooth_l1": smooth_l1}


def masked_sum(values: Float[Tensor, "B J"], mask: Bool[Tensor, "B J"]) -> Float[Tensor, ""]:
    """Sum over the joints in the mask.

    The other joints change neither value nor gradient, even where they are NaN.

    Args:
        values: (B, J).
        mask: (B, J), True where the joint is annotated.
    """
    return torch.where(mask, values, torch.zeros_like(values)).sum()
