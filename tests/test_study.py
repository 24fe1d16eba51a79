"""The study at a size of seconds: trunk -> features -> decoders -> report, and what its numbers mean."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from small_project import ROOT, copy_project, environment
from tiny_models import TINY as MODELS

from posernn import models
from posernn.data.augmentation import Augmentation
from posernn.data.batches import Crops
from posernn.evaluation import structure
from posernn.evaluation.scores import People
from posernn.models.chain import Decoding
from posernn.models.contract import Truth
from posernn.pose.skeleton import FLIP_ORDER, Joint
from posernn.runtime.errors import InputError
from posernn.study import answers, decodings, evaluation, features, measures, page, settings
from posernn.study.measures import Counts

TINY = {
    "laptop": {"trunk_iterations": 2, "end_to_end_iterations": 2, "views": 2, "iterations": 3},
    "trunks": [0, 1],
    "end_to_end": ["parallel", "transformer"],
    "seeds": [0, 1],
    "start_from": None,
    "variants": ["parallel", "transformer", "lstm_plain"],
    "evaluate": {"samples": 2, "beams": [2], "given": [1], "bootstrap_draws": 100},
}


def write_study(folder, **changes):
    """Write a study.yaml of seconds."""
    values = YAML(typ="safe", pure=True).load((ROOT / "study/study.yaml").read_text())
    (folder / "study").mkdir(exist_ok=True)
    with (folder / "study/study.yaml").open("w") as file:
        YAML().dump(values | TINY | changes, file)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("study") / "posernn", synthetic={"people": 40})
    (folder / "study").mkdir()
    (folder / "study/dvc.yaml").write_text((ROOT / "study/dvc.yaml").read_text())
    write_study(folder)
    for command in (["git", "init", "-q"], ["dvc", "repro", "crops"], ["dvc", "repro", "study/dvc.yaml"]):
        run(folder, *command)
    return folder


def run(folder, *command):
    path = f"{folder}:{sys.executable.rsplit('/', 1)[0]}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(PYTHONPATH=str(folder)) | {"PATH": f"{path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.pipeline
@pytest.mark.campaign
def test_the_study_runs_and_answers_its_questions(project):
    text = (project / "study/study.md").read_text()
    numbers = json.loads((project / "study/study.json").read_text(), parse_constant=pytest.fail)
    assert [found["question"] for found in numbers["answers"]] == ["recurrence", "hidden joints", "history"]
    assert all(text.count(f"- {found['question']}: transformer against") == 2 for found in numbers["answers"])
    assert {found["question"] for found in numbers["further answers"]} == {
        "an LSTM without feedback",
        "shuffled history",
    }
    for name in ("answer.png", "reliability.png"):
        with Image.open(project / "study" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert set(numbers["variants"]) == {"parallel", "transformer", "lstm_plain"}
    assert {
        "greedy",
        "true",
        "other",
        "beam 2",
        "marginal",
        "given 1 random",
        "given 1 random, not told",
    } <= set(numbers["variants"]["transformer"]["decodings"])
    assert set(numbers["end to end"]) == {"parallel", "transformer"}
    assert [found["question"] for found in numbers["answers end to end"]] == ["recurrence", "hidden joints", "history"]
    assert numbers["variants"]["parallel"]["clicks"]["told"] == numbers["variants"]["parallel"]["clicks"]["not told"]
    assert set(numbers["variants"]["parallel"]["bits"]) == {"bits hidden", "bits hidden, not visible"}
    assert 0 < numbers["variants"]["parallel"]["bits"]["bits hidden"] < 12
    assert "NaN" not in text.replace("nan", "NaN")


@pytest.mark.pipeline
@pytest.mark.campaign
def test_nothing_runs_again_and_one_changed_variant_trains_alone(project):
    assert "Running stage" not in run(project, "dvc", "repro", "study/dvc.yaml")
    write_study(project, transformer={"history": "truth"})
    ran = [line for line in run(project, "dvc", "repro", "study/dvc.yaml").splitlines() if "Running stage" in line]
    assert sorted(line.split("'")[1] for line in ran) == [
        "study/dvc.yaml:decoder@transformer-0",
        "study/dvc.yaml:decoder@transformer-1",
        "study/dvc.yaml:end_to_end@transformer-0",
        "study/dvc.yaml:end_to_end@transformer-1",
        "study/dvc.yaml:report",
    ]


def test_the_committed_page_is_that_of_the_committed_numbers():
    numbers = json.loads((ROOT / "study/study.json").read_text(), parse_constant=pytest.fail)
    assert page.markdown(numbers) == (ROOT / "study/study.md").read_text()


def test_the_committed_study_is_valid(tmp_path):
    study = settings.load(ROOT / "study/study.yaml")
    assert next(iter(study.variants)) == "parallel"
    for question in (study.questions | study.further_questions).values():
        assert question.variant in study.variants
    assert set(study.figures) <= set(study.variants)
    assert [study.trunk_of(seed) for seed in range(5)] == [0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds: list should have at least 1 item"),
        ({"size": "huge"}, "huge: expected a section of that name"),
        ({"variants": ["parallel", "gru"]}, "gru: expected a section of that name"),
        ({"decoders": {"lr": 1}}, "decoders.batch_size: field required"),
    ],
    ids=str,
)
def test_a_mistake_in_study_yaml_is_one_line(tmp_path, change, message):
    write_study(tmp_path, **change)
    with pytest.raises(InputError, match=message):
        settings.load(tmp_path / "study/study.yaml")


def test_people_of_one_image_are_in_the_same_half():
    images = np.repeat(np.arange(50), 3)
    first, second = features.halves(images, 0), features.halves(images, 1)
    assert first.sum() == 75
    assert (first.reshape(50, 3).std(axis=1) == 0).all()
    assert (first != second).any()


def people_of(num, side=32, seed=0):
    random = np.random.default_rng(seed)
    images = torch.from_numpy(random.integers(0, 256, (num, 3, side, side), dtype=np.uint8))
    return Crops(
        images=lambda rows: images[torch.from_numpy(rows)],
        joints_unit=torch.from_numpy(random.uniform(0.1, 0.9, (num, 16, 2)).astype(np.float32)),
        annotated=torch.ones(num, 16, dtype=torch.bool),
        crop_size=side,
    )


def test_features_are_those_of_the_crops_and_views_move_joints_with_them(tmp_path):
    arch, tiny = next(case for case in MODELS if case[0] == "chain")
    model, people = models.build(arch, tiny).eval(), people_of(5)
    features.write(tmp_path / "f", model, people, Augmentation(flip=1.0), views=2, seed=0)
    found = features.read(tmp_path / "f", 32, np.array([1, 4]))
    assert len(found) == 4
    rows = np.arange(2)
    expected = model.features(people.images(np.array([1, 4])))
    torch.testing.assert_close(found.images(rows), expected, atol=1e-2, rtol=1e-2)
    flipped = model.features(people.images(np.array([1, 4])).flip(-1))
    torch.testing.assert_close(found.images(rows + 2), flipped, atol=1e-2, rtol=1e-2)
    mirrored = people.joints_unit[[1, 4]][:, list(FLIP_ORDER)]
    torch.testing.assert_close(found.joints_unit[2:, :, 1], mirrored[..., 1])
    torch.testing.assert_close(found.joints_unit[2:, :, 0], 31 / 32 - mirrored[..., 0])


def test_no_features_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected features, got No such file"):
        features.read(tmp_path, 32)


def decoding_of(**changes):
    torch.manual_seed(0)
    tiny = next(settings for arch, settings in MODELS if arch == "chain")
    return Decoding(tiny.model_copy(update=changes)).eval()


def judged(joints):
    """Return people whose crop is their image, with heads of 10 px."""
    num = len(joints)
    return People(
        joints_crop=joints.astype(np.float32),
        joints_image=joints.astype(np.float32),
        annotated=np.ones((num, 16), dtype=bool),
        head_size=np.full(num, 10.0),
        crop_to_image=np.tile(np.eye(2, 3), (num, 1, 1)),
    )


def features_of(num, seed=0):
    people, channels = people_of(num, seed=seed), next(s for arch, s in MODELS if arch == "chain").channels
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(num, channels, 8, 8)).astype(np.float32))
    return Crops(
        images=lambda rows: values[torch.from_numpy(rows)],
        joints_unit=people.joints_unit,
        annotated=people.annotated,
        crop_size=32,
    )


def test_bits_of_a_uniform_map_are_the_logarithm_of_its_cells():
    decoding = decoding_of(feedback="none", decoder="parallel", history="truth")
    for layer in (decoding.decoder.query, decoding.decoder.outside):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    found = evaluation.bits(decoding, features_of(6), features_of(4, seed=1), seed=0)
    np.testing.assert_allclose(found["hidden"], math.log2(65), rtol=1e-5)
    assert set(found) == {"hidden"}


def test_the_temperature_of_logits_that_are_twice_too_large_is_two():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn((200, 16, 65), generator=random)
    cell = torch.distributions.Categorical(logits=logits[..., :-1])
    torch.manual_seed(0)
    drawn = cell.sample()
    places = torch.stack([drawn % 8, drawn // 8], dim=2)
    truth = Truth((places + 0.5) / 8 - 0.5 / 32, torch.ones(200, 16, dtype=torch.bool))
    assert evaluation.fit_temperature(iter([(logits, truth)]), 32) == pytest.approx(1.0, rel=0.1)
    assert evaluation.fit_temperature(iter([(2 * logits, truth)]), 32) == pytest.approx(2.0, rel=0.1)


def test_all_decodings_give_poses_and_given_joints_are_left_out():
    people = features_of(5)
    found = decodings.poses(decoding_of(), people, beams=[2], samples=3, given=[2], seed=0)
    assert set(found) == {
        *("greedy", "mode", "hidden", "true", "other", "beam 2", "marginal", "given 2 random", "given 2 uncertain")
    }
    for name, pose in found.items():
        assert pose.shape == (5, 16, 2)
        assert decodings.is_given(pose, people).sum() == (10 if name.startswith("given") else 0)


def test_clicks_end_where_nine_tenths_are_right():
    truth = np.zeros((2, 16, 2))
    judges = measures.Judges(judged(truth), np.zeros((2, 16), dtype=bool), np.ones((4, 14)))
    free = truth.copy()
    free[0, :3] = 100.0  # three of fourteen are wrong: two clicks are needed for nine tenths
    given = np.zeros((3, 2, 16), dtype=bool)
    for num in range(3):
        given[num, :, : num + 1] = True
    told = np.repeat(free[None], 3, axis=0)
    told[0] = truth  # the first click puts all others right
    found = measures.of_clicks(free, told, given, judges)
    assert found["not told"].part.tolist() == [2, 0]
    assert found["told"].part.tolist() == [1, 0]
    free[1] = 100.0
    assert measures.of_clicks(free, told, given, judges)["not told"].part.tolist() == [2, 4]


def test_scores_are_ratios_over_people_and_seeds_are_averaged():
    one, other = Counts(np.array([1.0, 0, 1, 1]), np.ones(4)), Counts(np.array([0.0, 0, 1, 0]), np.ones(4))
    assert one.value == 75
    assert measures.averaged([one, other]).value == 50
    difference = measures.over_people([one, one], [other, other], draws=500)
    assert difference.value == 50
    assert difference.low < 50 < difference.high
    assert measures.over_seeds([one, other], [other, other]).value == 25
    assert math.isnan(measures.over_seeds([one], [other]).low)


def run_with(value):
    """A run whose score and bits are `value` for each of two people."""
    counts = Counts(np.full(2, float(value)), np.ones(2), 1.0)
    scores = dict.fromkeys(page.SCORES, counts)
    return answers.Run({"greedy": scores}, {"bits hidden": counts, "bits true": counts}, {}, np.zeros((10, 3)))


def test_variants_are_compared_over_the_seeds_that_both_have():
    runs = {"parallel": [run_with(1), run_with(2), run_with(6)], "chain": [run_with(3), run_with(5)]}
    question = settings.Question(variant="chain", reference="parallel", score="pckh")
    found = answers.answer("q", question, runs, 100)
    assert found.people.value == found.seeds.value == 2.5
    assert answers.differences(runs, 100)["chain"]["pckh"].value == 2.5
    question = settings.Question(variant="chain", reference="hidden", score="bits true")
    assert answers.answer("q", question, runs, 100).people.value == 0
    assert answers.answer("q", question, {"parallel": runs["parallel"]}, 100) is None


@pytest.mark.parametrize(
    ("low", "high", "score", "says"),
    [
        (1, 3, "all right", "better"),
        (-3, -1, "all right", "worse"),
        (-3, -1, "bits true", "better"),
        (-1, 1, "pcp", "no significant difference"),
    ],
)
def test_a_verdict_needs_both_intervals_on_one_side(low, high, score, says):
    both = measures.Difference((low + high) / 2, low, high)
    assert answers.Answer("q", "a", "b", score, both, both).says == says
    doubtful = measures.Difference(0.0, -1.0, 1.0)
    assert answers.Answer("q", "a", "b", score, both, doubtful).says == "no significant difference"
    one_seed = measures.Difference(0.0, math.nan, math.nan)
    assert answers.Answer("q", "a", "b", score, both, one_seed).says == says


def test_structure_of_poses():
    truth = np.random.default_rng(0).uniform(0, 100, (2, 16, 2))
    errors = np.zeros((2, 16))
    errors[1, Joint.LEFT_WRIST] = 0.6
    errors[1, Joint.THORAX] = 9.0  # is not scored
    assert structure.all_right(errors).tolist() == [1, 0]
    assert np.isnan(structure.all_right(np.full((1, 16), np.nan))).all()
    annotated = np.ones((2, 16), dtype=bool)
    assert structure.limbs_right(truth, truth, annotated).all()
    moved = truth.copy()
    moved[:, Joint.RIGHT_ANKLE] += 1000
    num_right = [structure.limbs_right(pose, truth, annotated).sum() for pose in (truth, moved)]
    assert num_right[1] == num_right[0] - 2
    far, near = np.full((1, 16), 2.0), np.zeros((1, 16))
    assert structure.swapped(far, near).all()
    assert not structure.swapped(near, near).any()
    assert not structure.swapped(far, far).any()
    lengths = structure.limb_lengths(truth, np.ones(2))
    assert not structure.impossible(truth, np.ones(2), np.concatenate([lengths * 0.5, lengths * 2])).any()
    assert structure.impossible(1000 * truth, np.ones(2), lengths).all()
