"""Where nobody has a head box, all scores are PCK@0.2 of the torso and are called so; none is NaN."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from test_cli import run
from test_report import LSTM, SETTING, some_people

from posernn.data import schemas
from posernn.evaluation import comparison, metrics, results, scores
from posernn.evaluation.measure import PCKH, TORSO_PCK
from posernn.pose.geometry import torso_size
from posernn.pose.skeleton import Joint
from posernn.report import html, page
from posernn.report.figures import draw_comparison
from posernn.runtime import files
from posernn.runtime.errors import InputError


def people_without_head_boxes(num=30):
    """People as COCO has them: neither a head box nor the joints of the head."""
    people = some_people(num)
    people.annotated[:, [Joint.UPPER_NECK, Joint.HEAD_TOP]] = False
    people.annotated[:, [Joint.PELVIS, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER]] = True
    joints_crop = np.where(people.annotated[..., None], np.nan_to_num(people.joints_crop, nan=30.0), np.nan)
    people = replace(people, joints_crop=joints_crop.astype(np.float32), head_size=np.full(num, np.nan))
    return replace(people, joints_image=people.to_image(joints_crop).astype(np.float32))


@pytest.fixture(scope="module")
def compared():
    people = people_without_head_boxes()
    known = np.nan_to_num(people.joints_crop, nan=32.0)
    rng = np.random.default_rng(1)
    predictions = {
        "mean_pose": np.full_like(known, -40.0),
        "median_pose": np.full_like(known, 32.0),
        "baseline": (known + rng.normal(0, 1, known.shape)).astype(np.float32),
        "model": (known + rng.normal(0, 9, known.shape)).astype(np.float32),
    }
    models = {"baseline": {"arch": "cnn"}, "model": LSTM}
    return people, predictions, comparison.compare(predictions, people, models, draws=200, seed=0)


def test_the_torso_reaches_from_the_neck_or_the_shoulders_to_the_pelvis_or_the_hips():
    joints = np.zeros((5, 16, 2))
    annotated = np.zeros((5, 16), dtype=bool)
    joints[:, Joint.PELVIS] = (3, 40)
    joints[:, [Joint.RIGHT_HIP, Joint.LEFT_HIP]] = [(0, 30), (6, 30)]
    joints[:, [Joint.RIGHT_SHOULDER, Joint.LEFT_SHOULDER]] = [(0, 10), (6, 10)]
    neck, hips, shoulders = [Joint.UPPER_NECK], [Joint.RIGHT_HIP, Joint.LEFT_HIP], [12, 13]
    for row, known in enumerate([[*neck, 6], [*shoulders, 6], [*shoulders, *hips], [*shoulders], [12, 6]]):
        annotated[row, known] = True
    expected = [np.hypot(3, 40), 30, 20, np.nan, np.nan]
    np.testing.assert_allclose(torso_size(joints, annotated), expected)


def test_one_head_box_is_enough_for_pckh():
    people = people_without_head_boxes()
    assert people.measure == TORSO_PCK
    people.head_size[3] = 20.0
    assert people.measure == PCKH
    assert metrics.num_without_score(people.errors(people.joints_crop)) == len(people) - 1


def test_a_joint_is_correct_within_a_fifth_of_the_torso():
    people = people_without_head_boxes()
    np.testing.assert_array_equal(people.size, torso_size(people.joints_image, people.annotated))
    torso = people.size[:, None, None] * [[[1.0, 0.0]]]
    for share, percent in ((0.199, 100.0), (0.201, 0.0)):
        pred_image = people.joints_image + share * torso
        errors = metrics.normalized_errors(pred_image, people.joints_image, people.annotated, people.size)
        assert 100 * metrics.pckh_total(errors, TORSO_PCK.threshold) == percent
    found = scores.score(people.joints_crop, people)
    assert found["torso_pck_total"] == found["torso_pck10_total"] == 100.0
    assert not [name for name in found if "pckh" in name]
    assert "torso_pck_head" not in found, "nobody has a joint of the head"


def test_the_report_says_so_first_and_never_pckh_or_nan(compared):
    _, _, found = compared
    text = page.markdown(found, SETTING)
    headline, rest = text.split("\n\n", 2)[1:]
    assert headline.startswith("**PCKh: nobody can be scored, because no held-out person has a head box.")
    assert "In points of Total torso PCK@0.2," in rest
    assert "torso PCK@0.2 in percent; Total also @0.1, and as the area under its curve (AUC) from 0 to 0.2" in rest
    assert "Median error in torso sizes, and torso PCK@0.2" in rest
    assert page.for_terminal(found, SETTING).startswith("PCKh: nobody can be scored")
    for shown in (rest, page.for_terminal(found, SETTING).split("\n", 1)[1]):
        for word in ("PCKh", "nan", "None", "head size", "Stacked Hourglass"):
            assert word not in shown
    assert next(phrase.split(":")[0] for phrase in found.verdict()) == "cnn is better than median pose"


def test_the_page_says_so_first_and_never_pckh(compared, tmp_path):
    people, predictions, found = compared
    history = {name: np.array([1.0, 2.0]) for name in results.HISTORY}
    entries = {
        name: html.Entry(pred_crop=predictions[name], confidence=None, history=history, maps=None, parameters={})
        for name in ("baseline", "model")
    }
    held_out = html.HeldOut(people, [f"{row}.jpg" for row in range(len(people))], None, None, 64, [])
    html.write(tmp_path / "index.html", found, SETTING, held_out, entries, {})
    text = (tmp_path / "index.html").read_text()
    assert f"<h2>Verdict</h2>\n<p><strong>{page.NO_HEAD_BOX}</strong></p>" in text
    assert "torso PCK@0.2, percent" in text
    assert "Total torso PCK over the threshold" in text
    rest = text.replace(page.NO_HEAD_BOX, "")
    for word in ("PCKh", "head size", "Stacked Hourglass", "Published rows"):
        assert word not in rest


def test_metrics_are_named_and_are_all_numbers(compared):
    _, _, found = compared
    for entry in ("baseline", "model"):
        values = page.metrics(found, entry)
        assert {"torso PCK Total", "torso PCK @0.1", "torso PCK AUC"} <= values.keys()
        assert not {"Total", "torso PCK Head"} & values.keys()
        assert None not in values.values()
    assert "null" not in json.dumps(page.details(found, SETTING)["differences"])


def test_files_of_an_entry_are_named_and_have_no_null(compared, tmp_path):
    people, predictions, _ = compared
    index = pa.array(range(len(people)), pa.int32())
    image = pa.array([{"bytes": b"", "path": "a.jpg"}] * len(people), schemas.CROPS.field("image").type)
    crops = pa.table({"image": image, "image_index": index, "person_index": index})
    results.write_scores(tmp_path, crops, people, predictions["baseline"], joint_order=None, seed=0)
    written = (tmp_path / "metrics.json").read_text()
    assert "torso_pck_total" in written
    assert "pckh" not in written
    assert "null" not in written
    assert (tmp_path / "per_joint.csv").read_text().split("\n")[0].split(",")[3] == "torso_pck"
    assert (tmp_path / "curve.csv").read_text().split()[-1].startswith("0.20,")


def test_figures_name_the_score(compared):
    people, predictions, found = compared
    history = {name: np.array([1.0, 2.0]) for name in results.HISTORY}
    figures = draw_comparison(
        found,
        people,
        predictions,
        [],
        np.arange(0),
        dict.fromkeys(found.entries, history),
        dict.fromkeys(("model",)),
    )
    assert "torso_pck_over_threshold" in figures
    axes = figures["torso_pck_over_threshold"].axes[0]
    assert (axes.get_title(loc="left"), axes.get_xlabel()) == (
        "Total torso PCK: joints within the threshold, percent",
        "threshold (torso sizes)",
    )
    axes = figures["joint_errors"].axes[0]
    assert axes.get_xlabel() == "median error (torso sizes)"
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.2, 0.2]], "the line of correct joints"


def test_where_nobody_has_a_torso_either_it_is_one_line():
    people = people_without_head_boxes(4)
    people.annotated[:, Joint.RIGHT_SHOULDER] = False
    joints = {
        name: schemas.from_numpy(getattr(people, name), schemas.JOINTS) for name in ("joints_crop", "joints_image")
    }
    crops = pa.table(
        joints
        | {
            "annotated": schemas.from_numpy(people.annotated, schemas.FLAGS),
            "head_size": pa.nulls(4, pa.float32()),
            "crop_to_image": schemas.from_numpy(people.crop_to_image.reshape(-1, 6), pa.list_(pa.float64(), 6)),
        }
    )
    with pytest.raises(InputError, match=r"expected somebody with a head box, or with shoulders and hips.*none of 4"):
        scores.people_of(crops)


def test_posernn_score_names_the_score(tmp_path):
    people = people_without_head_boxes(3)
    index = np.arange(3, dtype=np.int32)
    table = schemas.people_table(
        ["a.jpg"] * 3,
        image_index=np.zeros(3, dtype=np.int32),
        person_index=index,
        split=["val"] * 3,
        single_person=np.ones(3, dtype=bool),
        center_image=np.full((3, 2), np.nan),
        scale=np.full(3, np.nan),
        head_box_image=np.full((3, 4), np.nan),
        joints_image=people.joints_image,
        visible=np.full((3, 16), np.nan),
    )
    files.write_table(tmp_path / "people.parquet", table)
    keys = [table[name] for name in ("image", "image_index", "person_index")]
    predictions = schemas.predictions_table(*keys, people.joints_image, people.joints_image)
    files.write_table(tmp_path / "predictions.parquet", predictions)
    arguments = ("score", tmp_path / "predictions.parquet", "--people", tmp_path / "people.parquet")
    code, told, _ = run(*arguments)
    assert code == 0
    assert told.startswith("PCKh: nobody can be scored, no head boxes; torso PCK@0.2 instead, in percent\n")
    assert "100.00" in told
    assert "nan" not in told
    code, told, _ = run(*arguments, "--json")
    assert json.loads(told)[0]["torso_pck_total"] == 100.0
    assert "torso PCK Total" in run(*arguments, "--csv")[1]
