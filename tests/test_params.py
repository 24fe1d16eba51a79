"""params.yaml: what is wrong is said in one line with file, key, value and what is allowed."""

import copy
import subprocess

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML
from small_project import ROOT, parameters

from posernn import params
from posernn.runtime.errors import InputError

NAN, INF, MISSING = float("nan"), float("inf"), object()
PARAMETERS = parameters() | {"chained": {"arch": "chain"}}  # an entry of a user: its architecture is read, too


def written(folder, path, value):
    """Write params.yaml with one value changed, or without it; return its path."""
    values = copy.deepcopy(PARAMETERS)
    section = values
    for part in path[:-1]:
        section = section[part]
    if value is MISSING:
        del section[path[-1]]
    else:
        section[path[-1]] = value
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(values, file)
    return folder / "params.yaml"


def read(path):
    """Read all of params.yaml: the sections of the stages, and the settings of the models."""
    settings = params.load(path)
    for entry in settings.entries:
        settings.entry(entry)
    return settings


def test_parameters_of_the_tests_do_not_depend_on_what_a_user_changed(tmp_path):
    values = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    values["dataset"] = "mpii"
    values["mpii"]["crop_size"] = 96
    values["train"] |= {"lr": 0.5, "device": "cuda", "processes": 4}
    values["baseline"] = {"arch": "lstm", "attention": True, "layers": 3}
    values["model"] |= {"attention": True, "hidden_size": 8}
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(values, file)
    assert parameters(tmp_path / "params.yaml") == parameters()


def test_the_committed_parameters_are_the_papers():
    shown = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=ROOT, capture_output=True, text=True, check=False)
    if shown.returncode != 0 or not (ROOT / ".git").exists():
        pytest.skip("needs the project's Git history")
    committed = YAML(typ="safe", pure=True).load(shown.stdout)
    papers = {"crop_size": 224, "trunk_width": 1.0, "iterations": 10_000, "halve_lr_every": 1_000}
    assert papers.items() <= committed["mpii"].items()
    assert {"batch_size": 25, "optimizer": "adam", "lr": 0.001}.items() <= committed["train"].items()
    assert (committed["baseline"]["arch"], committed["model"]["arch"]) == ("cnn", "lstm")


@pytest.mark.parametrize("dataset", ["synthetic", "mpii"])
def test_dataset_chooses_its_section(dataset, tmp_path):
    path = written(tmp_path, ("dataset",), dataset)
    values = YAML(typ="safe", pure=True).load(path.read_text())
    values[dataset]["iterations"] = 7
    with path.open("w") as file:
        YAML().dump(values, file)
    assert read(path).data.iterations == 7


def test_a_small_number_may_be_written_as_1e_minus_5(tmp_path):
    path = written(tmp_path, ("train", "lr"), 12345)
    path.write_text(path.read_text().replace("lr: 12345", "lr: 1e-5"))
    assert read(path).train.lr == 1e-5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dataset", "coco", "dataset: expected a section of that name, got 'coco'; there are: mpii, synth"),
        ("train.lr", "fast", r"train.lr: input should be a valid number, got 'fast'"),
        ("train.lr", 0, r"train.lr: input should be greater than 0, got 0"),
        ("train.lr", MISSING, r"train.lr: field required"),
        ("train.batch_size", 1, r"train.batch_size: input should be greater than or equal to 2, got 1"),
        ("train.optimizer", "adan", r"train.optimizer: input should be 'adam', 'adamw' or 'sgd', got 'adan'"),
        ("train.optimiser", "adam", r"train.optimiser: unknown key; did you mean optimizer\?"),
        ("train.zzz", 1, r"train.zzz: unknown key; expected one of batch_size, optim"),
        ("heatmap.train", 3, r"heatmap.train: expected settings of `train`, got 3"),
        ("heatmap.train.augment", None, r"heatmap.train: expected settings of `train`, got"),
        ("heatmap.train.device", "gpu", r"heatmap.train.device: input should be 'auto', 'cuda'.*got 'gpu'"),
        ("model.train", {"lr": -1}, r"model.train.lr: input should be greater than 0, got -1"),
        ("model.train", {"augment": {"flop": 1}}, r"model.train.augment.flop: unknown key; did you mean flip\?"),
        ("model.train", {"learning_rate": 1}, r"model.train.learning_rate: unknown key; expected one of batch_size"),
        ("model.attention", "maybe", r"model.attention: .*got 'maybe'"),
        ("baseline.attention", True, r"baseline.attention: unknown key; it belongs to arch: chain or lstm"),
        ("chain.decoder", "parallel", r"chain: decoder parallel has no feedback: expected .* none, got coordinates"),
        ("mpii.crop_size", 100, r"mpii.crop_size: input should be a multiple of 32, got 100"),
        ("parse.hold_out", 1.5, r"parse.hold_out: input should be less than 1, got 1.5"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_key(key, value, message, tmp_path):
    path = written(tmp_path, key.split("."), value)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["my data", "v1.2", "data/own", ""])
def test_a_data_set_whose_name_cannot_be_a_folder_and_a_key_is_refused(name, tmp_path):
    path = written(tmp_path, (name,), PARAMETERS["mpii"])
    path.write_text(path.read_text().replace("dataset: synthetic", f"dataset: '{name}'"))
    with pytest.raises(InputError, match="dataset: expected a name of letters, digits, _ and -, got"):
        read(path)


def test_a_misspelt_section_is_guessed(tmp_path):
    path = written(tmp_path, ("train",), MISSING)
    path.write_text(path.read_text() + "trian: {}\n")
    with pytest.raises(InputError, match=r"trian: unknown section; did you mean train\?"):
        read(path)


def test_no_file_and_no_yaml_are_one_line(tmp_path):
    with pytest.raises(InputError, match="expected the parameters, got No such file"):
        read(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("dataset: [")
    with pytest.raises(InputError, match=r"expected YAML, got .*line 1") as caught:
        read(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)
    (tmp_path / "params.yaml").write_text("just words")
    with pytest.raises(InputError, match="expected `dataset:` and sections"):
        read(tmp_path / "params.yaml")


def test_parameters_cannot_be_changed_after_reading(tmp_path):
    with pytest.raises(ValidationError, match="frozen"):
        read(written(tmp_path, ("train", "lr"), 0.1)).train.lr = 1.0


def test_train_of_an_entry_overrides_the_architectures_which_overrides_that_of_all(tmp_path):
    values = copy.deepcopy(PARAMETERS)
    values["train"] |= {"lr": 0.1, "ema": 0.1, "batch_size": 3}
    values["train"]["augment"] |= {"flip": 0.1, "erase": 0.1, "shift": 0.1}
    values["heatmap"]["train"] = {"ema": 0.2, "batch_size": 4, "augment": {"flip": 0.2, "erase": 0.2}}
    values["pretrained"]["train"] = {"batch_size": 5, "iterations": 77, "augment": {"erase": 0.3}}
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(values, file)
    settings = params.load(tmp_path / "params.yaml")
    training = settings.entry("pretrained").training
    assert (training.lr, training.ema, training.batch_size, training.iterations) == (0.1, 0.2, 5, 77)
    assert (training.augment.shift, training.augment.flip, training.augment.erase) == (0.1, 0.2, 0.3)
    other = settings.entry("baseline").training
    assert (other.ema, other.batch_size, other.augment.erase) == (0.1, 3, 0.1)
    assert other.iterations == PARAMETERS["synthetic"]["iterations"]


def test_an_architecture_may_have_iterations_of_its_own_on_a_data_set(tmp_path):
    settings = params.load(written(tmp_path, ("synthetic", "iterations_of"), {"heatmap": 7}))
    assert settings.entry("pretrained").training.iterations == 7
    assert settings.entry("baseline").training.iterations == PARAMETERS["synthetic"]["iterations"]
    with pytest.raises(InputError, match=r"synthetic.iterations_of: expected names among chain, .*, got 'vgg'"):
        params.load(written(tmp_path, ("synthetic", "iterations_of"), {"vgg": 7}))


# For each key values of the wrong type and values out of range.
WRONG = {
    "dataset": ["coco", 7, None, []],
    "people": ["many", 0, -1, 1.5, True],
    "crop_size": ["64", 0, 33, -32, 64.0, True],
    "trunk_width": ["wide", 0, -1, 5, NAN, INF],
    "iterations": ["1000", 0, 1.5],
    "iterations_of": [3, {"heatmap": 0}, {"vgg": 3}],
    "processes": ["all", 0, -1, 1.5, True],
    "halve_lr_every": [0, "never", 2.5],
    "val_list": [7, ["a.csv"]],
    "hold_out": [0, 1, -0.1, "some", NAN],
    "seed": [-1, 2**32, 0.5, "0"],
    "picture_width": [63, 8193, 512.0, "wide"],
    "box": ["head", 1],
    "padding": [-1, "20", INF, NAN],
    "keep_aspect": ["yes please", 2, 1],
    "jpeg_quality": [0, 96, 92.5],
    "start_from": [1, ["a"]],
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
    "shift": [-0.1, 1.1, NAN],
    "half_body": [-0.1, 1.1, "often"],
    "erase": [-0.1, 1.1, NAN],
    "margin": [-0.1, 1.1, NAN, "wide"],
    "trunk_lr": [0, 1.1, NAN],
    "weight_decay": [-1, INF, "some"],
    "schedule": ["steps", 3],
    "warmup": [-0.1, 1, "long"],
    "ema": [-0.1, 1, NAN],
    "clip_grad": [0, -1, "yes"],
    "trunk": [18, None],
    "weights": [1, None],
    "frozen_stride": [2, -4, "4"],
    "frozen_norm": ["maybe", 3],
    "channels": [0, 1.5, "96"],
    "readout": ["maps", 1],
    "sigma": [-1, 17, NAN],
    "decode": ["best", 0],
    "flip_test": ["maybe", 3],
    "decoder": ["gru", 1],
    "feedback": ["all", True],
    "locator": ["maybe", 3],
    "width": [0, 30, "128"],
    "random_order": ["maybe", 3],
    "history": ["others", 0],
    "jitter": [-1, 17, NAN],
    "arch": ["vgg", 1, None],
    "attention": ["maybe", 3],
    "joint_embedding": ["maybe", 3],
    "layers": [0, 9, 1.5],
    "hidden_size": [0, -128, "128"],
    "joint_order": ["easy", 1],
    "bootstrap_draws": [99, "10000"],
    "pictures": [-1, 1.5],
}


def leaves(section, path=()):
    for key, value in section.items():
        yield from leaves(value, (*path, key)) if isinstance(value, dict) and value else [(*path, key)]


KEYS = [path for path in leaves(PARAMETERS) if path[0] != "chained"]


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_every_key_refuses_what_it_cannot_mean(path, tmp_path):
    for value in WRONG[path[-1]]:
        with pytest.raises(InputError) as caught:
            read(written(tmp_path, path, value))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'params.yaml'}: {path[0]}"), message
        assert path[-1] in message
        assert "\n" not in message


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_every_key_is_asked_for_when_missing_and_guessed_when_misspelt(path, tmp_path):
    if path in [("synthetic", "people"), ("synthetic", "seed"), ("synthetic", "picture_width")]:
        read(written(tmp_path, path, MISSING))  # data sets that are not rendered have none
    elif path in [("synthetic", "iterations_of"), ("lstm", "joint_embedding")]:
        read(written(tmp_path, path, MISSING))  # none is the default
    elif path[:2] in [("heatmap", "train"), ("chain", "train")]:
        read(written(tmp_path, path, MISSING))  # it is as in the section train
    elif path == ("model", "attention") and "lstm" in PARAMETERS:
        read(written(tmp_path, path, MISSING))  # the architecture's section has it
    else:
        with pytest.raises(InputError, match=path[-1]):
            read(written(tmp_path, path, MISSING))
    if path == ("dataset",):
        return
    name = path[-1]
    if name == "arch":  # a section without it is no entry
        return
    misspelt = name[:-1] if len(name) > 3 and name != "decoder" else name + name[-1]  # decode is another key
    with pytest.raises(InputError, match=f"unknown key; did you mean {name}"):
        read(written(tmp_path, (*path[:-1], misspelt), 1))


def test_recorded_parameters_have_their_names_in_the_file_and_are_those_of_the_entry(tmp_path):
    path = written(tmp_path, ("model",), {"arch": "lstm", "attention": True, "train": {"lr": 0.5}})
    found = params.recorded("model", path)
    wanted = {"dataset": "synthetic", "model.arch": "lstm", "model.attention": True, "model.train.lr": 0.5}
    wanted |= {"lstm.layers": 2, "train.lr": 0.001, "train.augment.flip": 0.0, "crops.box": "joints", "parse.seed": 0}
    assert wanted.items() <= found.items()
    assert found["synthetic.val_list"] is None
    assert {name.split(".")[0] for name in found} == {
        *("dataset", "synthetic", "parse", "crops", "train", "lstm", "model")
    }
