"""A project whose stages run in seconds: what tests of trouble, of tracking and of several processes start from."""

import os
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent

RELEASE = "data/synthetic/mpii_human_pose_v1_u12_1.mat"

STAGES = {
    "synthesize": "data/synthetic",
    "parse": f"{RELEASE} data/splits data/people.parquet data/rejected.parquet",
    "crops": "data/people.parquet data/synthetic/images data/crops data/crops-rejected.parquet",
    "train": "model data/crops runs/model",
    "evaluate": "model data/crops runs/model results/model",
}
"""The arguments of each stage, as dvc.yaml has them."""

SMALL = {
    "synthetic": {"people": 24, "crop_size": 32, "trunk_width": 0.0625, "iterations": 60, "halve_lr_every": 15},
    "train": {"validate_every": 10, "checkpoint_every": 5},
    "parse": {"hold_out": 0.3},
    "evaluate": {"bootstrap_draws": 200, "pictures": 2},
}


def lay_out(folder, **changes):
    """Make a folder in which stages can run: params.yaml, with changes by section, and no validation lists."""
    (folder / "data/splits").mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    values = yaml.load(ROOT / "params.yaml")
    for sections in (SMALL, changes):
        for section, of_section in sections.items():
            values[section].update(of_section)
    yaml.dump(values, folder / "params.yaml")
    return folder


def environment(**changes):
    """What stages run in: this project, no DVC around them, nothing recorded."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    return inherited | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "POSERNN_TRACKING": "off"} | changes
