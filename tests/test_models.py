"""Each model: sizes of the paper, shapes, gradients, can learn, looks at one picture at a time."""

import json
import resource
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from posernn import models
from posernn.evaluation.predict import attention_maps, predict
from posernn.models.attention import AttentionLstm
from posernn.models.cnn import Cnn
from posernn.models.lstm import Lstm, initialize
from posernn.models.parts.vgg import normalize
from posernn.pose.skeleton import DECODE_ORDERS
from posernn.runtime.errors import InputError

RECURRENT = {"layers": 2, "hidden_size": 128, "joint_order": "easy_first"}
ARGUMENTS = {"cnn": {}, "lstm": RECURRENT, "lstm_attention": RECURRENT}


def small(name, **more):
    torch.manual_seed(0)
    return models.build(name, **{"crop_size": 64, "trunk_width": 0.125, **ARGUMENTS[name], **more})


@pytest.fixture(params=list(models.MODELS))
def name(request):
    return request.param


def convolution_weights(model):
    return [module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d)]


TABLE_1 = [1_728, 36_864, 73_728, 147_456, 294_912, 589_824, 589_824, 1_179_648, *[2_359_296] * 5]


def test_the_cnn_at_full_size_has_the_weights_of_the_papers_table_1():
    with torch.device("meta"):
        model = Cnn(crop_size=224, trunk_width=1.0)
    assert convolution_weights(model) == TABLE_1
    linear = [module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear)]
    assert linear == [102_760_448, 16_777_216, 4_096 * 32]


def test_attention_at_full_size_sees_196_annotation_vectors_of_512():
    with torch.device("meta"):
        model = AttentionLstm(crop_size=224, trunk_width=1.0, **RECURRENT)
        assert model.annotate(torch.zeros(1, 3, 224, 224)).shape == (1, 196, 512)
    assert convolution_weights(model) == TABLE_1


def test_the_lstm_at_full_size_is_two_layers_of_128():
    with torch.device("meta"):
        plain = Lstm(crop_size=224, trunk_width=1.0, **RECURRENT)
        attentive = AttentionLstm(crop_size=224, trunk_width=1.0, **RECURRENT)
    assert convolution_weights(plain) == TABLE_1
    assert (plain.lstm.num_layers, plain.lstm.hidden_size, plain.lstm.input_size) == (2, 128, 4096)
    assert [(cell.input_size, cell.hidden_size) for cell in attentive.cells] == [(512, 128), (128, 128)]


def test_batch_normalisation_follows_each_non_linearity(name):
    model = small(name)
    trunk = model.trunk if name == "lstm_attention" else model.features.trunk
    layers = [type(module) for module in trunk]
    for before, layer in pairwise(layers):
        if layer is nn.BatchNorm2d:
            assert before is nn.ReLU
    assert layers.count(nn.BatchNorm2d) == layers.count(nn.ReLU) == 13
    assert layers.count(nn.MaxPool2d) == (4 if name == "lstm_attention" else 5)


def test_images_become_sixteen_points(name):
    assert small(name).eval()(torch.randn(3, 3, 64, 64)).shape == (3, 16, 2)


def test_the_gradient_reaches_every_parameter(name):
    model = small(name)
    model(torch.randn(4, 3, 64, 64)).square().mean().backward()
    still = [key for key, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert still == []


def test_one_batch_can_be_learnt_by_heart(name):
    model = small(name, crop_size=32, trunk_width=0.0625).train()
    images, joints = torch.randn(3, 3, 32, 32), torch.rand(3, 16, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        loss = (model(images) - joints).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    spread = (joints - joints.mean(dim=0)).square().mean()  # what a constant pose leaves
    assert loss < 0.02 * spread


def test_a_prediction_does_not_depend_on_who_else_is_in_the_batch(name):
    model = small(name)
    model(torch.randn(8, 3, 64, 64))  # running averages of something
    model.eval()
    images = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)
    together = predict(model, images)
    alone = np.concatenate([predict(model, images[n : n + 1]) for n in range(5)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_predicting_refuses_a_model_in_training_mode():
    with pytest.raises(ValueError, match="expected a model in eval mode"):
        predict(small("cnn"), torch.zeros(2, 3, 64, 64, dtype=torch.uint8))


@pytest.mark.parametrize("recurrent", ["lstm", "lstm_attention"])
def test_each_step_decodes_its_joint(recurrent):
    """With the same weights, two orders give the same numbers to different joints."""
    images = torch.randn(2, 3, 64, 64)
    outputs = {}
    for order in DECODE_ORDERS:
        model = small(recurrent, joint_order=order).eval()
        outputs[order] = model(images)[:, list(DECODE_ORDERS[order])]  # in decode order
    for order in DECODE_ORDERS:
        torch.testing.assert_close(outputs[order], outputs["skeleton"])
    assert not torch.allclose(outputs["skeleton"][:, 0], outputs["skeleton"][:, 15])


def test_attention_maps_sum_to_one_and_come_in_the_order_of_the_joints():
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    maps = {}
    for order in DECODE_ORDERS:
        model = small("lstm_attention", joint_order=order).eval()
        for layer in (model.score, model.score_hidden):  # so that maps differ from step to step
            layer.weight.data *= 100
        maps[order] = attention_maps(model, images)
    assert maps["skeleton"].shape == (3, 16, 4, 4)
    np.testing.assert_allclose(maps["skeleton"].sum(axis=(2, 3)), 1, atol=1e-5)
    assert (maps["skeleton"] >= 0).all()
    assert np.abs(maps["skeleton"][:, 0] - maps["skeleton"][:, 15]).max() > 1e-3
    np.testing.assert_allclose(maps["easy_first"][:, list(DECODE_ORDERS["easy_first"])], maps["skeleton"], atol=1e-5)


def test_attention_is_a_weighted_mean_of_the_places_it_looks_at():
    """Where all places are alike the input is that place, and no place is preferred."""
    model = small("lstm_attention").eval()
    annotations = torch.randn(2, 1, 64).expand(-1, 16, -1)
    _, maps = model.decode(annotations)
    torch.testing.assert_close(maps, torch.full_like(maps, 1 / 16))


def test_with_one_place_to_look_at_attention_is_torchs_stacked_lstm():
    model = small("lstm_attention").eval()
    annotations = torch.randn(3, 1, 64)
    points, _ = model.decode(annotations)

    hidden_size = model.cells[0].hidden_size
    lstm = nn.LSTM(64, hidden_size, num_layers=len(model.cells), batch_first=True)
    for layer, cell in enumerate(model.cells):
        for name, weights in cell.named_parameters():
            getattr(lstm, f"{name}_l{layer}").data.copy_(weights)
    hidden = torch.tanh(model.initial_hidden(annotations[:, 0])).unflatten(1, (-1, hidden_size)).transpose(0, 1)
    cells = model.initial_cell(annotations[:, 0]).unflatten(1, (-1, hidden_size)).transpose(0, 1)
    outputs, _ = lstm(annotations.expand(-1, 16, -1), (hidden.contiguous(), cells.contiguous()))
    torch.testing.assert_close(points, model.project(outputs))


def test_images_are_normalised_as_torchvisions_weights_expect():
    from torchvision.transforms.v2.functional import normalize as torchvisions

    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = torchvisions(images.float() / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    torch.testing.assert_close(normalize(images), expected)


def test_recurrent_gates_start_neither_open_nor_shut():
    lstm = nn.LSTM(400, 20).requires_grad_(False)
    initialize(lstm)
    for gate in lstm.weight_ih_l0.chunk(4):
        limit = (6 / (400 + 20)) ** 0.5  # Glorot & Bengio
        assert gate.abs().max() <= limit
        assert gate.std() == pytest.approx(limit / 3**0.5, rel=0.05)
    for gate in lstm.weight_hh_l0.chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(20), atol=1e-5, rtol=0)
    biases = (lstm.bias_ih_l0 + lstm.bias_hh_l0).unflatten(0, (4, 20))
    torch.testing.assert_close(biases, torch.tensor([0.0, 1.0, 0.0, 0.0])[:, None].expand(4, 20))


def test_no_attention_no_maps():
    with pytest.raises(ValueError, match="expected a model with attention, got Lstm"):
        attention_maps(small("lstm").eval(), torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_torchs_lstm_is_the_papers_set_of_equations():
    """i, f, o, g from input and last hidden state; c = f c + i g; h = o tanh(c)."""
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 3)
    inputs, hidden, cell = torch.randn(4, 5), torch.randn(3), torch.randn(3)
    expected, (last_hidden, last_cell) = lstm(inputs, (hidden[None], cell[None]))
    for step, x in enumerate(inputs):
        gates = lstm.weight_ih_l0 @ x + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ hidden + lstm.bias_hh_l0
        i, f, g, o = gates.reshape(4, 3)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        torch.testing.assert_close(expected[step], hidden)
    torch.testing.assert_close(last_cell[0], cell)
    torch.testing.assert_close(last_hidden[0], hidden)


def test_a_saved_model_predicts_the_same_after_loading(name, tmp_path):
    model = small(name)
    model(torch.randn(4, 3, 64, 64))
    models.save(tmp_path, model, name, crop_size=64, trunk_width=0.125, **ARGUMENTS[name])
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    np.testing.assert_array_equal(predict(models.load(tmp_path), images), predict(model.eval(), images))


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    models.save(tmp_path / "a", small("cnn"), "cnn", crop_size=64, trunk_width=0.125)
    models.save(tmp_path / "b", small("cnn", trunk_width=0.25), "cnn", crop_size=64, trunk_width=0.25)
    (tmp_path / "b" / "weights.safetensors").rename(tmp_path / "a" / "weights.safetensors")
    with pytest.raises(
        InputError, match=r"weights.safetensors: expected the weights of model.json's model, got: size mis"
    ):
        models.load(tmp_path / "a")


def test_a_broken_or_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"model.json: expected a JSON file, got No such file"):
        models.load(tmp_path)
    models.save(tmp_path, small("cnn"), "cnn", crop_size=64, trunk_width=0.125)
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"weights.safetensors: expected safetensors, got"):
        models.load(tmp_path)
    (tmp_path / "model.json").write_text('{"name": "transformer"}')
    with pytest.raises(
        InputError, match=r"expected a model of posernn, got .*expected one of cnn, lstm, lstm_attention"
    ):
        models.load(tmp_path)


def test_loading_takes_no_compiler(name, tmp_path):
    """PyTorch imports it to fill tensors that have shapes alone: two seconds, in which Ctrl-C aborts the process."""
    models.save(tmp_path, small(name), name, crop_size=64, trunk_width=0.125, **ARGUMENTS[name])
    code = "import pathlib, sys; from posernn import models; models.load(pathlib.Path()); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "torch" in ended.stdout.split()
    assert "torch._dynamo" not in ended.stdout.split()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "change",
    [
        {"crop_size": 10**9},
        {"crop_size": None},
        {"crop_size": "64"},
        {"trunk_width": 1e6},
        {"trunk_width": 1e300},
        {"trunk_width": float("nan")},
        {"trunk_width": -1},
        {"hidden_size": 10**8},
        {"hidden_size": 10**18},
        {"hidden_size": -1},
        {"layers": 10**9},
        {"layers": 0},
        {"layers": "2"},
        {"joint_order": "alphabetical"},
        {"joint_order": []},
        {"name": []},
        {"more": 1},
    ],
    ids=str,
)
def test_a_dishonest_model_json_is_one_line_and_fills_no_memory(tmp_path, change):
    arguments = {"crop_size": 32, "trunk_width": 0.0625, "layers": 2, "hidden_size": 8, "joint_order": "easy_first"}
    models.save(tmp_path, models.build("lstm_attention", **arguments), "lstm_attention", **arguments)
    (tmp_path / "model.json").write_text(json.dumps({"name": "lstm_attention", **arguments, **change}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        InputError, match=r"(model.json: expected a model of posernn|weights.safetensors: expected the)"
    ):
        models.load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kB"


def test_weights_of_another_precision_become_single(tmp_path):
    arguments = {"crop_size": 32, "trunk_width": 0.0625}
    model = models.build("cnn", **arguments)
    models.save(tmp_path, model.half(), "cnn", **arguments)
    assert {parameter.dtype for parameter in models.load(tmp_path).parameters()} == {torch.float32}
