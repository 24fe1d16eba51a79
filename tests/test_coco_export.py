"""posernn export writes COCO keypoints that pycocotools and posernn itself read; nothing is lost on the way."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from test_cli import run
from test_mpii import image, point, rectangle, write

from posernn.data import annotations, coco_export, mpii, schemas
from posernn.pose.skeleton import LIMBS, NUM_JOINTS, Joint
from posernn.runtime import files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set in MPII's format of three people in two images, one of them hidden in part, as people.parquet."""
    folder = tmp_path_factory.mktemp("export")
    joints = [point(joint, 10.5 + 3 * joint, 200.25 - joint**2, np.uint8(joint % 2)) for joint in range(16)]
    elsewhere = [point(joint, 150.0 + 9 * joint, 20.5 + 5 * joint) for joint in range(5)]
    without_place = rectangle(*elsewhere, head=None, scale=None)
    write(
        folder / "a.mat",
        image(rectangle(*joints), without_place, name="a.jpg", alone=(1,)),
        image(rectangle(*joints[3:], head=None), name="b.jpg"),
        image(rectangle(), name="c.jpg", train=False),
    )
    people, *_ = mpii.parse_release(mpii.read_release(folder / "a.mat"))
    files.write_table(folder / "people.parquet", people)
    (folder / "images").mkdir()
    Image.new("RGB", (320, 240)).save(folder / "images/a.jpg")
    return folder


def rows_of(people):
    """Return image and number in the image -> row."""
    return {(row["image"], row["person_index"]): row for row in people.to_pylist() if any(row["annotated"])}


def test_people_come_back_as_they_were(folder):
    code, said, _ = run("export", folder / "people.parquet", "--coco", folder / "all.json")
    assert (code, said) == (0, f"{folder / 'all.json'}: 3 people\n")
    back = annotations.read(folder / "all.json")
    assert (back.num_images, back.rejected.num_rows, back.notes) == (2, 0, [])
    before, after = rows_of(pq.read_table(folder / "people.parquet")), rows_of(back.people)
    assert after.keys() == before.keys()
    for key, row in before.items():
        for name in ("joints_image", "head_box_image", "center_image", "scale"):
            known = np.atleast_1d(np.array(row[name], dtype=float))
            known = np.where(np.isnan(known) & (name in ("center_image", "scale")), np.array(after[key][name]), known)
            derived = {"joints_image": [Joint.THORAX, Joint.PELVIS]}.get(name, [])
            found = np.atleast_1d(np.array(after[key][name], dtype=float))
            found[[joint for joint in derived if not row["annotated"][joint]]] = np.nan
            np.testing.assert_allclose(found, known, atol=2e-3, err_msg=f"{key} {name}")
        flags = zip(row["visible"], after[key]["visible"], strict=True)
        assert all(now == bool(flag) for flag, now in flags if flag is not None), "hidden joints stay hidden"


def test_pycocotools_reads_what_is_written_and_scores_it(folder, capsys):
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    run("export", folder / "people.parquet", "--coco", folder / "all.json", "--images", folder / "images")
    people = pq.read_table(folder / "people.parquet").slice(0, 3)
    joints = schemas.to_numpy(people, "joints_image")
    keys = [people[name] for name in ("image", "image_index", "person_index")]
    files.write_table(folder / "predictions.parquet", schemas.predictions_table(*keys, joints, joints))
    code, *_ = run("export", folder / "predictions.parquet", "--coco", folder / "results.json")
    assert code == 0
    truth = COCO(str(folder / "all.json"))
    assert (len(truth.getImgIds()), len(truth.getAnnIds())) == (2, 3)
    assert truth.loadImgs([0]) == [{"id": 0, "file_name": "a.jpg", "width": 320, "height": 240}]
    category = truth.loadCats([1])[0]
    assert category["keypoints"][Joint.LEFT_HIP] == "left_hip"
    assert category["skeleton"] == [[one + 1, other + 1] for one, other in LIMBS], "COCO counts them from 1"
    for annotation in truth.loadAnns(truth.getAnnIds()):
        assert annotation["num_keypoints"] == np.count_nonzero(annotation["keypoints"][2::3])
        assert annotation["area"] == pytest.approx(np.prod(annotation["bbox"][2:]))
    evaluation = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.full(NUM_JOINTS, 0.05)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    assert evaluation.stats[0] == pytest.approx(1.0), "the truth scores an average precision of 1"


def test_joints_that_are_not_finite_are_not_predicted():
    joints = np.full((1, NUM_JOINTS, 2), 7.0)
    joints[0, 3, 1] = np.inf
    table = schemas.predictions_table(["a.jpg"], [5], [0], joints, joints)
    (found,) = coco_export.results_of(table)
    assert found["keypoints"][6:15] == [7, 7, 1, 0, 0, 0, 7, 7, 1]
    assert (found["image_id"], found["score"]) == (5, 1.0)


def test_a_split_is_written_alone(folder):
    code, *_ = run("export", folder / "people.parquet", "--coco", folder / "train.json", "--split", "train")
    assert (code, len(json.loads((folder / "train.json").read_text())["annotations"])) == (0, 3)
    code, _, err = run("export", folder / "people.parquet", "--coco", folder / "x.json", "--split", "val")
    assert (code, err) == (1, "error: --split: expected one of test, train, got val; choose one of them\n")
    assert not (folder / "x.json").exists()


def test_a_split_of_predictions_is_one_line(folder):
    table = schemas.predictions_table(["a.jpg"], [0], [0], *np.zeros((2, 1, NUM_JOINTS, 2)))
    files.write_table(folder / "one.parquet", table)
    code, _, err = run("export", folder / "one.parquet", "--coco", folder / "x.json", "--split", "val")
    said = f"error: --split: expected a people.parquet with it, got {folder / 'one.parquet'}; leave --split out\n"
    assert (code, err) == (1, said)


def test_a_source_that_is_neither_is_one_line(folder):
    code, _, err = run("export", folder / "a.mat", "--coco", folder / "x.json")
    assert code == 1
    assert err.startswith(f"error: {folder / 'a.mat'}: expected people.parquet or predictions.parquet, got ")
    assert err.count("\n") == 1
