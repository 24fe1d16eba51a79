"""A training that was stopped goes on where it was.

One safetensors file: weights, optimizer and running sums as tensors; iteration, history and what else belongs to the
run as JSON in its metadata. It lives outside of DVC, which deletes a stage's outputs before it runs the stage again.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from posernn.data import shards
from posernn.data.shards import Folder
from posernn.runtime.errors import InputError
from posernn.runtime.files import write_tensors
from posernn.training.loop import HistoryRow, TrainingState

VERSION = 1


def path_for(name: str, settings: dict[str, Any], crops: Folder) -> Path:
    """Where the checkpoint of a training lies: it is named by all that the training depends on.

    So one with other parameters, other people or other code starts afresh.

    Args:
        name: of the model: baseline or model.
        settings: parameters, as JSON takes them.
        crops: folder with the shards.
    """
    depends_on = [VERSION, torch.__version__, settings, shards.digest(crops)]
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode())
    # DVC_ROOT is the project itself also where DVC runs an experiment in a temporary copy of it.
    folder = Path(os.environ.get("DVC_ROOT", ".")) / "checkpoints"
    return folder / f"{name}-{digest.hexdigest()[:16]}.safetensors"


def save(path: Path, state: TrainingState, extra: dict[str, Any]) -> None:
    """Write a checkpoint in place of the last one, which stays if this one cannot be written.

    Args:
        path: the file.
        state: between two steps; on any device.
        extra: what else the run wants back, as JSON takes it.

    Raises:
        NonFiniteLossError: the state is not worth keeping.
        InputError: the disk does not take it.
    """
    state.require_finite()
    tensors = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    for number, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in slots.items()}
    if state.losses:
        tensors |= {"losses": torch.stack(state.losses), "errors": torch.stack(state.errors)}
    about = {"iteration": state.iteration, "history": [asdict(row) for row in state.history], "extra": extra}
    write_tensors(path, tensors, {"posernn": json.dumps(about)})


def restore(path: Path, state: TrainingState) -> dict[str, Any] | None:
    """Bring a fresh state to where a checkpoint was.

    Args:
        path: the file.
        state: with a fresh model and optimizer on their device; changed.

    Returns:
        `extra`, or None where there is no checkpoint.

    Raises:
        InputError: the file is broken or of another model.
    """
    if not path.exists():
        return None
    device = next(state.model.parameters()).device
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["posernn"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a dict
        weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        state.model.load_state_dict(weights)
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, number, slot = name.split(".", 2)
                slots.setdefault(int(number), {})[slot] = value
        groups = state.optimizer.state_dict()["param_groups"]
        state.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        state.iteration = int(about["iteration"])
        state.history = [HistoryRow(**row) for row in about["history"]]
        state.losses = list(tensors["losses"].to(device).unbind()) if "losses" in tensors else []
        state.errors = list(tensors["errors"].to(device).unbind()) if "errors" in tensors else []
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        what = str(error).splitlines()[-1].strip()  # PyTorch's first line names the class only
        raise InputError(f"{path}: expected a checkpoint of this training, got: {what}; delete it") from error
    return about["extra"]
