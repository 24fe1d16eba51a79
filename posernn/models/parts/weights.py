"""Reads weights from files, and loads those that fit into a model."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from posernn.runtime.errors import InputError

StateDict = dict[str, Tensor]


class Fit(NamedTuple):
    """The weights of a model that another's took the place of.

    Attributes:
        loaded: their names.
        fresh: names of the others: there is none of that name and shape.
    """

    loaded: list[str]
    fresh: list[str]


def read(path: Path) -> StateDict:
    """Read safetensors, or a state dict of PyTorch; files that could run code are refused.

    Raises:
        InputError: it is neither.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format has errors of its own
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: expected safetensors or a state dict, got: {first_line}") from error


def load_fitting(model: nn.Module, path: Path) -> Fit:
    """Load all weights whose names and shapes fit into a model.

    Args:
        model: changed; the weights that are not in the file stay.
        path: safetensors, or a state dict.

    Raises:
        InputError: the file cannot be read, or nothing in it fits.
    """
    found, own = read(path), model.state_dict()
    fitting = {
        name: value
        for name, value in found.items()
        if name in own and isinstance(value, Tensor) and value.shape == own[name].shape
    }
    trained = [name for name, _ in model.named_parameters()]
    fit = Fit([name for name in trained if name in fitting], [name for name in trained if name not in fitting])
    if not fit.loaded:
        raise InputError(f"{path}: expected weights of this architecture, got none that fits; see its model.json")
    model.load_state_dict(fitting, strict=False)
    return fit
