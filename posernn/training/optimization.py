"""Optimizers, learning rate schedules and the running average of the weights."""

import math
from collections.abc import Callable

import torch
from torch import nn

Schedule = Callable[[int], float]
"""Maps an iteration, counted from 0, to its learning rate."""

TRUNK = "trunk."
"""Start of the names of the parameters that `trunk_lr` applies to."""


def make_optimizer(
    name: str, model: nn.Module, lr: float, *, weight_decay: float = 0.0, trunk_lr: float = 1.0
) -> torch.optim.Optimizer:
    """Build adam, adamw or sgd (momentum 0.9) over the parameters that are trained.

    Each parameter group has a `lr_scale`, by which the loop multiplies the learning rate of the schedule.

    Args:
        name: of the optimizer.
        model: on its device.
        lr: learning rate of the first iteration.
        weight_decay: of weights; biases and the parameters of normalisations have none. Source: timm `optim_factory`.
        trunk_lr: factor of the learning rate of the trunk, a module of that name.

    Raises:
        ValueError: no optimizer of that name.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for where, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale, decay = trunk_lr if where.startswith(TRUNK) else 1.0, weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    options = [
        {"params": parameters, "lr": lr * scale, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]
    fused = next(model.parameters()).device.type == "cuda"
    if name == "adam":
        return torch.optim.Adam(options, fused=fused)
    if name == "adamw":
        return torch.optim.AdamW(options, fused=fused)
    if name == "sgd":
        return torch.optim.SGD(options, momentum=0.9, fused=fused)
    raise ValueError(f"make_optimizer: expected adam, adamw or sgd, got {name!r}")


def make_schedule(name: str, lr: float, iterations: int, *, halve_every: int, warmup: float) -> Schedule:
    """Build the schedule of the learning rate.

    Args:
        name: halving or cosine.
        lr: the largest learning rate.
        iterations: batches in all.
        halve_every: batches; halving only.
        warmup: share of the iterations in which the learning rate rises linearly to `lr`; cosine only.

    Raises:
        ValueError: no schedule of that name.
    """
    if name == "halving":
        return halving(lr, halve_every)
    if name == "cosine":
        return cosine(lr, iterations, warmup)
    raise ValueError(f"make_schedule: expected halving or cosine, got {name!r}")


def halving(lr: float, every: int) -> Schedule:
    """Build the paper's schedule: the learning rate is halved every so many iterations."""
    return lambda iteration: lr * 0.5 ** (iteration // every)


def cosine(lr: float, iterations: int, warmup: float) -> Schedule:
    """Build a linear warm-up and half a cosine down to 0.

    Source: Loshchilov & Hutter 2017 (SGDR); Goyal et al. 2017 for the warm-up.
    """
    rising = warmup * iterations

    def rate(iteration: int) -> float:
        if iteration < rising:
            return lr * (iteration + 1) / (rising + 1)
        return lr * (0.5 + 0.5 * math.cos(math.pi * (iteration - rising) / (iterations - rising)))

    return rate


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, iteration: int) -> None:
    """Move a running average of weights and buffers towards the model's, in place.

    The decay is smaller in the first iterations, so that the average forgets the initial weights.

    Args:
        average: of the same architecture.
        model: after `iteration`.
        decay: share of the average that stays in each iteration.
        iteration: counted from 0.

    Source: Polyak & Juditsky 1992; the warm-up of the decay as in TensorFlow's ExponentialMovingAverage.
    """
    means, values = average.state_dict().values(), model.state_dict().values()
    floats = [(mean, value) for mean, value in zip(means, values, strict=True) if mean.is_floating_point()]
    share = 1 - min(decay, (1 + iteration) / (10 + iteration))
    torch._foreach_lerp_([mean for mean, _ in floats], [value for _, value in floats], share)
    for mean, value in zip(means, values, strict=True):
        if not mean.is_floating_point():  # counts of batches
            mean.copy_(value)
