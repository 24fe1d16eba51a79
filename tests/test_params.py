"""params.yaml: what is wrong is said in one line with file, key, value and what is allowed."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from posernn import params
from posernn.errors import InputError

TEXT = Path("params.yaml").read_text()


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
        ("loss: l2", "loss: l3", r"train.loss: input should be 'l2', 'l1' or 'smooth_l1', got 'l3'"),
        ("loss: l2", "los: l2", r"train.loss: field required"),
        ("attention: false", "attention: maybe", r"model.attention: .*got 'maybe'"),
        ("arch: cnn", "arch: cnn\n  attention: true", r"baseline.attention: extra inputs are not permitted, got True"),
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
