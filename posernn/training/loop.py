"""The training loop, as a generator of what happened.

Everything random follows from seed and iteration, and all that carries over from one iteration to the next is in
`TrainingState`: whoever saves it between two steps can go on later as if nothing had happened.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from posernn.data.augmentation import augment, draw_amounts
from posernn.data.batches import Crops, batch_people
from posernn.models.parts.losses import LOSSES, masked_sum
from posernn.models.parts.vgg import normalize
from posernn.runtime.errors import InputError
from posernn.training.processes import Group

CHECK_EVERY = 50
"""Iterations between two looks at the losses on a GPU, which has to wait for each look."""

VALIDATION_BATCH = 100
ALONE = Group()


class NonFiniteLossError(InputError):
    """A loss, or a weight after it, is NaN or infinite."""


@dataclass(frozen=True)
class HistoryRow:
    """One row of history.csv: the means since the row before, and validation now.

    Attributes:
        iteration: batches seen.
        loss: mean of the batches since the last row, in the loss's unit.
        train_rmse: of the same batches as they were trained on, crop px.
        val_rmse: of all validation people, crop px.
        lr: learning rate of the last batch.
    """

    iteration: int
    loss: float
    train_rmse: float
    val_rmse: float
    lr: float


@dataclass(frozen=True)
class Step:
    """One iteration is done.

    Attributes:
        iteration: batches seen, from 1.
        num_people: trained on so far, each as often as it came.
        loss: of this batch, still on the device: reading it waits for the device.
        row: every `validate_every` iterations and at the end.
    """

    iteration: int
    num_people: int
    loss: Float[Tensor, ""]
    row: HistoryRow | None


Steps = Iterator[Step]


@dataclass
class TrainingState:
    """All that one iteration leaves to the next."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    iteration: int = 0
    history: list[HistoryRow] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    """Of the iterations since the last row, (,) each."""
    errors: list[Tensor] = field(default_factory=list)
    """Of the same: sum of squared distances (crop px²) and number of annotated joints, (2,) each."""

    def require_finite_losses(self) -> None:
        """Look at the losses since the last row.

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
        """Look at losses and weights, before they are kept.

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


def make_optimizer(name: str, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Build adam, adamw or sgd (momentum 0.9) over the model's parameters."""
    parameters = list(model.parameters())
    fused = parameters[0].device.type == "cuda"
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, fused=fused)
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, fused=fused)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9, fused=fused)
    raise ValueError(f"make_optimizer: expected adam, adamw or sgd, got {name!r}")


def train(
    state: TrainingState,
    train_crops: Crops,
    val_crops: Crops,
    *,
    iterations: int,
    batch_size: int,
    lr: float,
    halve_lr_every: int,
    loss: str,
    dtype: torch.dtype,
    seed: int,
    validate_every: int,
    flip: float = 0.0,
    rotation: float = 0.0,
    scale: float = 0.0,
    color: float = 0.0,
    group: Group = ALONE,
) -> Steps:
    """Train from `state.iteration` to `iterations`; between two steps the state may be saved.

    Args:
        state: changed as training goes on; its model is on the device already.
        train_crops: who is trained on.
        val_crops: who is held out.
        iterations: batches in all, those before a resume included.
        batch_size: people, those of all processes together.
        lr: learning rate at the start.
        halve_lr_every: batches.
        loss: a name in LOSSES; the mean is over the annotated joints of the batch.
        dtype: of convolutions and products (autocast); weights stay float32.
        seed: of the order of people and of the augmentation.
        validate_every: batches between two history rows.
        flip, rotation, scale, color: see `draw_amounts`.
        group: the processes that train together; each calls this with the same arguments and holds the same state.

    Yields:
        A Step after each iteration.

    Raises:
        NonFiniteLossError: with the iteration; at once on the CPU, after at most CHECK_EVERY iterations elsewhere.
    """
    device = next(state.model.parameters()).device
    model = group.wrap(state.model)
    changes = {"flip": flip, "rotation": rotation, "scale": scale, "color": color}
    for iteration in range(state.iteration, iterations):
        rate = lr * 0.5 ** (iteration // halve_lr_every)
        people = batch_people(len(train_crops), batch_size, iteration, seed)[group.share]
        images = train_crops.images(people).to(device, non_blocking=True)  # (B, 3, S, S)
        joints_unit = train_crops.joints_unit[people].to(device)  # (B, J, 2)
        annotated = train_crops.annotated[people].to(device)  # (B, J)
        if any(changes.values()):
            random = np.random.default_rng([seed, iteration, 1])  # 1: not the order of people
            amounts = draw_amounts(batch_size, **changes, random=random).of(group.share)
            images, joints_unit, annotated = augment(images, joints_unit, annotated, amounts)
        model.train()
        for parameters in state.optimizer.param_groups:
            parameters["lr"] = rate
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            pred_unit = model(normalize(images))  # (B, J, 2)
        pred_unit = pred_unit.float()
        loss_sum = masked_sum(LOSSES[loss](pred_unit, joints_unit), annotated)
        squared_error = _squared_error(pred_unit.detach(), joints_unit, annotated, train_crops.crop_size)
        of_batch = group.sum(torch.cat([loss_sum.detach()[None], squared_error]))  # (3,)
        num_joints = of_batch[2].clamp(min=1)
        state.optimizer.zero_grad(set_to_none=True)
        # Gradients become means over the processes: times their number, that is the sum over the batch.
        (loss_sum / num_joints * group.size).backward()
        state.optimizer.step()

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


def _squared_error(
    pred_unit: Float[Tensor, "B J 2"],
    joints_unit: Float[Tensor, "B J 2"],
    annotated: Bool[Tensor, "B J"],
    side: int,
) -> Float[Tensor, "2"]:
    """Sum of squared distances over annotated joints, crop px², and how many there are."""
    squared = LOSSES["l2"](pred_unit, joints_unit) * side**2  # (B, J)
    return torch.stack([torch.where(annotated, squared, torch.zeros_like(squared)).sum(), annotated.sum()])


def _rmse(errors: list[Tensor]) -> float:
    """Root of the mean squared distance over all joints of some batches, crop px."""
    squared, joints = torch.stack(errors).double().sum(dim=0).tolist()
    return math.sqrt(squared / max(joints, 1))


def _history_row(state: TrainingState, val_crops: Crops, dtype: torch.dtype, lr: float, group: Group) -> HistoryRow:
    return HistoryRow(
        iteration=state.iteration,
        loss=torch.stack(state.losses).double().mean().item(),
        train_rmse=_rmse(state.errors),
        val_rmse=validate(state.model, val_crops, dtype, group),
        lr=lr,
    )


@torch.no_grad()
def validate(model: nn.Module, crops: Crops, dtype: torch.dtype, group: Group = ALONE) -> float:
    """RMSE of a model on held-out people, crop px; with running averages, as at test time."""
    device = next(model.parameters()).device
    model.eval()
    mine = np.arange(len(crops))[group.share]
    errors = [torch.zeros(2, device=device)]  # there may be more processes than people
    for start in range(0, len(mine), VALIDATION_BATCH):
        people = mine[start : start + VALIDATION_BATCH]
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            pred_unit = model(normalize(crops.images(people).to(device)))
        joints_unit, annotated = crops.joints_unit[people].to(device), crops.annotated[people].to(device)
        errors.append(_squared_error(pred_unit.float(), joints_unit, annotated, crops.crop_size))
    return _rmse([group.sum(torch.stack(errors).double().sum(dim=0))])
