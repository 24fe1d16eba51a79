"""Errors of single joints, and the one sum over those that are annotated."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SMOOTH_L1_KNEE = 0.05
"""Where smooth_l1 goes from a square to a line, unit: a twentieth of the crop, about half a head."""


def l2(pred: Float[Tensor, "B J 2"], true: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J"]:
    """Squared distance of each joint, unit²: (B, J)."""
    return (pred - true).square().sum(dim=2)


def l1(pred: Float[Tensor, "B J 2"], true: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J"]:
    """|dx| + |dy| of each joint, unit: (B, J)."""
    return (pred - true).abs().sum(dim=2)


def smooth_l1(pred: Float[Tensor, "B J 2"], true: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J"]:
    """Square below SMOOTH_L1_KNEE, line above, summed over x and y, unit: (B, J). Source: Girshick 2015."""
    return torch.nn.functional.smooth_l1_loss(pred, true, reduction="none", beta=SMOOTH_L1_KNEE).sum(dim=2)


LOSSES = {"l2": l2, "l1": l1, "smooth_l1": smooth_l1}


def masked_sum(values: Float[Tensor, "B J"], mask: Bool[Tensor, "B J"]) -> Float[Tensor, ""]:
    """Sum over the joints in the mask.

    What is not in the mask has no part in value or gradient, not even as NaN.

    Args:
        values: (B, J).
        mask: (B, J), True where the joint is annotated.
    """
    return torch.where(mask, values, torch.zeros_like(values)).sum()
