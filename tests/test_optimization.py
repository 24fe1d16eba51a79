"""Optimizers, schedules and the running average of the weights."""

import copy

import pytest
import torch
from torch import nn

from posernn.training.optimization import cosine, halving, make_optimizer, make_schedule, update_average


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 1)


def test_biases_and_normalisations_have_no_weight_decay_and_the_trunk_a_rate_of_its_own():
    model = Tiny()
    groups = make_optimizer("adamw", model, 0.01, weight_decay=0.1, trunk_lr=0.5).param_groups
    options = {id(parameter): group for group in groups for parameter in group["params"]}
    found = {name: options[id(parameter)] for name, parameter in model.named_parameters()}
    assert {name: (group["lr_scale"], group["weight_decay"]) for name, group in found.items()} == {
        "trunk.0.weight": (0.5, 0.1),
        "trunk.0.bias": (0.5, 0.0),
        "trunk.1.weight": (0.5, 0.0),
        "trunk.1.bias": (0.5, 0.0),
        "head.weight": (1.0, 0.1),
        "head.bias": (1.0, 0.0),
    }


def test_frozen_parameters_are_in_no_group():
    model = Tiny()
    model.trunk.requires_grad_(False)
    (group,) = make_optimizer("adam", model, 0.01).param_groups
    assert len(group["params"]) == 2


def test_the_cosine_rises_to_the_rate_and_falls_to_zero():
    rate = cosine(0.1, 100, warmup=0.1)
    rates = [rate(iteration) for iteration in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert 0 < rates[0] < 0.01
    assert rates[10] == max(rates) == 0.1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rate(55) == pytest.approx(0.05)
    assert rates[-1] < 1e-4


def test_a_schedule_is_found_by_its_name():
    assert make_schedule("halving", 1.0, 100, halve_every=10, warmup=0.5)(25) == halving(1.0, 10)(25) == 0.25
    assert make_schedule("cosine", 1.0, 100, halve_every=10, warmup=0.0)(50) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="expected halving or cosine, got 'step'"):
        make_schedule("step", 1.0, 100, halve_every=10, warmup=0.5)


def test_the_average_is_the_exponential_mean_of_weights_and_statistics():
    model, value = Tiny(), 0.0
    average = copy.deepcopy(model)
    nn.init.constant_(average.head.weight, value)
    for iteration in range(300):
        nn.init.constant_(model.head.weight, float(iteration))
        model.trunk[1].running_mean += 1
        model.trunk[1].num_batches_tracked += 1
        decay = min(0.9, (1 + iteration) / (10 + iteration))
        value = decay * value + (1 - decay) * iteration
        update_average(average, model, 0.9, iteration)
    torch.testing.assert_close(average.head.weight, torch.full((1, 3), value))
    assert value == pytest.approx(299 - 9, abs=0.1)  # it lags behind by decay / (1 - decay)
    torch.testing.assert_close(average.trunk[1].running_mean, torch.full((3,), value + 1), atol=0.1, rtol=0)
    assert average.trunk[1].num_batches_tracked == 300
