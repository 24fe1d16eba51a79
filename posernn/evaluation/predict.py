"""Crops -> predictions of a trained model."""

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from posernn.models.contract import Prediction
from posernn.runtime.device import choose_device


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: UInt8[Tensor, "N 3 S S"],
    *,
    batch_size: int = 100,
    device: torch.device | None = None,
) -> Prediction:
    """Predict the joints of crops, in float32.

    Args:
        model: in eval mode, so that a prediction does not depend on the rest of its batch.
        images: (N, 3, S, S), pixels from 0 to 255; S as the model was trained.
        batch_size: people at once.
        device: None: the best that this machine has.

    Returns:
        The prediction of all crops, on the CPU.

    Raises:
        ValueError: the model is in training mode.
    """
    if model.training:
        raise ValueError("predict: expected a model in eval mode, got one in training mode")
    device = device or choose_device()
    model.to(device)
    parts = [model(batch.to(device)) for batch in images.split(batch_size)]
    fields = zip(*parts, strict=True)  # each of all batches
    joined = [None if field[0] is None else torch.cat([part.float().cpu() for part in field]) for field in fields]
    return Prediction(*joined)  # type: ignore[arg-type]  # joints_unit is always there
