import json
from dataclasses import replace

import numpy as np
import pytest

from posernn.evaluation import comparison, scores
from posernn.evaluation.metrics import Difference
from posernn.evaluation.scores import People
from posernn.report import page, tables

SETTING = page.Setting(dataset="synthetic", box="joints", padding=20.0, keep_aspect=False, crop_size=64, num_train=2550)

LSTM = {"arch": "lstm", "layers": 1, "joint_order": "easy_first", "crop_size": 64}


def some_people(num: int = 40, seed: int = 0) -> People:
    rng = np.random.default_rng(seed)
    joints_crop = rng.uniform(0, 64, (num, 16, 2)).astype(np.float32)
    annotated = rng.random((num, 16)) > 0.1
    joints_crop[~annotated] = np.nan
    affine = np.zeros((num, 2, 3))
    affine[:, 0, 0], affine[:, 1, 1] = rng.uniform(1, 3, (2, num))
    affine[:, :, 2] = rng.uniform(-50, 300, (num, 2))
    blank = People(
        joints_crop=joints_crop,
        joints_image=joints_crop,
        annotated=annotated,
        head_size=np.full(num, 30.0, dtype=np.float32),
        crop_to_image=affine,
    )
    return replace(blank, joints_image=blank.to_image(joints_crop).astype(np.float32))


@pytest.fixture(scope="module")
def found() -> comparison.Comparison:
    people = some_people()
    rng = np.random.default_rng(1)
    known = np.nan_to_num(people.joints_crop, nan=32.0)
    predictions = {
        "mean_pose": np.full_like(known, -40.0),  # far off: the median is the better one here
        "median_pose": np.full_like(known, 32.0),
        "baseline": (known + rng.normal(0, 5, known.shape)).astype(np.float32),
        "model": (known + rng.normal(0, 12, known.shape)).astype(np.float32),
        "third": (known + rng.normal(0, 4, known.shape)).astype(np.float32),
    }
    predictions["model"][0, 0] = np.nan
    models = {"baseline": {"arch": "cnn"}, "model": LSTM | {"attention": True}, "third": LSTM | {"attention": False}}
    return comparison.compare(predictions, people, models, draws=500, seed=0)


def test_scores_are_in_percent_and_px_and_count_what_is_left_out():
    people = some_people()
    people.head_size[:3] = np.nan
    perfect = scores.score(people.joints_crop, people)
    assert perfect["pckh_total"] == perfect["pckh_head"] == perfect["pckh10_total"] == 100.0
    assert perfect["rmse_crop"] == 0.0
    assert perfect["num_people_not_scored"] == 3
    assert perfect["num_people"] == 40
    pred = np.nan_to_num(people.joints_crop) + np.array([3.0, 4.0], dtype=np.float32)
    assert scores.score(pred, people)["rmse_crop"] == pytest.approx(5.0, rel=1e-5)
    steps = people.crop_to_image[:, [0, 1], [0, 1]] * [3.0, 4.0]  # (N, 2): the same offset in each image
    squares = np.repeat((steps**2).sum(axis=1), people.annotated.sum(axis=1))
    assert scores.score(pred, people)["rmse_image"] == pytest.approx(np.sqrt(squares.mean()), rel=1e-5)
    pred[5, 2] = np.nan
    assert scores.score(pred, people)["num_joints_not_finite"] == people.annotated[5, 2]


def test_the_prediction_for_the_crop_of_another_person_is_placed_in_the_persons_own_box():
    people = some_people()
    everybody_alike = np.full_like(people.joints_crop, 32.0)
    for pred in (everybody_alike, np.nan_to_num(people.joints_crop)):
        own, other = scores.score(pred, people), scores.diagnose(pred, people, seed=0)
        if pred is everybody_alike:  # a constant pose does not depend on the crop
            assert other["pckh_total_other_crop"] == own["pckh_total"]
            assert other["spread_ratio"] == 0.0
        else:
            assert other["pckh_total_other_crop"] < own["pckh_total"] / 2
            assert other["spread_ratio"] == pytest.approx(1.0)


def test_the_sample_is_random_repeatable_and_of_scored_people_alone():
    people = some_people()
    people.head_size[:30] = np.nan
    who = scores.sample(people, 6, seed=0)
    assert len(set(who.tolist())) == 6
    assert who.min() >= 30
    assert who.tolist() == scores.sample(people, 6, seed=0).tolist()
    assert len(scores.sample(people, 99, seed=0)) == 10
    assert len(scores.sample(people, 0, seed=0)) == 0


def test_joint_rows_stand_in_decode_order_and_have_no_step_where_all_come_at_once():
    people = some_people()
    rows = scores.per_joint(people.joints_crop, people, "easy_first")
    assert [rows[0]["joint"], rows[0]["step"], rows[15]["joint"], rows[15]["step"]] == [
        "upper neck",
        1,
        "left ankle",
        16,
    ]
    at_once = scores.per_joint(people.joints_crop, people, None)
    assert at_once[0]["joint"] == "right ankle"
    assert {row["step"] for row in at_once} == {None}


def test_the_better_constant_is_the_one_with_more_of_total(found):
    totals = {role: found.scores[role]["pckh_total"] for role in comparison.CONSTANTS}
    assert totals["median_pose"] > totals["mean_pose"]
    assert found.better_constant == "median_pose"
    other = found.scores["baseline"]["pckh_total"] - totals[found.better_constant]
    assert found.differences["baseline", found.better_constant].value == pytest.approx(other)


def test_all_entries_are_held_against_the_constant_pose_and_the_others_against_the_first(found):
    constant = [(entry, "median_pose") for entry in ("baseline", "model", "third")]
    assert list(found.differences) == [*constant, ("model", "baseline"), ("third", "baseline")]
    totals = {entry: found.scores[entry]["pckh_total"] for entry in found.entries}
    for entry in ("model", "third"):
        difference = found.differences[entry, "baseline"]
        assert difference.value == pytest.approx(totals[entry] - totals["baseline"])
        assert difference.low < difference.value < difference.high
    assert found.differences["model", "baseline"].high < 0 < found.differences["third", "baseline"].low


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Difference(12.3, 10.0, 15.0), "cnn is better than median pose: +12.3 [+10.0, +15.0]"),
        (Difference(-2.0, -3.0, -1.0), "cnn is worse than median pose: -2.0 [-3.0, -1.0]"),
        (Difference(50.0, 50.0, 50.0), "cnn against median pose: +50.0, from too few people for an interval"),
        (Difference(0.0, 0.0, 0.0), "no significant difference between cnn and median pose: +0.0 [+0.0, +0.0]"),
        (Difference(2.0, -1.0, 5.0), "no significant difference between cnn and median pose: +2.0 [-1.0, +5.0]"),
    ],
)
def test_the_verdict_says_no_more_than_the_interval_does(found, difference, said):
    assert replace(found, differences={("baseline", "median_pose"): difference}).verdict() == [said]


def test_a_label_is_the_architecture_and_whether_it_has_attention():
    assert comparison.label({"arch": "cnn", "crop_size": 64}) == "cnn"
    assert comparison.label({"arch": "lstm", "attention": False}) == "lstm"
    assert comparison.label({"arch": "lstm", "attention": True}) == "lstm with attention"
    assert comparison.label({"arch": "heatmap", "flip_test": True}) == "heatmap"


def test_entries_with_the_same_label_are_told_apart_by_their_names():
    models = {"baseline": LSTM, "model": LSTM | {"layers": 4}, "third": LSTM | {"attention": True}}
    expected = {"baseline": "lstm (baseline)", "model": "lstm (model)", "third": "lstm with attention"}
    assert comparison.labels(models) == expected


def test_the_report_has_the_papers_columns_all_rows_and_what_differs(found):
    text = page.markdown(found, SETTING, ["pckh_over_threshold"])
    header = next(line for line in text.splitlines() if line.startswith("|"))
    columns = ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Total"]
    assert [cell.strip() for cell in header.split("|")][2:10] == columns
    first_cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    for name in ("mean pose", "median pose", "cnn", "lstm with attention", "lstm", *tables.PUBLISHED):
        assert name in first_cells
    assert "Data set `synthetic`: 2,550 training people, 40 held out." in text
    assert "Box `joints` + 20 px (around the labelled joints: uses the ground truth, at test time too)" in text
    assert page.PUBLISHED_NOTE in text
    assert all(phrase in text for phrase in found.verdict())
    assert "| 1. upper neck " in text
    assert "| inf |" in text.replace("  ", "")  # the RMSE of a model with a prediction that is not finite
    assert "![pckh over threshold](figures/pckh_over_threshold.png)" in text


def test_published_rows_are_the_papers():
    assert tables.PUBLISHED["the paper's CNN"] == (52.0, 40.6, 22.5, 16.8, 31.7, 21.2, 16.0, 32.8)
    assert tables.PUBLISHED["the paper's LSTM"] == (39.2, 25.2, 12.2, 9.7, 18.7, 16.6, 7.5, 21.5)
    totals = {name: row[-1] for name, row in tables.PUBLISHED.items()}
    assert [totals[name] for name in ("IEF", "DeepCut", "Pose Machines", "Stacked Hourglass")] == [
        81.3,
        82.4,
        87.9,
        89.4,
    ]


def test_a_report_without_decode_steps_says_so(found):
    text = page.markdown(replace(found, joint_order=None), SETTING)
    assert "all models predict all joints at once" in text


def test_the_terminal_table_is_aligned(found):
    lines = page.for_terminal(found, SETTING).splitlines()
    table = lines[3:9]
    ends = {line.rstrip()[: table[0].index("Total") + 5][-1] for line in table[1:]}
    assert all(end.isdigit() for end in ends)
    assert lines[-5:] == [f"- {phrase}" for phrase in found.verdict()]


def test_a_setting_with_the_person_box_does_not_speak_of_padding():
    sentence = SETTING._replace(box="person").sentence(10)
    assert "Box `person` (from MPII's centre and scale" in sentence
    assert "px (" not in sentence


def test_details_are_json_without_nan(found):
    values = page.details(found, SETTING)
    text = json.dumps(values, allow_nan=False)
    assert values["scores"]["model"]["rmse_crop"] is None  # one prediction is not finite
    assert json.loads(text) == values
