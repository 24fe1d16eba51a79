"""Every architecture keeps the contract: shapes, gradients, learning, independence of the batch, saving, resuming."""

import json
import resource

import numpy as np
import pytest
import torch
from tiny_models import CNN, TINY, build, name_of

from posernn import models
from posernn.data import batches
from posernn.data.augmentation import Augmentation
from posernn.evaluation.predict import predict
from posernn.inference import onnx
from posernn.inference.boxes import Crops
from posernn.inference.estimator import Estimator
from posernn.models.contract import Prediction, Truth
from posernn.runtime.errors import InputError
from posernn.training import checkpoints, loop, optimization


@pytest.fixture(params=TINY, ids=name_of)
def case(request):
    return request.param


def images_of(num_people, side, seed=0):
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (num_people, 3, side, side), dtype=np.uint8))


def truth_of(num_people, seed=0):
    random = np.random.default_rng(seed)
    return Truth(
        torch.from_numpy(random.uniform(0.2, 0.8, (num_people, 16, 2)).astype(np.float32)),
        torch.from_numpy(random.random((num_people, 16)) < 0.9),
    )


def ten_people(side):
    images, truth = images_of(10, side), truth_of(10)
    return batches.Crops(
        images=lambda people: images[torch.from_numpy(people)],
        joints_unit=truth.joints_unit,
        annotated=truth.annotated,
        crop_size=side,
    )


def fresh(arch, settings, seed=0):
    return loop.fresh_state(arch, settings, optimizer="adam", lr=3e-3, seed=seed, device=torch.device("cpu"))


def train(state, crops, iterations):
    return list(
        loop.train(
            state,
            crops,
            crops,
            iterations=iterations,
            batch_size=10,
            schedule=optimization.halving(3e-3, 10**9),
            augmentation=Augmentation(),
            dtype=torch.float32,
            seed=0,
            validate_every=iterations,
        )
    )


def test_a_prediction_has_the_promised_shapes(case):
    arch, settings = case
    model, side = build(arch, settings), settings.crop_size
    found = model(images_of(3, side), truth_of(3))
    assert isinstance(found, Prediction)
    assert found.joints_unit.shape == (3, 16, 2)
    assert found.joints_unit.dtype == torch.float32
    assert found.loss.shape == (3, 16)
    for field in (found.confidence, found.log_prob):
        assert field is None or field.shape == (3, 16)
    if found.maps is not None:
        assert found.maps.shape[:2] == (3, 16)
        torch.testing.assert_close(found.maps.sum(dim=(2, 3)), torch.ones(3, 16))
    assert model(images_of(3, side)).loss is None


def test_the_gradient_reaches_every_parameter(case):
    arch, settings = case
    model = build(arch, settings)
    model(images_of(4, settings.crop_size), truth_of(4)).loss.sum().backward()
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert still == []


def test_ten_people_can_be_overfitted(case):
    arch, settings = case
    crops = ten_people(settings.crop_size)
    state = fresh(arch, settings)
    spread = crops.joints_unit.std(dim=0).square().sum(dim=1).mean().sqrt() * settings.crop_size  # of a constant pose
    for iterations in range(50, 1000, 50):  # most need fewer than 350; attention, on some processors, twice as many
        train(state, crops, iterations)
        if state.history[-1].val_rmse < 0.25 * spread:
            return
    pytest.fail(f"after {state.iteration} batches the RMSE is {state.history[-1].val_rmse:.1f} px")


def test_a_prediction_does_not_depend_on_its_batch(case):
    arch, settings = case
    model, images = build(arch, settings), images_of(5, settings.crop_size)
    model(images_of(8, settings.crop_size, seed=1))  # so that running averages are not those of a fresh model
    model.eval()
    together = predict(model, images).joints_unit
    alone = torch.cat([predict(model, image[None]).joints_unit for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_saved_model_predicts_the_same_after_loading(case, tmp_path):
    arch, settings = case
    model, images = build(arch, settings), images_of(2, settings.crop_size)
    model(images_of(4, settings.crop_size, seed=1))
    models.save(tmp_path, model, arch, settings)
    loaded = predict(models.load(tmp_path), images)
    for before, after in zip(predict(model.eval(), images), loaded, strict=True):
        assert (before is None) == (after is None)
        if before is not None:  # convolutions may differ in the order of their sums, by the alignment of memory
            torch.testing.assert_close(before, after, atol=1e-5, rtol=0)


def test_a_resumed_training_ends_with_the_same_weights(case, tmp_path):
    arch, settings = case
    crops = ten_people(settings.crop_size)
    whole, first, second = fresh(arch, settings), fresh(arch, settings), fresh(arch, settings, seed=1)
    train(whole, crops, 6)
    train(first, crops, 3)
    checkpoints.save(tmp_path / "half.safetensors", first, arch, {})
    checkpoints.restore(tmp_path / "half.safetensors", second, arch)
    train(second, crops, 6)
    for one, other in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def lively(arch, settings):
    """Build a model whose predictions differ from crop to crop, which those of fresh weights hardly do."""
    model = build(arch, settings)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, torch.nn.Linear) or getattr(module, "kernel_size", None) == (1, 1):
            module.weight.data *= 1.5
    model(images_of(5, settings.crop_size))
    return model.eval()


def test_it_exports_to_onnx_for_any_number_of_people(case, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    arch, settings = case
    model = lively(arch, settings)
    names = onnx.export(Estimator(model, settings.crop_size, Crops("joints", 20, False)), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for num_people in (1, 5):
        images = images_of(num_people, settings.crop_size, seed=1)
        expected = predict(model, images, device=torch.device("cpu"))
        for name, values in zip(names, session.run(names, {"images": images.numpy()}), strict=True):
            difference = np.abs(values - getattr(expected, name).numpy())
            assert np.median(difference) < 1e-4
            # A chain tells each joint the rounding of those before it. Where two cells are about as probable, as in an
            # untrained model, that decides between them, and the joints after it differ, too.
            assert arch == "chain" or difference.max() < 1e-4
    assert ("confidence" in names) == (expected.confidence is not None)
    assert expected.joints_unit.std(dim=0).max() > 1e-3


def test_an_architecture_is_found_by_its_file():
    assert {"chain", "cnn", "heatmap", "lstm"} <= set(models.architectures())
    assert "contract" not in models.architectures()
    with pytest.raises(ValueError, match="expected one of chain, cnn, heatmap, lstm, got 'vgg'"):
        models.module_of("vgg")


def test_predicting_refuses_a_model_in_training_mode():
    with pytest.raises(ValueError, match="expected a model in eval mode"):
        predict(build("cnn", CNN), images_of(2, 32))


def saved(folder, case):
    arch, settings = case
    models.save(folder, build(arch, settings), arch, settings)
    return folder


def test_weights_of_another_model_are_refused(tmp_path):
    saved(tmp_path / "a", ("cnn", CNN))
    saved(tmp_path / "b", ("cnn", CNN.model_copy(update={"trunk_width": 0.125})))
    (tmp_path / "b" / "weights.safetensors").rename(tmp_path / "a" / "weights.safetensors")
    with pytest.raises(
        InputError, match=r"weights.safetensors: expected the weights of model.json's model, got: size mis"
    ):
        models.load(tmp_path / "a")


def test_a_broken_or_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"model.json: expected a JSON file, got No such file"):
        models.load(tmp_path)
    saved(tmp_path, ("cnn", CNN))
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match=r"weights.safetensors: expected safetensors, got"):
        models.load(tmp_path)
    (tmp_path / "model.json").write_text('{"arch": "transformer"}')
    with pytest.raises(
        InputError, match=r"expected a model of posernn, got .*expected one of chain, cnn, heatmap, lstm"
    ):
        models.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"crop_size": 10**9},
        {"crop_size": None},
        {"crop_size": "64"},
        {"trunk_width": 1e6},
        {"trunk_width": float("nan")},
        {"trunk_width": -1},
        {"hidden_size": 10**8},
        {"hidden_size": 10**18},
        {"hidden_size": -1},
        {"layers": 10**9},
        {"layers": "2"},
        {"joint_order": "alphabetical"},
        {"joint_order": []},
        {"arch": []},
        {"arch": "contract"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_dishonest_model_json_is_one_line_and_fills_no_memory(tmp_path, change):
    lstm = next(settings for arch, settings in TINY if arch == "lstm" and settings.attention)
    saved(tmp_path, ("lstm", lstm))
    (tmp_path / "model.json").write_text(json.dumps({"arch": "lstm", **lstm.model_dump(), **change}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"(expected a model of posernn|expected the weights of model.json's model)"):
        models.load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kB"


def test_weights_of_another_precision_become_single(tmp_path):
    models.save(tmp_path, build("cnn", CNN).half(), "cnn", CNN)
    assert {parameter.dtype for parameter in models.load(tmp_path).parameters()} == {torch.float32}
