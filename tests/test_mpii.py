"""Parsing of the release with all its quirks, on tiny .mat files and (marked mpii) on the real one."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.io import loadmat, savemat

from posernn.data import mpii, schemas, splits
from posernn.runtime.errors import InputError

EMPTY = np.empty((0, 0))


def struct(*entries, order=None):
    """A Matlab structure array of one row; fields that an entry lacks are empty."""
    names = order or list(dict.fromkeys(name for entry in entries for name in entry))
    array = np.empty((1, len(entries)), dtype=[(name, object) for name in names])
    for place, entry in enumerate(entries):
        for name in names:
            array[0, place][name] = entry.get(name, EMPTY)
    return array


def point(joint, x, y, visible=EMPTY):
    return {"x": x, "y": y, "id": np.uint8(joint), "is_visible": visible}


def rectangle(*points, head=(10, 20, 40, 60), scale=2.5, center=(100, 110), **more):
    fields = dict(zip(("x1", "y1", "x2", "y2"), head, strict=True)) if head else {}
    if points:
        fields["annopoints"] = struct({"point": struct(*points)})
    if scale is not None:
        fields |= {"scale": float(scale), "objpos": struct({"x": np.uint8(center[0]), "y": np.uint8(center[1])})}
    return fields | more


def image(*rectangles, name="a.jpg", train=True, alone=(1,), activity=None, category=None, **more):
    entry = {"image": struct({"name": name}), "annorect": struct(*rectangles) if rectangles else EMPTY} | more
    return entry, train, alone, {"act_name": activity or "", "cat_name": category or "", "act_id": -1}


def write(path, *images):
    entries, train, alone, acts = zip(*images, strict=True)
    single_person = np.empty((len(images), 1), dtype=object)
    for place, numbers in enumerate(alone):
        single_person[place, 0] = np.array(numbers, dtype=np.uint8).reshape(-1, 1) if numbers else EMPTY
    release = {
        "annolist": struct(*entries, order=["image", "annorect", "frame_sec", "vididx"]),
        "img_train": np.array([train], dtype=np.uint8),
        "single_person": single_person,
        "act": struct(*acts).T,
        "version": "12",
    }
    savemat(path, {"RELEASE": struct(release)}, do_compression=True)
    return path


def parse(tmp_path, *images):
    people, rejected, _ = mpii.parse_release(mpii.read_release(write(tmp_path / "release.mat", *images)))
    return people, rejected


def only(tmp_path, *points, **more):
    """Parse a release of one rectangle into its single row."""
    people, rejected = parse(tmp_path, image(rectangle(*points, **more)))
    assert rejected.num_rows == 0
    return people


def reasons(rejected):
    return [(row["image_index"], row["person_index"], row["reason"]) for row in rejected.to_pylist()]


def test_pixels_are_counted_from_0(tmp_path):
    people = only(tmp_path, point(6, 1.0, 2.5), head=(1, 2, 31, 42), center=(7, 8))
    assert schemas.to_numpy(people, "joints_image")[0, 6].tolist() == [0.0, 1.5]
    assert schemas.to_numpy(people, "head_box_image").tolist() == [[0, 1, 30, 41]]
    assert schemas.to_numpy(people, "center_image").tolist() == [[6, 7]]
    assert people["head_size"][0].as_py() == pytest.approx(0.6 * 50)
    assert people["scale"][0].as_py() == 2.5


@pytest.mark.parametrize("order", [["x", "y", "id", "is_visible"], ["id", "x", "y", "is_visible"]])
def test_joints_are_placed_by_their_id_in_either_order_of_fields(tmp_path, order):
    points = [point(9, 90.0, 91.0), point(0, 10.0, 11.0)]
    annopoints = struct({"point": struct(*points, order=order)})
    people, _ = parse(tmp_path, image(rectangle(annopoints=annopoints)))
    joints = schemas.to_numpy(people, "joints_image")[0]
    assert joints[[9, 0]].tolist() == [[89, 90], [9, 10]]
    assert np.flatnonzero(schemas.to_numpy(people, "annotated")[0]).tolist() == [0, 9]
    assert np.isnan(np.delete(joints, [0, 9], axis=0)).all()


@pytest.mark.parametrize("number", [np.uint8, np.uint16, np.int16, np.float64])
def test_small_integers_do_not_wrap(tmp_path, number):
    people = only(
        tmp_path, point(2, number(0), number(255 if number is np.uint8 else 300)), head=(number(0), 9, 250, 251)
    )
    last = 254 if number is np.uint8 else 299
    assert schemas.to_numpy(people, "joints_image")[0, 2].tolist() == [-1, last]
    assert schemas.to_numpy(people, "head_box_image").tolist() == [[-1, 8, 249, 250]]


def test_types_may_differ_within_one_point(tmp_path):
    people = only(tmp_path, point(2, np.uint8(200), np.uint16(400)), point(3, 10.25, np.int16(-3)))
    assert schemas.to_numpy(people, "joints_image")[0, [2, 3]].tolist() == [[199, 399], [9.25, -4]]
    assert schemas.to_numpy(people, "annotated")[0].sum() == 2, "a negative coordinate is no sentinel"


def test_is_visible_is_stored_as_numbers_as_text_or_empty(tmp_path):
    people = only(
        tmp_path,
        *(point(0, 5, 5, np.uint8(1)), point(1, 6, 5, np.uint8(0)), point(2, 7, 5, "1"), point(3, 8, 5, "0")),
        *(point(8, 9, 5, EMPTY), point(9, 10, 5, "x"), point(4, 11, 5, True)),
    )
    flags = people["visible"][0].as_py()
    assert flags[:5] == [True, False, True, False, True]
    assert set(flags[5:]) == {None}


def test_the_field_is_visible_may_be_absent(tmp_path):
    without = {name: value for name, value in point(4, 5, 6).items() if name != "is_visible"}
    people = only(tmp_path, without)
    assert schemas.to_numpy(people, "joints_image")[0, 4].tolist() == [4, 5]
    assert set(people["visible"][0].as_py()) == {None}


def test_people_without_head_box_centre_or_scale_are_kept(tmp_path):
    people = only(tmp_path, point(0, 5, 5), head=None, scale=None)
    assert people["head_size"][0].as_py() is None
    assert people["scale"][0].as_py() is None
    assert np.isnan(schemas.to_numpy(people, "head_box_image")).all()
    assert np.isnan(schemas.to_numpy(people, "center_image")).all()
    empty = only(tmp_path, point(0, 5, 5), head=(EMPTY,) * 4, objpos=np.empty((1, 0)), scale=None)
    assert empty["head_size"][0].as_py() is None


def test_rectangles_of_all_four_kinds_of_fields_come_through(tmp_path):
    parts = {f"part_occ{number}": "0" for number in range(1, 11)} | {"head_r11": "0.99", "torso_r33": EMPTY}
    people, _ = parse(tmp_path, image(rectangle(point(0, 5, 5)), rectangle(point(1, 9, 9), **parts), alone=(1, 2)))
    assert people["person_index"].to_pylist() == [0, 1]
    assert schemas.to_numpy(people, "joints_image")[1, 1].tolist() == [8, 8]


def test_images_and_rectangles_without_joints_are_rejected_in_the_train_half_only(tmp_path):
    no_fields = image(name="d.jpg")
    no_fields[0]["annorect"] = np.empty((1, 1), dtype=object)
    no_fields[0]["annorect"][0, 0] = EMPTY
    people, rejected = parse(
        tmp_path,
        image(name="a.jpg"),
        image(rectangle(), rectangle(point(3, 7, 7)), name="b.jpg", alone=()),
        image(rectangle(head=None), rectangle(head=None, scale=None), name="c.jpg", train=False),
        no_fields,
    )
    assert reasons(rejected) == [
        (0, None, "no person is annotated"),
        (1, 0, "no joint is annotated"),
        (2, 1, "neither joints nor a centre and a scale"),
        (3, None, "no person is annotated"),
    ]
    assert people.select(["image", "image_index", "person_index", "split"]).to_pylist() == [
        {"image": "b.jpg", "image_index": 1, "person_index": 1, "split": "train"},
        {"image": "c.jpg", "image_index": 2, "person_index": 0, "split": "test"},
    ]
    assert not schemas.to_numpy(people, "annotated")[1].any()
    assert rejected["image"].to_pylist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([point(3, 5, 5), point(3, 6, 6)], "joint 3 is given twice"),
        ([point(3, 5, 5), point(16, 6, 6)], "joint id 16 is not one of 0 to 15"),
        ([point(3, 5, 5), point(3, 6, 6) | {"id": EMPTY}], "joint id nan is not one of 0 to 15"),
        ([point(3, 5, 5), point(4, 1e30, 6)], "joint 4 lies at 1e+30, 5, which is outside of any image"),
        ([point(3, 5, np.nan)], "no joint is annotated"),
        ([point(3, 5, EMPTY)], "no joint is annotated"),
        ([point(3, 5, np.array([1, 2, 3]))], "no joint is annotated"),
        ([point(3, 5, np.array([5 + 2j]))], "no joint is annotated"),
    ],
)
def test_damaged_people_are_rejected_with_a_reason(tmp_path, points, reason):
    people, rejected = parse(tmp_path, image(rectangle(point(0, 9, 9)), rectangle(*points)))
    assert reasons(rejected) == [(0, 1, reason)]
    assert people["person_index"].to_pylist() == [0]


@pytest.mark.parametrize("name", ["", "  ", "a\N{REPLACEMENT CHARACTER}b.jpg", "a\nb.jpg"])
def test_an_image_whose_name_cannot_be_read_is_rejected(tmp_path, name):
    people, rejected = parse(tmp_path, image(rectangle(point(0, 5, 5)), name=name), image(rectangle(point(0, 5, 5))))
    assert people["image_index"].to_pylist() == [1]
    assert rejected.select(["image", "reason"]).to_pylist() == [{"image": "", "reason": "the image has no name"}]


def test_single_person_counts_rectangles_from_1(tmp_path):
    people, rejected = parse(tmp_path, image(*[rectangle(point(0, 5, 5)) for _ in range(3)], alone=(2, 4)))
    assert people["single_person"].to_pylist() == [False, True, False]
    assert reasons(rejected) == [(0, None, "single_person names rectangle 4, the image has 3")]


def test_videos_are_counted_from_0_and_may_be_unknown(tmp_path):
    people, _ = parse(
        tmp_path,
        image(
            rectangle(point(0, 5, 5)), vididx=np.uint16(300), frame_sec=np.uint8(17), activity="golf", category="sport"
        ),
        image(rectangle(point(0, 5, 5)), vididx=np.empty((1, 0)), frame_sec=np.empty((1, 0))),
    )
    columns = ["video", "frame_sec", "activity", "category"]
    assert people.select(columns).to_pylist() == [
        {"video": 299, "frame_sec": 17.0, "activity": "golf", "category": "sport"},
        dict.fromkeys(columns),
    ]


def test_progress_reaches_its_end(tmp_path):
    path = write(tmp_path / "release.mat", image(rectangle(point(0, 5, 5))))
    read, parsed = [], []
    mpii.parse_release(mpii.read_release(path, lambda *step: read.append(step)), lambda *step: parsed.append(step))
    assert read[-1] == (1, 1)
    assert parsed[-1] == (1, 1)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "expected a file of Matlab 5 to 7.2, got a damaged one ("),
        (b"not a mat file" * 100, "expected a file of Matlab 5 to 7.2, got a text file"),
        (None, "expected a Matlab file, got nothing; put it there"),
    ],
)
def test_a_file_that_is_no_release_is_one_line(tmp_path, contents, message):
    path = tmp_path / "release.mat"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(InputError) as caught:
        mpii.read_release(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["annolist", "img_train", "single_person"])
def test_a_release_without_a_field_is_one_line(tmp_path, missing):
    path = write(tmp_path / "release.mat", image(rectangle(point(0, 5, 5))))
    release = loadmat(path)["RELEASE"]
    kept = {name: release[0, 0][name] for name in release.dtype.names if name != missing}
    savemat(path, {"RELEASE": struct(kept)})
    with pytest.raises(InputError, match=f"expected RELEASE with {missing}, got none"):
        mpii.read_release(path)
    savemat(path, {"RELEASE": struct(kept | {missing: EMPTY})})
    with pytest.raises(InputError, match=rf"expected .*{missing}.*, got "):
        mpii.read_release(path)


# --- validation set --------------------------------------------------------------------------------------------------


def people_of(*rows):
    """People from (image_index, person_index, split, single_person, video)."""
    num = len(rows)
    image_index, person_index, split, single_person, video = zip(*rows, strict=True)
    known = {
        "image": [f"{index}.jpg" for index in image_index],
        "image_index": image_index,
        "person_index": person_index,
        "split": split,
        "single_person": single_person,
        "video": video,
        "center_image": [[0.0, 0.0]] * num,
        "head_box_image": [[0.0] * 4] * num,
        "joints_image": [[[0.0, 0.0]] * 16] * num,
        "annotated": [[True] * 16] * num,
        "visible": [[None] * 16] * num,
    }
    columns = [pa.array(known.get(field.name, [None] * num), field.type) for field in schemas.PEOPLE]
    return pa.table(columns, schema=schemas.PEOPLE)


def split_of(people):
    keys = zip(people["image_index"].to_pylist(), people["person_index"].to_pylist(), strict=True)
    return dict(zip(keys, people["split"].to_pylist(), strict=True))


def test_a_share_is_held_out_by_whole_videos_and_whole_images():
    rows = [
        (index, person, "train", person == 0, index // 5 if index < 250 else None)
        for index in range(500)
        for person in (0, 1)
    ]
    rows += [(index, 0, "test", True, None) for index in range(500, 520)]
    people = splits.hold_out_share(people_of(*rows), 0.2, seed=0)
    split = split_of(people)
    assert sum(split[index, 0] == "val" for index in range(500)) == 100
    for video in range(50):
        assert len({split[5 * video + image, person] for image in range(5) for person in (0, 1)}) == 1
    assert all(split[index, 0] == split[index, 1] for index in range(250, 500))
    assert 20 < sum(split[index, 0] == "val" for index in range(250)) < 80, "videos and images alike"
    assert all(split[index, 0] == "test" for index in range(500, 520))


def test_the_held_out_people_depend_on_the_seed_and_not_on_the_order_of_rows():
    people = people_of(*[(index, 0, "train", True, None) for index in range(200)])
    shuffled = people.take(np.random.default_rng(0).permutation(200))
    first = split_of(splits.hold_out_share(people, 0.3, seed=0))
    assert first == split_of(splits.hold_out_share(shuffled, 0.3, seed=0))
    assert first != split_of(splits.hold_out_share(people, 0.3, seed=1))


def test_neither_train_nor_val_is_empty():
    two = people_of((0, 0, "train", True, None), (1, 0, "train", True, None))
    assert sorted(split_of(splits.hold_out_share(two, 0.01, seed=0)).values()) == ["train", "val"]
    assert sorted(split_of(splits.hold_out_share(two, 0.99, seed=0)).values()) == ["train", "val"]
    with pytest.raises(
        InputError,
        match=r"parse\.hold_out: expected at least 2 videos or images with single people, got 1 with 1 of 1 people",
    ):
        splits.hold_out_share(two.slice(0, 1), 0.5, seed=0)


LISTED = [
    *((0, 0, "train", True, None), (0, 1, "train", True, None), (0, 2, "train", False, None)),
    *((1, 0, "train", True, None), (2, 0, "test", True, None)),
]


def write_list(path, *lines, header="image,annolist_index,annorect_index"):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_no_person_of_a_listed_image_stays_in_train(tmp_path):
    people, left_out = splits.hold_out_listed(people_of(*LISTED), write_list(tmp_path / "val.csv", "0.jpg,0,0"))
    assert split_of(people) == {(0, 0): "val", (0, 2): "val", (1, 0): "train", (2, 0): "test"}
    assert reasons(left_out) == [(0, 1, "not on the validation list, but in one of its images")]


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["1.jpg,0,0"], None, "line 2: expected 0.jpg, image 0 of the release, got 1.jpg"),
        (
            ["0.jpg,0,0", "9.jpg,9,0"],
            None,
            "line 3: expected an annotated person of the train half, got image 9, rectangle 0",
        ),
        (["0.jpg,0,7"], None, "line 2: expected an annotated person of the train half, got image 0, rectangle 7"),
        (["2.jpg,2,0"], None, "line 2: expected an annotated person of the train half"),
        (["0.jpg,0,2"], None, "line 2: expected a single person, got rectangle 2 of 0.jpg"),
        (
            ["0.jpg,0,0", "0.jpg,0,0"],
            None,
            "expected each person once, got 1 of them several times, first 0.jpg (image 0, rectangle 0)",
        ),
        (["0.jpg,first,0"], None, "line 2: expected whole numbers in annolist_index and annorect_index, got 'first'"),
        (["0.jpg,0"], None, "line 2: expected whole numbers"),
        ([], None, "expected people, got an empty list"),
        (["0.jpg,0,0"], "image,index,rect", "got none called annolist_index, annorect_index"),
    ],
)
def test_a_list_that_does_not_match_the_release_is_one_line(tmp_path, lines, header, message):
    path = write_list(tmp_path / "val.csv", *lines, **({"header": header} if header else {}))
    with pytest.raises(InputError) as caught:
        splits.hold_out_listed(people_of(*LISTED), path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"val.csv: expected the validation list, got No such file"):
        splits.hold_out_listed(people_of(*LISTED), tmp_path / "val.csv")


# --- the real release -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def release(mpii_root):
    return mpii.read_release(mpii_root / "mpii_human_pose_v1_u12_1.mat")


@pytest.fixture(scope="module")
def real(release):
    return mpii.parse_release(release)


@pytest.fixture(scope="module")
def real_listed(real, mpii_root):
    return splits.hold_out_listed(real[0], mpii_root / "reference" / "tompson_val.csv")


def in_train_half(people):
    return people.filter(pa.array([split != "test" for split in people["split"].to_pylist()]))


@pytest.mark.mpii
def test_every_image_and_person_of_the_release_is_found(release, real):
    people, rejected, notes = real
    assert notes == []
    assert release["annolist"].size == 24_987
    assert (release["img_train"] == 1).sum() == 18_079
    train = in_train_half(people)
    assert train.num_rows == 28_883
    assert len(set(train["image_index"].to_pylist())) == 17_408
    seen = set(people["image_index"].to_pylist()) | set(rejected["image_index"].to_pylist())
    assert seen == set(range(24_987)), "every image comes out once"
    rectangles = sum(cell["annorect"].size for cell in release["annolist"].ravel() if cell["annorect"].dtype.names)
    assert people.num_rows + sum(index is not None for index in rejected["person_index"].to_pylist()) == rectangles


@pytest.mark.mpii
def test_single_people_and_their_joints_are_counted_right(real):
    train = in_train_half(real[0])
    single = train.filter(train["single_person"])
    annotated = schemas.to_numpy(single, "annotated")
    assert annotated.shape == (25_204, 16)
    assert annotated.sum() == 376_263
    per_person = dict(zip(*np.unique(annotated.sum(axis=1), return_counts=True), strict=True))
    assert (per_person[16], per_person[12], per_person[14], min(per_person)) == (16_992, 3_352, 2_816, 1)
    missing = (~annotated).sum(axis=0)
    assert set(np.argsort(missing)[-2:].tolist()) == {0, 5}, "ankles"
    np.testing.assert_allclose(missing[[0, 5]], 7_480, rtol=0.01)
    joints = schemas.to_numpy(single, "joints_image")
    assert (joints + 1 < 0).any(axis=(1, 2)).sum() == 366, "people with a negative coordinate, as MPII counts"
    assert np.isfinite(joints).all(axis=-1).tolist() == annotated.tolist()


@pytest.mark.mpii
def test_the_usual_validation_split_is_found(real_listed):
    people, left_out = real_listed
    assert left_out.num_rows == 0
    single = people.filter(people["single_person"])
    split = np.array(single["split"].to_pylist())
    assert {name: int((split == name).sum()) for name in ("train", "val")} == {"train": 22_246, "val": 2_958}
    val = single.filter(pa.array(split == "val"))
    assert len(set(val["image"].to_pylist())) == 2_729
    all_splits = np.array(people["split"].to_pylist())
    images = np.array(people["image"].to_pylist())
    assert not set(images[all_splits == "train"]) & set(images[all_splits == "val"])
    sizes = schemas.to_numpy(val, "head_size")
    assert np.median(sizes) == pytest.approx(68.9, abs=0.05)
    assert (sizes.min(), sizes.max()) == (pytest.approx(14.5, abs=0.05), pytest.approx(311, abs=0.5))
    assert schemas.to_numpy(val, "annotated").sum() == 44_240


@pytest.mark.mpii
def test_the_neck_is_0_8_head_box_diagonals_from_the_head_top(real):
    train = in_train_half(real[0])
    joints = schemas.to_numpy(train, "joints_image")
    ratio = np.linalg.norm(joints[:, 8] - joints[:, 9], axis=-1) / (schemas.to_numpy(train, "head_size") / 0.6)
    assert np.nanmedian(ratio) == pytest.approx(0.8, abs=0.001)
    assert np.nanstd(ratio) < 0.01


@pytest.mark.mpii
def test_the_share_is_held_out_of_the_real_people(real):
    people = splits.hold_out_share(real[0], 0.15, seed=0)
    single = people.filter(people["single_person"])
    val = np.array(single["split"].to_pylist()) == "val"
    assert val.sum() == int(0.15 * 25_204)
