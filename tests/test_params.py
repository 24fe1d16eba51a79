"""params.yaml: what is wrong is said in one line with file, key, value and what is allowed."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from posernn import params
from posernn.runtime.errors import InputError

TEXT = Path("params.yaml").read_text()


NAN, INF, MISSING = float("nan"), float("inf"), object()


@pytest.fixture
def changed(tmp_path):
    """Write params.yaml with one piece of text replaced; give its path."""

    def change(old, new):
        assert TEXT.count(old) >= 1, old
        path = tmp_path / "params.yaml"
        path.write_text(TEXT.replace(old, new, 1))
        return path

    return change


def test_the_projects_own_parameters_are_valid_for_both_data_sets(changed):
    demo, paper = params.load(), params.load(changed("dataset: synthetic", "dataset: mpii"))
    assert demo.data.trunk_width < paper.data.trunk_width == 1.0
    assert (paper.data.crop_size, paper.data.iterations, paper.data.halve_lr_every) == (224, 10_000, 1_000)
    assert (paper.train.batch_size, paper.train.lr, paper.train.optimizer, paper.train.loss) == (
        25,
        0.001,
        "adam",
        "l2",
    )
    assert paper.architecture("baseline").arch == "cnn"
    assert paper.architecture("model").arch == "lstm"


def test_a_small_number_may_be_written_as_1e_minus_5(changed):
    assert params.load(changed("lr: 0.001", "lr: 1e-5")).train.lr == 1e-5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "dataset: synthetic",
            "dataset: coco",
            "dataset: expected a section of that name, got 'coco'; there are: mpii, synth",
        ),
        ("lr: 0.001", "lr: fast", r"train.lr: input should be a valid number, got 'fast'"),
        ("lr: 0.001", "lr: 0", r"train.lr: input should be greater than 0, got 0"),
        ("batch_size: 25", "batch_size: 1", r"train.batch_size: input should be greater than or equal to 2, got 1"),
        ("loss: l2", "loss: l3", r"train.loss: input should be 'l2', 'l1' or 'smooth_l1', got 'l3'"),
        ("loss: l2", "los: l2", r"train.los: unknown key; did you mean loss\?"),
        ("loss: l2", "", r"train.loss: field required"),
        ("train:", "trian:", r"trian: unknown section; did you mean train\?"),
        ("optimizer: adam", "optimizer: adam\n  zzz: 1", r"train.zzz: unknown key; expected one of batch_size, optim"),
        ("attention: false", "attention: maybe", r"model.attention: .*got 'maybe'"),
        ("arch: cnn", "arch: cnn\n  attention: true", r"baseline.attention: unknown key; it belongs to arch: lstm"),
        ("crop_size: 224", "crop_size: 100", r"mpii.crop_size: input should be a multiple of 32, got 100"),
        ("hold_out: 0.15", "hold_out: 1.5", r"parse.hold_out: input should be less than 1, got 1.5"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_key(changed, old, new, message):
    path = changed(old, new)
    with pytest.raises(InputError, match=message) as caught:
        params.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_no_file_and_no_yaml_are_one_line(tmp_path):
    with pytest.raises(InputError, match="expected the parameters, got No such file"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("dataset: [")
    with pytest.raises(InputError, match=r"expected YAML, got .*line 1") as caught:
        params.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)
    (tmp_path / "params.yaml").write_text("just words")
    with pytest.raises(InputError, match="expected `dataset:` and sections"):
        params.load(tmp_path / "params.yaml")


def test_parameters_cannot_be_changed_after_reading():
    with pytest.raises(ValidationError, match="frozen"):
        params.load().train.lr = 1.0


# For each key a value of the wrong type and values out of range; None: any value of the type will do.
WRONG = {
    "dataset": ["coco", 7, None, []],
    "people": ["many", 0, -1, 1.5, True],
    "crop_size": ["64", 0, 33, -32, 64.0, True],
    "trunk_width": ["wide", 0, -1, 5, NAN, INF],
    "iterations": ["1000", 0, 1.5],
    "processes": ["all", 0, -1, 1.5, True],
    "halve_lr_every": [0, "never", 2.5],
    "val_list": [7, ["a.csv"]],
    "hold_out": [0, 1, -0.1, "some", NAN],
    "seed": [-1, 2**32, 0.5, "0"],
    "box": ["head", 1],
    "padding": [-1, "20", INF, NAN],
    "keep_aspect": ["yes please", 2, 1],
    "jpeg_quality": [0, 96, 92.5],
    "batch_size": [0, -25, "25"],
    "optimizer": ["adamm", 1],
    "lr": [0, -1, NAN, INF, "fast"],
    "loss": ["l3", 2],
    "precision": ["fp16", 16],
    "device": ["gpu", 0],
    "validate_every": [0, 1.5],
    "checkpoint_every": [0, "often"],
    "flip": [-0.1, 1.1, NAN, "yes"],
    "rotation": [-1, 181, NAN],
    "scale": [-0.1, 4.1, INF],
    "color": [-0.1, 1, NAN],
    "arch": ["vgg", 1, None],
    "attention": ["maybe", 3],
    "layers": [0, 9, 1.5],
    "hidden_size": [0, -128, "128"],
    "joint_order": ["easy", 1],
    "bootstrap_draws": [99, "10000"],
    "pictures": [-1, 1.5],
}


def leaves(section, path=()):
    for key, value in section.items():
        yield from leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]


KEYS = list(leaves(YAML(typ="safe", pure=True).load(TEXT)))


def written(tmp_path, path, value):
    """Write params.yaml with one value changed; give its path."""
    values = YAML(typ="safe", pure=True).load(TEXT)
    section = values
    for part in path[:-1]:
        section = section[part]
    if value is MISSING:
        del section[path[-1]]
    else:
        section[path[-1]] = value
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(values, file)
    return tmp_path / "params.yaml"


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_every_key_refuses_what_it_cannot_mean(path, tmp_path):
    for value in WRONG[path[-1]]:
        with pytest.raises(InputError) as caught:
            params.load(written(tmp_path, path, value))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'params.yaml'}: {path[0]}"), message
        assert path[-1] in message
        assert "\n" not in message


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_every_key_is_asked_for_when_missing_and_guessed_when_misspelt(path, tmp_path):
    if path[-1] in ("people", "seed") and len(path) == 2 and path[0] in ("synthetic", "mpii"):
        params.load(written(tmp_path, path, MISSING))  # of rendered people only
    else:
        with pytest.raises(InputError, match=path[-1]):
            params.load(written(tmp_path, path, MISSING))
    if path == ("dataset",):
        return
    name = path[-1]
    misspelt = name[:-1] if len(name) > 3 else name + name[-1]
    with pytest.raises(InputError, match=f"unknown key; did you mean {name}"):
        params.load(written(tmp_path, (*path[:-1], misspelt), 1))
