"""Crops -> joints, with a trained model."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from posernn.models.parts.vgg import normalize
from posernn.runtime.device import choose_device


def predict(
    model: nn.Module,
    images: UInt8[Tensor, "N 3 S S"],
    *,
    batch_size: int = 100,
    device: torch.device | None = None,
) -> Float[np.ndarray, "N 16 2"]:
    """Predict the joints of crops, in float32.

    Args:
        model: in eval mode, so that a prediction does not depend on who else is in the batch.
        images: (N, 3, S, S), pixels from 0 to 255; S as the model was trained.
        batch_size: people at once.
        device: where; None: the best there is.

    Returns:
        (N, J, 2) xy, unit: crop px divided by the crop's side.

    Raises:
        ValueError: the model is in training mode.
    """
    return _in_batches(model, model, images, batch_size, device)


def attention_maps(
    model: nn.Module,
    images: UInt8[Tensor, "N 3 S S"],
    *,
    batch_size: int = 100,
    device: torch.device | None = None,
) -> Float[np.ndarray, "N 16 M M"]:
    """Where a model with attention looked for each joint.

    Returns:
        (N, J, M, M), each map summing to 1, joints in skeleton order; row by row of the crop.

    Raises:
        ValueError: the model has no attention.
    """
    if not hasattr(model, "attention_maps"):
        raise ValueError(f"attention_maps: expected a model with attention, got {type(model).__name__}")
    return _in_batches(model, model.attention_maps, images, batch_size, device)


@torch.inference_mode()
def _in_batches(model, function, images, batch_size, device):
    if model.training:
        raise ValueError("predict: expected a model in eval mode, got one in training mode")
    device = device or choose_device()
    model.to(device)
    results = [function(normalize(batch.to(device))).float().cpu() for batch in images.split(batch_size)]
    return torch.cat(results).numpy()
