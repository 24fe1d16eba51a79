"""The loop: learns, reports, halves, stops on NaN, and goes on after a stop as if there had been none."""

import math

import numpy as np
import pytest
import torch
from tiny_models import CNN

from posernn import models
from posernn.data.augmentation import Augmentation
from posernn.data.batches import Crops, batch_people
from posernn.runtime.errors import InputError
from posernn.training import checkpoints
from posernn.training.loop import NonFiniteLossError, fresh_state, train, validate
from posernn.training.optimization import halving

SIDE = 32
SETTINGS = {
    "iterations": 12,
    "batch_size": 5,
    "schedule": halving(1e-3, every=4),
    "augmentation": Augmentation(),
    "dtype": torch.float32,
    "seed": 0,
    "validate_every": 5,
}


def crops(num_people, seed=0):
    """Grey crops with a bright spot, which all joints are at."""
    random = np.random.default_rng(seed)
    joints = random.uniform(0.2, 0.8, (num_people, 1, 2)).astype(np.float32).repeat(16, axis=1)
    pixels = random.integers(0, 60, (num_people, 3, SIDE, SIDE), dtype=np.uint8)
    for image, (x, y) in zip(pixels, joints[:, 0] * SIDE, strict=True):
        image[:, int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 255
    images = torch.from_numpy(pixels)
    return Crops(
        images=lambda people: images[torch.from_numpy(people)],
        joints_unit=torch.from_numpy(joints),
        annotated=torch.from_numpy(random.random((num_people, 16)) < 0.9),
        crop_size=SIDE,
    )


def fresh(optimizer="adam", **changes):
    settings = CNN.model_copy(update=changes)
    return fresh_state("cnn", settings, optimizer=optimizer, lr=1e-3, seed=0, device=torch.device("cpu"))


RECIPE = {"optimizer": "adamw", "weight_decay": 0.1, "trunk_lr": 0.5, "averaged": True}


def fresh_with(recipe):
    return fresh_state("cnn", CNN, lr=1e-3, seed=0, device=torch.device("cpu"), **recipe)


def run(state, **changes):
    return list(train(state, crops(23), crops(9, seed=1), **SETTINGS | changes))


def test_history_has_a_row_at_each_validation_and_one_at_the_end():
    state = fresh()
    steps = run(state)
    assert [step.iteration for step in steps] == list(range(1, 13))
    assert [row.iteration for row in state.history] == [5, 10, 12]
    assert [step.row for step in steps if step.row] == state.history
    assert steps[-1].num_people == 60


def test_a_rows_loss_is_the_mean_of_its_batches_and_its_rmse_follows_from_it():
    """The l2 loss is a mean squared distance in unit: with every joint annotated, RMSE is its root in px."""
    state = fresh()
    people = crops(23)
    people = Crops(people.images, people.joints_unit, torch.ones(23, 16, dtype=torch.bool), SIDE)
    losses = [float(step.loss) for step in train(state, people, crops(9), **SETTINGS)]
    assert state.history[1].loss == pytest.approx(np.mean(losses[5:10]), rel=1e-6)
    assert state.history[1].train_rmse == pytest.approx(math.sqrt(np.mean(losses[5:10])) * SIDE, rel=1e-5)


def test_validation_is_the_root_of_the_mean_squared_distance_over_annotated_joints():
    model, held_out = fresh().model, crops(9, seed=1)
    rmse = validate(model, held_out, torch.float32)
    model.eval()
    with torch.no_grad():
        pred = model(held_out.images(np.arange(9))).joints_unit
    distance = (pred - held_out.joints_unit).square().sum(dim=2).sqrt()[held_out.annotated] * SIDE
    assert rmse == pytest.approx(math.sqrt(float((distance**2).mean())), rel=1e-4)


def test_the_learning_rate_is_halved_on_time():
    state = fresh()
    rates = []
    for step in train(state, crops(23), crops(9), **SETTINGS | {"validate_every": 1}):
        rates.append(step.row.lr)
    assert rates == [1e-3] * 4 + [5e-4] * 4 + [2.5e-4] * 4


@pytest.mark.parametrize(
    ("optimizer", "loss"), [("adam", "l2"), ("adamw", "l2"), ("sgd", "l2"), ("adam", "l1"), ("adam", "smooth_l1")]
)
def test_training_learns_where_the_spot_is(optimizer, loss):
    state = fresh(optimizer, loss=loss)
    lr = 0.02 if optimizer == "sgd" else 3e-3
    changes = {"iterations": 150, "validate_every": 150, "schedule": halving(lr, every=100), "batch_size": 20}
    held_out = crops(100, seed=1)
    list(train(state, crops(200), held_out, **SETTINGS | changes))
    true = held_out.joints_unit * SIDE
    constant = float((true - true.mean(dim=0)).square().sum(dim=2).mean().sqrt())
    assert state.history[-1].val_rmse < 0.6 * constant


def test_bf16_computes_in_16_bits_and_keeps_weights_and_loss_in_32():
    state = fresh()
    steps = run(state, dtype=torch.bfloat16)
    exact = fresh()
    run(exact)
    assert {parameter.dtype for parameter in state.model.parameters()} == {torch.float32}
    assert steps[-1].loss.dtype == torch.float32
    assert state.history != exact.history
    assert state.history[-1].val_rmse == pytest.approx(exact.history[-1].val_rmse, rel=0.05)


def test_validation_people_and_batch_order_do_not_change_what_is_learnt():
    one, other = fresh(), fresh()
    list(train(one, crops(23), crops(9, seed=1), **SETTINGS))
    list(train(other, crops(23), crops(30, seed=2), **SETTINGS | {"validate_every": 3}))
    for left, right in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(left, right)


def test_every_epoch_sees_each_person_once_in_an_order_of_its_own():
    people = np.concatenate([batch_people(10, 4, iteration, seed=0) for iteration in range(5)])
    assert sorted(people[:10]) == sorted(people[10:]) == list(range(10))
    assert list(people[:10]) != list(people[10:])
    assert list(people) != list(np.concatenate([batch_people(10, 4, i, seed=1) for i in range(5)]))


def test_the_average_is_what_is_validated_and_lags_behind():
    state = fresh_with(RECIPE)
    run(state, ema=0.9)
    assert state.result is state.average
    assert state.history[-1].val_rmse == validate(state.average, crops(9, seed=1), torch.float32)
    assert state.history[-1].val_rmse != validate(state.model, crops(9, seed=1), torch.float32)


def test_a_clipped_gradient_has_the_norm(monkeypatch):
    norms = []
    state = fresh("sgd")
    step = state.optimizer.step

    def noted():
        norms.append(torch.stack([p.grad.norm() for p in state.model.parameters()]).norm().item())
        step()

    monkeypatch.setattr(state.optimizer, "step", noted)
    run(state, clip_grad=1e-3)
    assert max(norms) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("stop", [3, 5, 8])
@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(0.5, 20.0, 0.2, 0.2)])
@pytest.mark.parametrize("recipe", [{"optimizer": "adam"}, {"optimizer": "sgd"}, RECIPE], ids=["adam", "sgd", "recipe"])
def test_a_stopped_training_ends_with_the_same_weights_and_history(tmp_path, stop, augmentation, recipe):
    changes = {"augmentation": augmentation} | ({"ema": 0.9, "clip_grad": 1.0} if recipe is RECIPE else {})
    whole = fresh_with(recipe)
    run(whole, **changes)

    stopped = fresh_with(recipe)
    for step in train(stopped, crops(23), crops(9, seed=1), **SETTINGS | changes):
        if step.iteration == stop:
            checkpoints.save(tmp_path / "last.safetensors", stopped, "cnn", {"run_id": "abc"})
            break
    resumed = fresh_with(recipe)
    assert checkpoints.restore(tmp_path / "last.safetensors", resumed, "cnn") == ({"run_id": "abc"}, [])
    assert resumed.iteration == stop
    run(resumed, **changes)

    assert resumed.history == whole.history
    for one, other in ((whole.model, resumed.model), (whole.result, resumed.result)):
        for (key, left), right in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            assert torch.equal(left, right), key


def test_a_training_starts_from_the_weights_that_fit(tmp_path):
    source = fresh()
    run(source)
    models.save(tmp_path, source.model, "cnn", CNN)
    half = {"crop_size": SIDE * 2}  # a larger map: the first fully connected layer has another shape
    device = torch.device("cpu")
    state = fresh_state(
        "cnn",
        CNN.model_copy(update=half),
        optimizer="adam",
        lr=1e-3,
        seed=1,
        device=device,
        averaged=True,
        start_from=models.weights_file(str(tmp_path)),
    )
    assert state.fit.fresh == ["features.fully_connected.1.weight"]
    for module in (state.model, state.average):
        for name, value in module.state_dict().items():
            other = source.model.state_dict()[name]
            assert (name in state.fit.fresh) != (value.shape == other.shape and torch.equal(value, other)), name


def test_weights_of_another_architecture_are_one_line(tmp_path):
    torch.save({"features.conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other.pth: expected weights of this architecture, got none that fits"):
        fresh_with({"optimizer": "adam", "start_from": models.weights_file(str(tmp_path / "other.pth"))})
    with pytest.raises(InputError, match=r"nobody: expected the folder of a run or the name of a model in the package"):
        models.weights_file("nobody")


def test_a_loss_that_is_not_finite_stops_with_its_iteration_and_keeps_the_last_good_checkpoint(tmp_path):
    path, state, poisoned = tmp_path / "last.safetensors", fresh(), crops(23)

    def train_until_it_breaks():
        for step in train(state, poisoned, crops(9), **SETTINGS):
            if step.iteration == 4:
                checkpoints.save(path, state, "cnn", {})
            if step.iteration == 6:
                poisoned.joints_unit.fill_(math.inf)

    with pytest.raises(NonFiniteLossError, match=r"got NaN or infinity in iteration 7; take a smaller train.lr"):
        train_until_it_breaks()
    with pytest.raises(NonFiniteLossError):
        checkpoints.save(path, state, "cnn", {})
    again = fresh()
    checkpoints.restore(path, again, "cnn")
    assert again.iteration == 4
    assert all(torch.isfinite(parameter).all() for parameter in again.model.parameters())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    state = fresh()
    next(state.model.parameters()).data.fill_(math.nan)
    with pytest.raises(NonFiniteLossError, match="expected finite weights"):
        checkpoints.save(tmp_path / "last.safetensors", state, "cnn", {})
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_model_or_a_broken_one_is_refused(tmp_path):
    path = tmp_path / "last.safetensors"
    assert checkpoints.restore(path, fresh(), "cnn") == (None, [])
    checkpoints.save(path, fresh(), "cnn", {})
    with pytest.raises(InputError, match=r"expected a checkpoint of this training, got: .*; delete it"):
        checkpoints.restore(path, fresh(trunk_width=0.125), "cnn")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"expected a checkpoint of this training"):
        checkpoints.restore(path, fresh(), "cnn")


def test_a_checkpoint_belongs_to_its_parameters_and_its_people(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "_SUCCESS").write_text("the shards' checksums")
    path = checkpoints.path_for("model", {"lr": 0.1}, tmp_path)
    assert path.parent == tmp_path / "checkpoints"
    assert path == checkpoints.path_for("model", {"lr": 0.1}, tmp_path)
    assert path != checkpoints.path_for("model", {"lr": 0.2}, tmp_path)
    (tmp_path / "_SUCCESS").write_text("other shards' checksums")
    assert path != checkpoints.path_for("model", {"lr": 0.1}, tmp_path)


def test_a_checkpoint_of_code_that_changed_since_is_not_loaded_and_the_files_are_named(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    trained = fresh()
    run(trained)
    checkpoints.save(path, trained, "cnn", {})
    digests = checkpoints.code_digests("cnn")
    assert {"models/cnn.py", "models/parts/vgg.py", "training/loop.py", "pose/skeleton.py"} <= digests.keys()
    assert not [name for name in digests if name.startswith(("runtime/", "report/", "models/lstm"))]
    changed = digests | {"models/cnn.py": "another", "models/parts/new.py": "new"}
    monkeypatch.setattr(checkpoints, "code_digests", lambda arch: changed)
    state = fresh()
    assert checkpoints.restore(path, state, "cnn") == (None, ["models/cnn.py", "models/parts/new.py"])
    assert state.iteration == 0
