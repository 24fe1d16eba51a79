"""Finds the people of a photo with torchvision's Faster R-CNN."""

import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import nn
from torchvision.models import detection
from torchvision.transforms.functional import pil_to_tensor

from posernn.runtime.device import choose_device
from posernn.runtime.errors import InputError

WEIGHTS = detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1
PERSON = 1
"""COCO's category."""
MIN_SCORE = 0.5
MAX_SIDE = 1333
"""Larger photos are reduced to this, px: the detector would do it anyway, with more memory."""


def load(weights: Path | None = None) -> nn.Module:
    """Build the detector, in eval mode.

    Args:
        weights: file that torchvision publishes; None: downloads it once, to PyTorch's cache.
    Raises:
        InputError: it cannot be downloaded, or the file is not of this detector.
    """
    if weights is None:
        print("people: finding them with torchvision's detector, because no box was given", file=sys.stderr)
    try:
        state = WEIGHTS.get_state_dict(check_hash=True) if weights is None else _read(weights)
    except OSError as error:  # urllib's errors, too
        raise InputError(
            f"detector: expected to download {WEIGHTS.url} once, got {getattr(error, 'reason', None) or error}; "
            "give the person with --box, take the whole photo with --whole, or name the file with --detector-weights"
        ) from error
    model = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"{weights}: expected weights of torchvision's fasterrcnn_mobilenet_v3_large_fpn, got those of another "
            f"network; fetch {WEIGHTS.url}"
        ) from error
    return model.to(choose_device()).eval()


@torch.inference_mode()
def find_people(model: nn.Module, image: Image.Image) -> Float[np.ndarray, "P 4"]:
    """Find the people of a photo.

    Args:
        model: from `load`.
        image: RGB, upright.
    Returns:
        (P, 4) xyxy, image px; those that the detector is surest of first.
    """
    shrink = max(*image.size, MAX_SIDE) / MAX_SIDE
    small = image.resize((round(image.width / shrink), round(image.height / shrink)))
    device = next(model.parameters()).device
    (found,) = model([(pil_to_tensor(small) / 255).to(device)])
    people = (found["labels"] == PERSON) & (found["scores"] >= MIN_SCORE)
    # torchvision's origin is the corner of the first pixel, here it is its centre.
    steps = np.tile(np.array(image.size) / small.size, 2)
    return found["boxes"][people].cpu().double().numpy() * steps - 0.5


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # tensors only: no code of the file is run
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected the detector's weights, got nothing; check the path") from error
    except Exception as error:  # zip, pickle and PyTorch raise exceptions of any type on files of another kind
        raise InputError(
            f"{path}: expected weights as PyTorch saves them, got another file; fetch {WEIGHTS.url}"
        ) from error
