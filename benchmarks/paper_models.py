"""The paper's three models, as the benchmarks train them."""

import torch

from posernn import models
from posernn.training import loop

RECURRENT = {"layers": 2, "hidden_size": 128, "joint_order": "easy_first"}
SETTINGS = {"cnn": {}, "lstm": {"attention": False} | RECURRENT, "lstm_attention": {"attention": True} | RECURRENT}


def fresh(name: str, *, side: int, width: float, device: str = "cpu") -> loop.TrainingState:
    """Build one of SETTINGS with seed 0, and its optimizer."""
    arch = name.split("_")[0]
    settings = models.module_of(arch).Settings(crop_size=side, trunk_width=width, loss="l2", **SETTINGS[name])
    return loop.fresh_state(arch, settings, optimizer="adam", lr=1e-3, seed=0, device=torch.device(device))
