"""COCO keypoints files become the same tables as MPII's release."""

import json
from pathlib import Path

import numpy as np
import pytest
from coco_files import contents, person, write

from posernn.data import annotations, coco, coco_file, joint_names, schemas
from posernn.pose import geometry
from posernn.pose.skeleton import Joint
from posernn.runtime.errors import InputError

HIPS = {"left_hip": (30, 40, 2), "right_hip": (10, 42, 1)}
SOMEBODY = HIPS | {"nose": (5, 5, 2), "left_shoulder": (28, 10, 2), "right_shoulder": (12, 12, 2)}


def parse(*people, **more):
    return coco.parse(contents(list(people), **more), Path("a.json"))


def reasons(rejected):
    return [(row["image_index"], row["person_index"], row["reason"]) for row in rejected.to_pylist()]


def test_joints_are_matched_by_name_with_their_flags_and_pixels_stay():
    people, rejected, notes = parse(person(7, SOMEBODY))
    assert rejected.num_rows == 0
    joints, visible = schemas.to_numpy(people, "joints_image")[0], people["visible"][0].as_py()
    assert joints[[Joint.LEFT_HIP, Joint.RIGHT_HIP]].tolist() == [[30, 40], [10, 42]]
    assert (visible[Joint.LEFT_HIP], visible[Joint.RIGHT_HIP]) == (True, False)
    assert (people["image"][0].as_py(), people["split"][0].as_py()) == ("7.jpg", "train")
    left_out = "nose, left_eye, right_eye, left_ear, right_ear"
    assert notes == [f"keypoints that are none of the 16 joints are left out: {left_out}"]


def test_thorax_and_pelvis_are_midpoints_where_they_are_not_given():
    people, *_ = parse(person(7, SOMEBODY), person(8, {"left_hip": (30, 40, 2)}))
    joints, annotated = schemas.to_numpy(people, "joints_image"), schemas.to_numpy(people, "annotated")
    assert joints[0, [Joint.THORAX, Joint.PELVIS]].tolist() == [[20, 11], [20, 41]]
    assert people["visible"][0].as_py()[Joint.PELVIS] is None
    assert annotated.sum(axis=1).tolist() == [6, 1]
    given = ("left_hip", "right_hip", "pelvis")
    people, *_ = parse(person(7, HIPS | {"pelvis": (1, 2, 2)}, given), names=given)
    assert schemas.to_numpy(people, "joints_image")[0, Joint.PELVIS].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("names", "joint"),
    [
        (["left_hip", "Left Hip", "l-hip", "LHip", "hip_left", "hip.L", "LeftHip"], Joint.LEFT_HIP),
        (["right_wrist", "R_Wrist", "wristRight"], Joint.RIGHT_WRIST),
        (["neck", "upper_neck", "head_bottom"], Joint.UPPER_NECK),
        (["head_top", "top_head"], Joint.HEAD_TOP),
        (["pelvis", "mid_hip"], Joint.PELVIS),
        (["nose", "head", "left_eye", "hips", ""], None),
    ],
)
def test_the_usual_spellings_of_joints_are_known(names, joint):
    assert {joint_names.joint_of(name) for name in names} == {joint}
    assert all(joint_names.joint_of(each.name) is each for each in Joint)


def test_the_person_box_of_centre_and_scale_has_the_centre_of_the_bbox():
    people, *_ = parse(person(7, SOMEBODY, bbox=[10, 20, 60, 120]), person(8, SOMEBODY))
    assert people["scale"].to_pylist() == pytest.approx([120 / 200, 32 / 200])
    box = geometry.person_box(schemas.to_numpy(people, "center_image")[0], people["scale"][0].as_py())
    assert ((box[:2] + box[2:]) / 2).tolist() == pytest.approx([39.5, 79.5], abs=1e-3)
    assert (box[2:] - box[:2]).tolist() == pytest.approx([150, 150], abs=1e-3)
    joints_box = geometry.person_box(schemas.to_numpy(people, "center_image")[1], people["scale"][1].as_py())
    assert ((joints_box[:2] + joints_box[2:]) / 2).tolist() == pytest.approx([20, 26], abs=1e-3)


def test_a_head_box_is_posetracks_bbox_head_and_else_unknown():
    people, *_ = parse(person(7, SOMEBODY, bbox_head=[10, 20, 30, 40]), person(8, SOMEBODY))
    assert people["head_size"].to_pylist() == [pytest.approx(0.6 * 50), None]
    assert schemas.to_numpy(people, "head_box_image")[0].tolist() == [9.5, 19.5, 39.5, 59.5]


def test_people_whose_boxes_overlap_are_not_single():
    people, *_ = parse(
        person(7, SOMEBODY, bbox=[0, 0, 100, 100]),
        person(7, SOMEBODY, bbox=[80, 0, 400, 100]),
        person(8, SOMEBODY, bbox=[0, 0, 100, 100]),
        person(8, SOMEBODY, bbox=[95, 0, 100, 100]),
        person(9, SOMEBODY, bbox=[0, 0, 100, 100]),
        person(9, {}, iscrowd=1, bbox=[0, 0, 300, 300]),
    )
    # the second one's box is mostly its own
    assert people["single_person"].to_pylist() == [False, True, True, True, False]
    assert people["person_index"].to_pylist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"iscrowd": 1}, "a crowd, not a person"),
        ({"keypoints": [0, 0, 0] * 17}, "no joint is annotated"),
        ({"keypoints": [9, 9, 2] * 5 + [0, 0, 0] * 12}, "no joint is annotated"),
        ({"keypoints": []}, "no joint is annotated"),
        ({"keypoints": [0, 0, 2] * 17}, "no joint is annotated"),
        ({"keypoints": [1, 2, 2]}, "expected 51 numbers as keypoints, got 3"),
        ({"keypoints": ["a"] * 51}, "the keypoints are not numbers"),
        ({"keypoints": [[1, 2], 3]}, "the keypoints are not numbers"),
        ({"keypoints": [1, 2, 7] * 17}, "v is 7 for the left shoulder, not 0, 1 or 2"),
        ({"keypoints": [1e9, 2, 2] * 17}, "the left shoulder lies at 1e+09, 2, which is outside of any image"),
        ({"keypoints": [float("nan"), 2, 2] * 17}, "the left shoulder lies at nan, 2, which is outside of any image"),
        ({"category_id": 5}, "category 5 has no keypoints"),
        ({"category_id": {"a": 1}}, "category {'a': 1} has no keypoints"),
    ],
)
def test_what_is_no_person_is_rejected_with_the_reason(more, reason):
    people, rejected, _ = parse(person(7, SOMEBODY), person(8, SOMEBODY) | more)
    assert people["image"].to_pylist() == ["7.jpg"]
    assert reasons(rejected) == [(1, 0, reason)]


def test_images_without_people_or_name_and_annotations_without_image_are_rejected():
    names = {1: {"file_name": "a.jpg"}, 2: {"file_name": "b.jpg"}, 3: {}, 4: {"file_name": "a\0.jpg"}}
    images = [{"id": id_} | name for id_, name in names.items()]
    people, rejected, _ = parse(person(1, SOMEBODY), person(3, SOMEBODY), person("1", SOMEBODY), images=images)
    assert people["image"].to_pylist() == ["a.jpg"]
    assert reasons(rejected) == [
        (-1, None, "image '1' of the annotation is not in the file"),
        (1, None, "no person is annotated"),
        (2, 0, "the image has no name"),
        (3, None, "the image has no name"),
    ]


def test_joints_at_a_place_that_stands_for_missing_are_counted():
    points = dict.fromkeys(("left_knee", "right_knee", "left_ankle"), (0, 0, 2))
    people, _, notes = parse(person(7, SOMEBODY | points))
    assert schemas.to_numpy(people, "annotated").sum() == 6
    assert people["visible"][0].as_py()[Joint.LEFT_KNEE] is None
    assert parse(person(7, SOMEBODY | {"left_knee": (-1, -1, 2)}))[2][-1].startswith("1 joints of 1 people lie at")
    assert people["scale"][0].as_py() == pytest.approx(32 / 200), "the box of the joints leaves them out, too"
    assert notes[-1].startswith("3 joints of 1 people lie at (0, 0)")


def test_a_person_who_is_rejected_leaves_the_others_as_they_are():
    nobody = person(6, dict.fromkeys(HIPS, (0, 0, 2)), bbox=[1, 2, 3, 4], bbox_head=[1, 2, 3, 4])
    somebody = person(7, SOMEBODY, bbox=[10, 20, 60, 120], bbox_head=[10, 20, 30, 40])
    people, rejected, _ = parse(nobody, somebody)
    alone, *_ = parse(somebody)
    assert reasons(rejected) == [(0, 0, "no joint is annotated")]
    one, other = (repr(table.drop(["image_index"]).to_pylist()) for table in (people, alone))  # NaN is not NaN
    assert one == other


@pytest.mark.parametrize("bbox", [None, [], [10, 20, 0, 0], [10, 20, 60], ["a", 2, 3, 4], [1e9, 0, 60, 120]])
def test_the_box_of_the_joints_stands_in_for_a_bbox_that_is_none(bbox):
    people, *_ = parse(person(7, SOMEBODY, bbox=bbox))
    assert people["scale"][0].as_py() == pytest.approx(32 / 200)


@pytest.mark.parametrize("name", ["images/a.jpg", "images\\a.jpg", "./a.jpg", "a.jpg"])
def test_images_are_named_relative_to_the_folder_images(name):
    people, *_ = parse(person(1, SOMEBODY), images=[{"id": 1, "file_name": name}])
    assert people["image"].to_pylist() == ["a.jpg"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: [file], "expected COCO keypoints with images, annotations and categories, got no images"),
        (lambda file: file | {"annotations": {}}, "got no annotations; export again"),
        (lambda file: file | {"images": []}, "got no images; export again"),
        (
            lambda file: file | {"categories": [{"id": 1}]},
            "expected a category with names of keypoints, such as right_a",
        ),
        (lambda file: file | {"images": file["images"] * 2}, "expected each image once, got id 7 several times"),
        (
            lambda file: file | {"images": [*file["images"], {"id": 8, "file_name": "images/7.jpg"}]},
            "expected each image once, got file_name 7.jpg several times",
        ),
        (
            lambda file: file | {"categories": [{"id": 1, "name": "dog", "keypoints": ["tail", "paw"]}]},
            "category 'dog': expected names of joints, such as right_ankle, .*, got tail, paw; rename the keypoints",
        ),
        (
            lambda file: file | {"categories": [{"id": 1, "name": "person", "keypoints": ["neck", "upper_neck"]}]},
            "expected one name for the upper neck, got neck and upper_neck; rename or remove one",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, change, message):
    path = write(tmp_path / "a.json", change(contents([person(7, SOMEBODY)])))
    with pytest.raises(InputError, match=message) as caught:
        coco.parse(coco_file.read_file(path), path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff", "{" + '"a":' + "9" * 5000 + "}"])
def test_a_file_that_is_no_json_is_one_line(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin1")
    with pytest.raises(InputError, match=r"a.json: expected COCO keypoints as JSON, got .*; export it again"):
        coco_file.read_file(tmp_path / "a.json")


def test_a_file_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"a.json: expected COCO keypoints, got No such file .*; put the file there"):
        coco_file.read_file(tmp_path / "a.json")


def test_a_file_may_have_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(contents([person(7, SOMEBODY)])), encoding="utf-8-sig")
    assert coco_file.read_file(tmp_path / "a.json") == contents([person(7, SOMEBODY)])


# --- which files a data set has ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a.mat"], ["a.mat"]),
        (["instances.json"], ["instances.json"]),
        (["annotations/person_keypoints_default.json"], ["annotations/person_keypoints_default.json"]),
        (["val.json", "train.json"], ["train.json", "val.json"]),
        ([], "got none"),
        (["a.mat", "a.json"], "got a.mat, a.json"),
        (["a.json", "b.json"], "got a.json, b.json"),
        (["train.json", "val.json", "test.json"], "got test.json, train.json, val.json"),
    ],
)
def test_the_annotation_files_follow_from_what_lies_in_the_folder(tmp_path, names, found):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    if isinstance(found, list):
        assert annotations.find(tmp_path) == [tmp_path / name for name in found]
    else:
        with pytest.raises(
            InputError, match=rf"expected one annotation file, .*, or train.json and val.json, {found};"
        ):
            annotations.find(tmp_path)


def test_train_and_val_are_joined_and_share_no_image(tmp_path):
    write(tmp_path / "train.json", contents([person(7, SOMEBODY), person(8, {})]))
    images = [{"id": 9, "file_name": "9.jpg"}, {"id": 10, "file_name": "10.jpg"}]
    write(tmp_path / "val.json", contents([person(9, SOMEBODY), person(9, {})], images=images))
    found = annotations.read(tmp_path)
    assert found.num_images == 4
    assert found.people.select(["image", "image_index", "split"]).to_pylist() == [
        {"image": "7.jpg", "image_index": 0, "split": "train"},
        {"image": "9.jpg", "image_index": 2, "split": "val"},
    ]
    assert [index for index, *_ in reasons(found.rejected)] == [1, 2, 3]
    assert len(found.notes) == 1, "what both files say is said once"
    write(tmp_path / "val.json", contents([person(7, SOMEBODY)]))
    with pytest.raises(
        InputError, match=r"expected each image in train.json or in val.json, got 1 in both, first 7.jpg"
    ):
        annotations.read(tmp_path)


def test_the_tables_have_the_types_of_mpiis():
    people, rejected, _ = parse(person(7, SOMEBODY), person(8, {}))
    assert people.schema.equals(schemas.PEOPLE)
    assert rejected.schema.equals(schemas.REJECTED)
    assert np.isfinite(schemas.to_numpy(people, "joints_image")).all(axis=-1).sum() == 6
