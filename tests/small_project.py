"""A project of the tests' own, whose stages run in seconds, whatever the project's folder is left in."""

import os
import shutil
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent

STAGES = {
    "synthesize": "data/synthetic",
    "parse": "data/synthetic data/splits data/people.parquet data/rejected.parquet",
    "crops": "data/people.parquet data/synthetic/images data/crops data/crops-rejected.parquet",
    "train": "model data/crops runs/model",
    "evaluate": "model data/crops runs/model results/model",
}
"""The arguments of each stage, as dvc.yaml has them."""

VALUES = {
    "dataset": "synthetic",
    "people": 24,
    "seed": 0,
    "crop_size": 32,
    "trunk_width": 0.0625,
    "iterations": 60,
    "iterations_of": {},
    "halve_lr_every": 15,
    "val_list": None,
    "hold_out": 0.3,
    "box": "joints",
    "padding": 20,
    "keep_aspect": False,
    "margin": 0.25,
    "jpeg_quality": 92,
    "start_from": None,
    "batch_size": 25,
    "optimizer": "adam",
    "lr": 0.001,
    "trunk_lr": 1.0,
    "weight_decay": 0.0,
    "schedule": "halving",
    "warmup": 0.0,
    "ema": 0.0,
    "clip_grad": None,
    "loss": "l2",
    "precision": "auto",
    "device": "auto",
    "processes": 1,
    "validate_every": 10,
    "checkpoint_every": 5,
    "flip": 0.0,
    "rotation": 0.0,
    "scale": 0.0,
    "color": 0.0,
    "shift": 0.0,
    "half_body": 0.0,
    "erase": 0.0,
    "trunk": "test_efficientnet",
    "weights": "none",
    "frozen_stride": 0,
    "frozen_norm": False,
    "channels": 16,
    "readout": "map",
    "sigma": 1.5,
    "decode": "local",
    "flip_test": True,
    "attention": False,
    "joint_embedding": False,
    "layers": 2,
    "hidden_size": 128,
    "joint_order": "easy_first",
    "bootstrap_draws": 200,
    "pictures": 2,
}
"""The value of each key, in whichever section of params.yaml it is."""

CODE = ("posernn", "stages")
DVC_FILES = ("dvc.yaml", "data/dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")
OTHER_FILES = ("pyproject.toml", "data/.gitignore", "data/splits/README.md")


def parameters(path=ROOT / "params.yaml", **changes):
    """Return the tests' own parameters: sections and keys as in the file, values that do not depend on it.

    Args:
        path: a valid params.yaml, in which a user may have changed any value.
        **changes: values to set, by section.
    """
    values = _with_own_values(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))
    values["baseline"] = {"arch": "cnn"}
    values["model"] = {"arch": "lstm", "attention": False}
    values["pretrained"] = {"arch": "heatmap"}
    if "lstm" not in values:  # the architecture has no section of its own
        values["model"] |= {key: VALUES[key] for key in ("layers", "hidden_size", "joint_order")}
    values["chain"]["joint_order"] = "torso_first"
    values["report"] = {"pictures": False}
    for section, of_section in changes.items():
        values[section].update(of_section)
    return values


def _with_own_values(section):
    return {
        key: _with_own_values(value) if isinstance(value, dict) and key not in VALUES else VALUES.get(key, value)
        for key, value in section.items()
    }


def lay_out(folder, **changes):
    """Make a folder in which stages can run: params.yaml, with changes by section, and no validation lists."""
    (folder / "data/splits").mkdir(parents=True, exist_ok=True)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(parameters(**changes), file)
    return folder


def copy_project(folder, **changes):
    """Copy code and pipeline, without Git, results, caches and data, and lay out the tests' parameters beside them."""
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*DVC_FILES, *OTHER_FILES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return lay_out(folder, **changes)


def environment(**changes):
    """Return the environment of stages: this project's code, no DVC around them, nothing recorded in MLflow."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    return inherited | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "POSERNN_TRACKING": "off"} | changes
