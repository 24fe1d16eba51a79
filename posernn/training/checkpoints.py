"""Checkpoints, with which a training resumes after it was stopped.

A checkpoint is one safetensors file: weights, optimizer and running sums as tensors; iteration, history and the digests
of the code as JSON in its metadata. It is not an output of DVC, which deletes outputs before it runs a stage again.
"""

import hashlib
import json
import os
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from posernn.data import shards
from posernn.data.shards import Folder
from posernn.runtime.errors import InputError
from posernn.runtime.files import write_tensors
from posernn.training.loop import HistoryRow, TrainingState

VERSION = 3

CODE = (
    "data/augmentation.py",
    "data/batches.py",
    "models/{arch}.py",
    "models/contract.py",
    "models/parts",
    "pose",
    "training",
)
"""The code that a training's result depends on: files and folders of posernn, the deps of `train` in dvc.yaml."""


def path_for(name: str, settings: dict[str, Any], crops: Folder) -> Path:
    """Name the checkpoint of a training by what it depends on: one with other parameters or other people starts afresh.

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


@cache  # a training that is edited while it runs goes on with the code that it started with
def code_digests(arch: str) -> dict[str, str]:
    """Compute the SHA-256 of each file in CODE, by its path in posernn."""
    root = Path(__file__).parent.parent
    places = [root / place.format(arch=arch) for place in CODE]
    files = [file for place in places for file in ([place] if place.suffix else sorted(place.rglob("*.py")))]
    return {file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def save(path: Path, state: TrainingState, arch: str, extra: dict[str, Any]) -> None:
    """Write a checkpoint in place of the last one, which stays where this one cannot be written.

    Args:
        path: the file.
        state: between two steps; on any device.
        arch: name of the architecture, whose code the checkpoint remembers.
        extra: further values to keep, as JSON takes them.

    Raises:
        NonFiniteLossError: the state is not worth keeping.
        InputError: the file cannot be written.
    """
    state.require_finite()
    tensors = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average.{name}": value for name, value in state.average.state_dict().items()}
    for number, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in slots.items()}
    if state.losses:
        tensors |= {"losses": torch.stack(state.losses), "errors": torch.stack(state.errors)}
    about = {
        "iteration": state.iteration,
        "history": [asdict(row) for row in state.history],
        "extra": extra,
        "code": code_digests(arch),
    }
    write_tensors(path, tensors, {"posernn": json.dumps(about)})


def restore(path: Path, state: TrainingState, arch: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Load a checkpoint into a fresh state, unless the code has changed since it was written.

    Args:
        path: the file; there may be none.
        state: with a fresh model and optimizer on their device; changed if the checkpoint is loaded.
        arch: name of the architecture.

    Returns:
        `extra`, or None where no checkpoint was loaded; and the files of posernn that have changed since.

    Raises:
        InputError: the file is broken or of another model.
    """
    now = code_digests(arch)
    if not path.exists():
        return None, []
    device = next(state.model.parameters()).device
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["posernn"])
            before = about["code"]
            changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
            if changed:
                return None, changed
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a dict
        for kind, module in (("model.", state.model), ("average.", state.average)):
            if module is not None:
                module.load_state_dict(
                    {name.removeprefix(kind): tensors[name] for name in tensors if name.startswith(kind)}
                )
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
    return about["extra"], []
