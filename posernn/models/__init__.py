"""The compared models. Each maps images (B, 3, S, S) to joints (B, J, 2) in unit coordinates and skeleton order."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from posernn.models.attention import AttentionLstm
from posernn.models.cnn import Cnn
from posernn.models.lstm import Lstm
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json, write_json, write_tensors

MODELS: dict[str, type[nn.Module]] = {"cnn": Cnn, "lstm": Lstm, "lstm_attention": AttentionLstm}
"""Name -> builder; its keyword arguments are what model.json holds beside the name."""


MOST = {"crop_size": 4096, "layers": 8}
"""What no weights contradict: a model.json with more than that is damage, or meant to fill the memory."""


def build(name: str, **arguments: Any) -> nn.Module:
    """Build a model with fresh weights.

    Raises:
        ValueError: no model of that name, or crop_size or layers out of range.
    """
    if name not in MODELS:
        raise ValueError(f"models: expected one of {', '.join(MODELS)}, got {name!r}")
    for key, most in MOST.items():
        if key in arguments and not 1 <= arguments[key] <= most:
            raise ValueError(f"models: {key}: expected 1 to {most}, got {arguments[key]}")
    return MODELS[name](**arguments)


def save(folder: Path, model: nn.Module, name: str, **arguments: Any) -> None:
    """Write weights.safetensors, and model.json with all that is needed to build the model again."""
    write_tensors(folder / "weights.safetensors", model.state_dict())
    write_json(folder / "model.json", {"name": name, **arguments})


def load(folder: Path) -> nn.Module:
    """Build the model of a run again, with its weights, ready to predict (eval mode).

    Raises:
        InputError: a file is missing or broken, or weights and model.json are not of the same model.
    """
    arguments = read_json(folder / "model.json")
    weights_path = folder / "weights.safetensors"
    try:
        with torch.device("meta"):  # shapes without memory: the file of weights says first whether they are honest
            model = build(**arguments)
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise InputError(f"{folder / 'model.json'}: expected a model of posernn, got {error}") from error
    try:
        model.load_state_dict(load_file(weights_path), assign=True)
    except FileNotFoundError as error:
        raise InputError(f"{weights_path}: expected weights, got nothing; train first") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights_path}: expected safetensors, got {error}") from error
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"{weights_path}: expected the weights of model.json's model, got: {first}") from error
    return model.float().eval()
