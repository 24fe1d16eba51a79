"""Tiny models for tests: each architecture with the settings of its own `TINY`."""

import torch

from posernn import models

TINY = [(arch, settings) for arch in models.architectures() for settings in models.module_of(arch).TINY]

CNN = models.module_of("cnn").TINY[0]


def name_of(case):
    """Give a readable test id to a case of TINY: the architecture, and its boolean settings that are on."""
    arch, settings = case
    return "_".join([arch, *(name for name, value in settings if value is True)])


def build(arch, settings, **changes):
    """Build a model of TINY, with seed 0 and some settings changed."""
    torch.manual_seed(0)
    return models.build(arch, settings.model_copy(update=changes))


def of(name, **changes):
    """Build a model by its test id, such as lstm_attention."""
    return build(*next(case for case in TINY if name_of(case) == name), **changes)


CROPS = {"box": "joints", "padding": 20, "keep_aspect": False}


def save(folder, name, crops=CROPS, **changes):
    """Write a run's model, built by its test id, to a folder; give the folder."""
    arch, settings = next(case for case in TINY if name_of(case) == name)
    models.save(folder, of(name, **changes), arch, settings.model_copy(update=changes), crops)
    return folder
