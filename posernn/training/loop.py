"""The training loop, a generator of steps.

All random numbers follow from seed and iteration, and `TrainingState` holds all that one iteration leaves to the next:
a training that is resumed from a saved state ends with the same weights.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from posernn import models
from posernn.data.augmentation import Augmentation, augment, crop_center
from posernn.data.batches import Crops, batch_people
from posernn.models.contract import Settings, Truth
from posernn.models.parts.losses import l2, masked_sum
from posernn.models.parts.weights import Fit, load_fitting
from posernn.runtime.errors import InputError
from posernn.training.optimization import Schedule, make_optimizer, update_average
from posernn.training.processes import Group

CHECK_EVERY = 50
"""Iterations between two checks of the losses on a GPU: each check waits for the device."""

VALIDATION_BATCH = 100
ALONE = Group()


class NonFiniteLossError(InputError):
    """A loss, or a weight after it, is NaN or infinite."""


@dataclass(frozen=True)
class HistoryRow:
    """A row of history.csv: means since the row before, and the validation RMSE now.

    Attributes:
        iteration: batches seen.
        loss: mean of the batches since the last row, in the loss's unit.
        train_rmse: of the same batches, in training mode, crop px.
        val_rmse: of the held-out set, crop px.
        lr: learning rate of the last batch.
    """

    iteration: int
    loss: float
    train_rmse: float
    val_rmse: float
    lr: float


@dataclass(frozen=True)
class Step:
    """The result of one iteration.

    Attributes:
        iteration: batches seen, from 1.
        num_people: samples seen so far.
        loss: of this batch, on the device: reading it waits for the device.
        row: a history row, every `validate_every` iterations and at the end.
    """

    iteration: int
    num_people: int
    loss: Float[Tensor, ""]
    row: HistoryRow | None


Steps = Iterator[Step]


@dataclass
class TrainingState:
    """The state of a training between two iterations."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: nn.Module | None = None
    """Running average of the model; None: there is none."""
    fit: Fit | None = None
    """Which weights came from elsewhere; None: none were to."""
    iteration: int = 0
    history: list[HistoryRow] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    """Losses of the iterations since the last row, (,) each."""
    errors: list[Tensor] = field(default_factory=list)
    """Sum of squared distances (crop px²) and number of annotated joints of the same iterations, (2,) each."""

    @property
    def result(self) -> nn.Module:
        """Return the model to evaluate and to save: the average, if there is one."""
        return self.model if self.average is None else self.average

    def require_finite_losses(self) -> None:
        """Check the losses since the last row.

        Raises:
            NonFiniteLossError: with the first iteration that went wrong.
        """
        finite = torch.isfinite(torch.stack(self.losses))  # (iterations since the last row,)
        if not finite.all():
            first = self.iteration - len(self.losses) + 1 + int((~finite).nonzero()[0, 0])
            raise NonFiniteLossError(
                f"train: expected a finite loss, got NaN or infinity in iteration {first}; take a smaller train.lr"
            )

    def require_finite(self) -> None:
        """Check losses and weights, before they are saved.

        Raises:
            NonFiniteLossError: with the iteration.
        """
        if self.losses:
            self.require_finite_losses()
        if not all(torch.isfinite(parameter).all() for parameter in self.model.parameters()):
            raise NonFiniteLossError(
                f"train: expected finite weights, got NaN or infinity after iteration {self.iteration}; "
                "take a smaller train.lr"
            )


def fresh_state(
    arch: str,
    settings: Settings,
    *,
    optimizer: str,
    lr: float,
    seed: int,
    device: torch.device,
    weight_decay: float = 0.0,
    trunk_lr: float = 1.0,
    averaged: bool = False,
    start_from: Path | None = None,
) -> TrainingState:
    """Build a model with its initial weights and its optimizer, before the first iteration.

    Args:
        arch: name of the architecture.
        settings: of the model.
        optimizer, lr, weight_decay, trunk_lr: as in `make_optimizer`.
        seed: of the weights.
        device: of the model.
        averaged: whether to keep a running average of the weights.
        start_from: file of weights, of which those that fit are loaded; see `load_fitting`.

    Raises:
        InputError: pretrained weights are missing, or none of those to start from fits.
    """
    torch.manual_seed(seed)
    model = models.build(arch, settings)
    models.load_pretrained(arch, model, settings)
    fit = None if start_from is None else load_fitting(model, start_from)
    # channels_last: the layout in which crops are decoded and convolutions are quickest
    model = model.to(device).to(memory_format=torch.channels_last)
    made = make_optimizer(optimizer, model, lr, weight_decay=weight_decay, trunk_lr=trunk_lr)
    return TrainingState(model, made, copy.deepcopy(model) if averaged else None, fit)


def train(
    state: TrainingState,
    train_crops: Crops,
    val_crops: Crops,
    *,
    iterations: int,
    batch_size: int,
    schedule: Schedule,
    augmentation: Augmentation,
    dtype: torch.dtype,
    seed: int,
    validate_every: int,
    ema: float = 0.0,
    clip_grad: float | None = None,
    group: Group = ALONE,
) -> Steps:
    """Train from `state.iteration` to `iterations`; between two steps the state may be saved.

    Args:
        state: changed as training goes on; its model is on the device already.
        train_crops: the training set.
        val_crops: the held-out set.
        iterations: batches in all, those before a resume included.
        batch_size: people, those of all processes together.
        schedule: of the learning rate.
        augmentation: random changes to the training crops.
        dtype: of convolutions and products (autocast); weights stay float32.
        seed: of the order of people and of the augmentation.
        validate_every: batches between two history rows.
        ema: decay of the running average of the weights, where the state has one.
        clip_grad: largest norm of the gradient; None: it is not clipped. Source: Pascanu et al. 2013.
        group: the processes that train together; each calls this with the same arguments and holds the same state.

    Yields:
        A Step after each iteration.

    Raises:
        NonFiniteLossError: with the iteration; at once on the CPU, after at most CHECK_EVERY iterations elsewhere.
    """
    device = next(state.model.parameters()).device
    model = group.wrap(state.model)
    for iteration in range(state.iteration, iterations):
        rate = schedule(iteration)
        people = batch_people(len(train_crops), batch_size, iteration, seed)[group.share]
        images = train_crops.images(people).to(device, non_blocking=True)  # (B, 3, S, S)
        joints_unit = train_crops.joints_unit[people].to(device)  # (B, J, 2)
        annotated = train_crops.annotated[people].to(device)  # (B, J)
        if augmentation.is_on:
            random = np.random.default_rng([seed, iteration, 1])  # 1: not the order of people
            amounts = augmentation.draw(batch_size, random).of(group.share)
            images, joints_unit, annotated = augment(images, joints_unit, annotated, amounts, train_crops.border)
        else:
            images = crop_center(images, train_crops.crop_size)
        torch.manual_seed(_seed_of(seed, iteration, group.rank))
        model.train()
        for parameters in state.optimizer.param_groups:
            parameters["lr"] = rate * parameters["lr_scale"]
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            prediction = model(images, Truth(joints_unit, annotated))
        loss_sum = masked_sum(prediction.loss, annotated)
        squared_error = _squared_error(prediction.joints_unit.detach(), joints_unit, annotated, train_crops.crop_size)
        of_batch = group.sum(torch.cat([loss_sum.detach()[None], squared_error]))  # (3,)
        num_joints = of_batch[2].clamp(min=1)
        state.optimizer.zero_grad(set_to_none=True)
        # Gradients become means over the processes: times their number, that is the sum over the batch.
        (loss_sum / num_joints * group.size).backward()
        if clip_grad is not None:
            torch.nn.utils.clip_grad_norm_(state.model.parameters(), clip_grad)
        state.optimizer.step()
        if state.average is not None:
            update_average(state.average, state.model, ema, iteration)

        batch_loss = of_batch[0] / num_joints
        state.iteration = iteration + 1
        state.losses.append(batch_loss)
        state.errors.append(of_batch[1:])
        done = state.iteration == iterations
        row = None
        if device.type == "cpu" or done or len(state.losses) % CHECK_EVERY == 0:
            state.require_finite_losses()
        if done or state.iteration % validate_every == 0:
            state.require_finite()
            row = _history_row(state, val_crops, dtype, rate, group)
            state.history.append(row)
            state.losses.clear()
            state.errors.clear()
        yield Step(state.iteration, state.iteration * batch_size, batch_loss, row)


def _seed_of(seed: int, iteration: int, rank: int) -> int:
    """Seed a model's own random numbers, so that a resumed training draws those that an uninterrupted one draws."""
    return int(np.random.default_rng([seed, iteration, 2, rank]).integers(2**63))


def _squared_error(
    pred_unit: Float[Tensor, "B J 2"],
    joints_unit: Float[Tensor, "B J 2"],
    annotated: Bool[Tensor, "B J"],
    side: int,
) -> Float[Tensor, "2"]:
    """Sum the squared distances over annotated joints, crop px², and count the joints."""
    squared = l2(pred_unit, joints_unit) * side**2  # (B, J)
    return torch.stack([torch.where(annotated, squared, torch.zeros_like(squared)).sum(), annotated.sum()])


def _rmse(errors: list[Tensor]) -> float:
    """Compute the RMSE of some batches over all their joints, crop px."""
    squared, joints = torch.stack(errors).double().sum(dim=0).tolist()
    return math.sqrt(squared / max(joints, 1))


def _history_row(state: TrainingState, val_crops: Crops, dtype: torch.dtype, lr: float, group: Group) -> HistoryRow:
    return HistoryRow(
        iteration=state.iteration,
        loss=torch.stack(state.losses).double().mean().item(),
        train_rmse=_rmse(state.errors),
        val_rmse=validate(state.result, val_crops, dtype, group),
        lr=lr,
    )


@torch.no_grad()
def validate(model: nn.Module, crops: Crops, dtype: torch.dtype, group: Group = ALONE) -> float:
    """Compute the RMSE of a model on the held-out set, crop px, in eval mode."""
    device = next(model.parameters()).device
    model.eval()
    mine = np.arange(len(crops))[group.share]
    errors = [torch.zeros(2, device=device)]  # there may be more processes than people
    for start in range(0, len(mine), VALIDATION_BATCH):
        people = mine[start : start + VALIDATION_BATCH]
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            pred_unit = model(crops.images(people).to(device)).joints_unit
        joints_unit, annotated = crops.joints_unit[people].to(device), crops.annotated[people].to(device)
        errors.append(_squared_error(pred_unit, joints_unit, annotated, crops.crop_size))
    return _rmse([group.sum(torch.stack(errors).double().sum(dim=0))])
