"""Own photos: `posernn predict` and `posernn.load(...).predict`."""

import csv
import json
import weakref
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_models
import torch
from PIL import Image
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn
from typer.testing import CliRunner

import posernn
from posernn import models
from posernn.cli import app
from posernn.inference import boxes, detector, outputs, photos
from posernn.inference.boxes import Crops
from posernn.pose import geometry
from posernn.pose.skeleton import Joint
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json, write_json, write_tensors

SIDE = 32
PLACE = (0.25, 0.75)  # unit; where the model of these tests sees every joint


def run(*arguments, stdin=None):
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def save(folder, **crops):
    """Write a model that predicts PLACE for every joint of everybody."""
    model = tiny_models.of("cnn", crop_size=SIDE)
    torch.nn.init.zeros_(model.project.weight)
    model.project.bias.data = torch.tensor(PLACE * 16)
    settings = tiny_models.CNN.model_copy(update={"crop_size": SIDE})
    models.save(folder, model, "cnn", settings, tiny_models.CROPS | crops)
    return folder


def place_in(box):
    """Image px of PLACE in a crop that shows the box."""
    low, high = np.split(np.asarray(box, float), 2)
    return low + (np.array(PLACE) * SIDE + 0.5) / SIDE * (high - low)


def photo(path, size=(80, 40), seed=0, **options):
    """Write noise; give its path."""
    path.parent.mkdir(exist_ok=True, parents=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **options)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in a folder with a trained model and a photo."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "run")
    photo(tmp_path / "street.png")
    return tmp_path


def test_a_box_becomes_joints_in_px_of_the_photo(here):
    assert run("run", "street.png", "--box", "10,4,26,36") == (
        0,
        "1 people in 1 photos: predictions.json\n",
        "predict: 1/1 photos, 0 s\n",
    )
    (person,) = json.loads((here / "predictions.json").read_text())
    assert (person["image"], person["person"], person["box_image"]) == ("street.png", 0, [10, 4, 26, 36])
    assert list(person["joints_image"]) == [joint.label for joint in Joint]
    np.testing.assert_allclose(person["joints_image"]["left wrist"], place_in([10, 4, 26, 36]), atol=0.01)
    assert person["confidence"]["left wrist"] is None  # the CNN gives none


def test_the_whole_photo_is_a_box_when_asked(here):
    run("run", "street.png", "--whole")
    (person,) = json.loads((here / "predictions.json").read_text())
    np.testing.assert_allclose(person["joints_image"]["pelvis"], place_in([-0.5, -0.5, 79.5, 39.5]), atol=0.01)


@pytest.mark.parametrize(
    ("crops", "box", "shown"),
    [
        ({"keep_aspect": False}, [10, -4, 26, 60], [10, -0.5, 26, 39.5]),
        ({"keep_aspect": True}, [10, 4, 26, 36], [2, 4, 34, 36]),
        ({"box": "person"}, [10, 4, 26, 36], [-2, 0, 38, 40]),
    ],
    ids=["clipped", "square", "person box"],
)
def test_the_crop_is_cut_as_the_training_crops_were(here, crops, box, shown):
    save(here / "other", **crops)
    (joints,) = posernn.load("other").predict("street.png", boxes=box).joints_image
    np.testing.assert_allclose(joints[0], place_in(shown), atol=1e-4)


def test_center_and_scale_give_the_box_of_mpii_to_a_model_of_person_boxes(here):
    center, scale = np.array([40.0, 20.0]), 0.1
    crop = boxes.crop_box(geometry.height_box(center, np.array(scale)), (80, 40), Crops("person", 20, False))
    np.testing.assert_allclose(crop, geometry.person_box(center, scale))
    save(here / "other", box="person")
    assert run("other", "street.png", "--center", "40,20", "--scale", "0.1")[0] == 0
    (person,) = read_json(here / "predictions.json")
    expected = place_in(geometry.person_box(center, scale))
    np.testing.assert_allclose(person["joints_image"]["thorax"], expected, atol=0.01)


def test_a_phones_photo_is_turned_upright(here):
    upright = photo(here / "phone/1.png", (30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(upright).transpose(Image.Transpose.ROTATE_90).save(here / "phone/6.png", exif=exif)
    poses = [posernn.load("run").predict(here / "phone" / name, boxes=[1, 2, 29, 39]) for name in ("1.png", "6.png")]
    np.testing.assert_array_equal(poses[0].joints_image, poses[1].joints_image)
    assert photos.size_of(here / "phone/6.png") == (30, 40)
    assert np.array_equal(photos.read(here / "phone/6.png"), photos.read(upright))


def test_folders_patterns_and_files_are_photos_with_their_whole_paths(here):
    for name in ("a/1.jpg", "b/1.jpg", "b/ünter #1 [x].JPG", "b/drawn/1.jpg"):
        photo(here / name)
    (here / "a/notes.txt").write_text("no photo")
    found = photos.find(["b", "a/*.jpg", "a/1.jpg", "street.png"], left_out=here / "b/drawn")
    assert [str(path) for path in found] == ["b/1.jpg", "b/ünter #1 [x].JPG", "a/1.jpg", "street.png"]
    assert run("run", "a", "b/1.jpg", "--whole")[0] == 0
    assert [person["image"] for person in read_json(here / "predictions.json")] == ["a/1.jpg", "b/1.jpg"]


def test_a_photo_comes_from_the_standard_input(here):
    code, _, _ = run("run", "-", "--box", "10,4,26,36", stdin=(here / "street.png").read_bytes())
    assert code == 0
    assert read_json(here / "predictions.json")[0]["image"] == "-"


BOXES = [("a/1.png", [10, 4, 26, 36]), ("b/1.png", [1, 2, 30, 40]), ("a/1.png", [30, 0, 60, 39])]


@pytest.mark.parametrize("kind", ["csv", "json", "coco"])
def test_a_file_has_the_boxes_of_many_photos(here, kind):
    photo(here / "photos/a/1.png")
    photo(here / "photos/b/1.png")
    photo(here / "photos/c.png")
    path = here / ("boxes.csv" if kind == "csv" else "boxes.json")
    if kind == "csv":
        lines = [",".join([name, *map(str, box)]) for name, box in BOXES]
        path.write_text("\ufeffimage,x0,y0,x1,y1\n" + "\n".join(lines) + "\n", encoding="utf-8")
    elif kind == "json":
        write_json(path, [{"image": name, "box_image": box} for name, box in BOXES])
    else:
        images = [{"id": 5, "file_name": "a/1.png"}, {"id": 7, "file_name": "b/1.png"}]
        annotations = [
            {"image_id": 5 if name == "a/1.png" else 7, "bbox": [x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0]}
            for name, (x0, y0, x1, y1) in BOXES
        ]
        write_json(path, {"images": images, "annotations": annotations})
    code, _, err = run("run", "photos", "--boxes", path)
    assert code == 0
    assert f"left out: photos/c.png: no box in {path}\n" in err
    people = [
        (person["image"], person["person"], person["box_image"]) for person in read_json(here / "predictions.json")
    ]
    assert people == [
        ("photos/a/1.png", 0, BOXES[0][1]),
        ("photos/a/1.png", 1, BOXES[2][1]),
        ("photos/b/1.png", 0, BOXES[1][1]),
    ]


@pytest.mark.parametrize("options", [["--out", "p.json"], ["--out", "p.json", "--format", "coco"]])
def test_what_was_written_can_name_the_boxes_of_the_next_run(here, options):
    run("run", "street.png", "--box", "10,4,26,36", "--box", "30,0,60,39", *options)
    assert run("run", "street.png", "--boxes", "p.json", "--out", "q.json")[0] == 0
    assert [person["box_image"] for person in read_json(here / "q.json")] == [[10, 4, 26, 36], [30, 0, 60, 39]]


def test_each_format_has_the_same_joints(here, monkeypatch):
    where = place_in([10, 4, 26, 36]).tolist()
    for name in ("p.csv", "p.parquet"):
        assert run("run", "street.png", "--box", "10,4,26,36", "--out", name)[0] == 0
    assert run("run", "street.png", "--box", "10,4,26,36", "--out", "coco.json", "--format", "coco")[0] == 0
    with (here / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["joint"] for row in rows] == [joint.label for joint in Joint]
    assert [float(rows[3][name]) for name in "xy"] == pytest.approx(where, abs=0.01)
    table = pq.read_table(here / "p.parquet")
    assert table.schema.equals(outputs.SCHEMA)
    assert table["joints_image"].to_pylist()[0][3] == pytest.approx(where, abs=0.01)
    coco = read_json(here / "coco.json")
    assert coco["images"] == [{"id": 1, "file_name": "street.png", "width": 80, "height": 40}]
    assert coco["annotations"][0]["bbox"] == [10.5, 4.5, 16, 32]  # COCO's origin is a corner
    assert coco["annotations"][0]["keypoints"][:3] == pytest.approx([where[0] + 0.5, where[1] + 0.5, 2], abs=0.01)
    assert coco["categories"][0]["keypoints"][15] == "left_wrist"


def test_confidence_is_written_for_each_joint_where_the_model_gives_it(tmp_path):
    poses = posernn.load("run").predict("street.png", boxes="whole")
    sure = type(poses)(poses.boxes_image, poses.joints_image, np.full((1, 16), 0.75))
    outputs.write(tmp_path / "p.json", [outputs.Photo("street.png", (80, 40), sure)], "json")
    assert read_json(tmp_path / "p.json")[0]["confidence"]["head top"] == 0.75


def test_people_and_their_boxes_are_drawn_on_the_photo_itself(here):
    grey = Image.new("RGB", (400, 300), (90, 120, 160))
    grey.save(here / "plain.png", icc_profile=b"a profile")
    run("run", "plain.png", "--box", "20,10,120,210", "--box", "200,10,300,210", "--draw", "drawn")
    with Image.open(here / "drawn/plain.png") as image:
        assert (image.size, image.mode, image.info["icc_profile"]) == ((400, 300), "RGB", b"a profile")
        changed = (np.asarray(image) != np.asarray(grey)).any(axis=-1)
    assert changed[10:211, 20].all()  # a box's left edge
    assert changed[10:211, 300].all()  # the other's right edge
    x, y = place_in([20, 10, 120, 210]).round().astype(int)
    assert changed[y, x]
    assert not changed[:, 140:180].any()
    assert not changed[230:].any()


def test_drawings_of_photos_of_the_same_name_lie_in_their_own_folders(here):
    for name in ("in/a/1.jpg", "in/b/1.jpg", "in/x.webp"):
        photo(here / name)
    run("run", "in", "--whole", "--draw", "drawn")
    drawn = sorted(str(path.relative_to(here)) for path in (here / "drawn").rglob("*") if path.is_file())
    assert drawn == ["drawn/a/1.jpg", "drawn/b/1.jpg", "drawn/x.webp.png"]


def test_photos_that_cannot_be_read_are_left_out_with_the_reason(here):
    (here / "notes.jpg").write_text("no photo")
    code, out, err = run("run", "notes.jpg", "street.png", "--whole")
    assert (code, out) == (0, "1 people in 1 photos: predictions.json\n")
    assert err.endswith("left out: notes.jpg: the image cannot be decoded: unknown format\n")
    code, _, err = run("run", "notes.jpg", "--whole", "--out", "none.json")
    assert code == 1
    assert "PHOTO: expected people, got none in 1 photos, first notes.jpg: the image cannot" in err
    assert not (here / "none.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["street.png", "--box", "1,2,3"], "--box: expected x0,y0,x1,y1 in px, got 1,2,3; correct it"),
        (["street.png", "--box", "1,2,a,4"], "--box: expected x0,y0,x1,y1 in px, got 1,2,a,4; correct it"),
        (["street.png", "--box", "9,2,3,4"], "--box: expected x0,y0,x1,y1 with x0 < x1 and y0 < y1, got 9,2,3,4; "),
        (["street.png", "--box", "5000,50,6000,60"], "--box: expected a box inside of street.png (80 x 40 px), got 50"),
        (["street.png", "--box", "0.1,0.1,0.9,0.9"], "--box: expected a box in px, got 0.1,0.1,0.9,0.9, less than a "),
        (["street.png", "run/../street.png", "--box", "1,2,3,4"], "--box: expected one photo, got 2; use --boxes"),
        (["street.png", "--box", "1,2,3,4", "--whole"], "--box: expected one way to say where people are, got --box "),
        (["street.png", "--center", "1,2"], "--center: expected --center and --scale together, got one of them; "),
        (["street.png", "--boxes", "no.csv"], "no.csv: expected a CSV file of boxes, got No such file or directory; "),
        (["street.png", "--boxes", "other.csv"], "other.csv: line 2: expected the name of one photo, got x.png, that "),
        (["street.png", "--whole", "--draw", "."], "--draw: expected another folder than that of the photos, got .; "),
        (["street.png", "--whole", "--out", "p.txt"], "--out: expected a name that ends in .json, .csv or .parquet, "),
        (["street.png", "nothing.jpg", "--whole"], "nothing.jpg: expected photos (.jpg "),
        (["street.png", "empty", "--whole"], "empty: expected photos (.jpg "),
        ([], "PHOTO: expected photos after run, got none; name files, folders or patterns"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_written(here, arguments, message):
    (here / "other.csv").write_text("image,x0,y0,x1,y1\nx.png,1,2,3,4\n")
    (here / "empty").mkdir()
    before = sorted(path.name for path in here.iterdir())
    code, out, err = run("run", *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {message}")
    assert sorted(path.name for path in here.iterdir()) == before


def test_a_model_of_the_package_is_found_by_its_name_and_is_the_default(here, monkeypatch):
    monkeypatch.setattr(models, "PRETRAINED", here / "pretrained")
    code, _, err = run("street.png", "--whole")
    assert code == 1
    assert err.startswith("error: rendered-small: expected the folder of a run or the name of a model in the package (")
    trained = models.load(save(here / "pretrained/rendered-small", keep_aspect=True))
    half = {name: value.half() for name, value in trained.state_dict().items()}
    write_tensors(here / "pretrained/rendered-small/weights.safetensors", half)
    for arguments in (["street.png"], ["rendered-small", "street.png"]):
        assert run(*arguments, "--whole")[0] == 0
    assert posernn.load("rendered-small").crops.keep_aspect


def test_a_run_that_does_not_say_how_its_crops_were_cut_is_refused_with_the_remedy(here):
    tiny_models.save(here / "old", "cnn", crops=None)
    with pytest.raises(InputError, match=r'model.json: expected "crops": .* got none; add the values of params.yaml'):
        posernn.load("old")


@pytest.fixture
def detector_weights(tmp_path):
    """Write weights with which the detector takes whatever it looks at for a person."""
    torch.manual_seed(0)
    model = fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    model.roi_heads.box_predictor.cls_score.bias.data[detector.PERSON] = 50.0
    torch.save(model.state_dict(), tmp_path / "detector.pth")
    return tmp_path / "detector.pth"


def test_people_are_found_where_no_box_is_given(here, detector_weights):
    assert run("run", "street.png", "--detector-weights", detector_weights)[0] == 0
    people = read_json(here / "predictions.json")
    assert people
    for person in people:
        x0, y0, x1, y1 = person["box_image"]
        assert -0.5 <= x0 < x1 <= 79.5
        assert -0.5 <= y0 < y1 <= 39.5
        np.testing.assert_allclose(person["joints_image"]["left ankle"], place_in([x0, y0, x1, y1]), atol=0.02)


def test_boxes_of_the_detector_are_in_px_of_the_photo_whatever_it_was_reduced_to(monkeypatch):
    seen = []

    class Sees(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pictures):
            seen.extend(tuple(picture.shape) for picture in pictures)
            boxes = torch.tensor([[0.0, 0.0, 1333.0, 100.0], [0, 0, 10, 10], [0, 0, 5, 5]])
            return [{"boxes": boxes, "labels": torch.tensor([1, 1, 2]), "scores": torch.tensor([0.9, 0.3, 0.9])}]

    found = detector.find_people(Sees(), Image.new("RGB", (2666, 400)))
    assert seen == [(3, 200, 1333)]
    np.testing.assert_allclose(found, [[-0.5, -0.5, 2665.5, 199.5]])


def test_without_a_network_one_line_names_the_ways_out(here, monkeypatch):
    def unreachable(**_):
        raise URLError("Name or service not known")

    monkeypatch.setattr(detector, "WEIGHTS", SimpleNamespace(url="https://there", get_state_dict=unreachable))
    code, out, err = run("run", "street.png")
    assert (code, out) == (1, "")
    said, error = err.splitlines()
    assert said == "people: finding them with torchvision's detector, because no box was given"
    assert error == (
        "error: detector: expected to download https://there once, got Name or service not known; give the person "
        "with --box, take the whole photo with --whole, or name the file with --detector-weights"
    )


@pytest.mark.parametrize("content", [b"no weights", None], ids=["text", "another network"])
def test_weights_of_something_else_are_refused_in_one_line(here, content):
    if content is None:
        torch.save({"weight": torch.zeros(2)}, here / "w.pth")
    else:
        (here / "w.pth").write_bytes(content)
    code, _, err = run("run", "street.png", "--detector-weights", "w.pth")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: w.pth: expected weights ")


def test_paths_pillow_images_and_arrays_give_the_same_poses(here):
    model = posernn.load(here / "run")
    image = Image.open(here / "street.png")
    given = [here / "street.png", "street.png", image, np.asarray(image)]
    poses = [model.predict(one, boxes=[[10, 4, 26, 36]]).joints_image for one in given]
    for other in poses[1:]:
        np.testing.assert_array_equal(other, poses[0])
    with pytest.raises(ValueError, match=r"image: expected \(H, W, 3\) of uint8, RGB, got \(5, 5\) of float64"):
        model.predict(np.zeros((5, 5)))
    with pytest.raises(InputError, match=r"no.jpg: expected a photo, got none: the image is missing"):
        model.predict("no.jpg")
    with pytest.raises(InputError, match=r"boxes: expected a box inside of street.png"):
        model.predict("street.png", boxes=[100, 100, 200, 200])


def test_one_photo_is_in_memory_at_a_time(here, monkeypatch):
    for number in range(6):
        photo(here / f"many/{number}.jpg")
    pictures, alive = [], []
    read = photos.read

    def counted(path):
        alive.append(sum(one() is not None for one in pictures))
        picture = read(path)
        pictures.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(photos, "read", counted)
    assert run("run", "many", "--whole", "--draw", "drawn")[0] == 0
    assert max(alive) <= 1  # the one before, until the name is given to the next
    assert len(pictures) == 6


def test_the_format_follows_the_suffix_in_any_case(tmp_path):
    assert outputs.format_of(tmp_path / "P.CSV") == "csv"


def chain(folder, **changes):
    """Write an untrained chain whose joints depend on those before them; give its folder."""
    arch, settings = next(case for case in tiny_models.TINY if case[0] == "chain")
    settings = settings.model_copy(update=changes)
    torch.manual_seed(0)
    models.save(folder, models.build(arch, settings), arch, settings, tiny_models.CROPS)
    return folder


def test_given_joints_stay_and_the_others_follow_from_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = chain(tmp_path / "chain")
    photo(tmp_path / "photo.png")
    box = [10, 5, 60, 35]
    assert run(folder, "photo.png", "--box", "10,5,60,35", "--given", "left_wrist=30,20", "--out", "a.json")[0] == 0
    person = read_json(tmp_path / "a.json")[0]
    joints = person["joints_image"]
    np.testing.assert_allclose(joints["left wrist"], [30, 20], atol=1e-4)
    assert person["confidence"]["left wrist"] == 1
    model = posernn.load(folder)
    free = model.predict("photo.png", boxes=box)
    same = model.predict("photo.png", boxes=box, given={"left wrist": (30, 20)})
    np.testing.assert_allclose(same.joints_image[0, Joint.RIGHT_ANKLE], joints["right ankle"], atol=0.01)
    assert np.abs(same.joints_image - free.joints_image).max(axis=2)[0, Joint.RIGHT_ANKLE] > 1e-3


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({}, ["--given", "wrist=1,2"], "given: expected a joint, got 'wrist'; there are right_ankle, "),
        ({}, ["--given", "left_wrist=1"], "--given: expected x,y in px, got 1"),
        ({}, ["--given", "left_wrist=1,2", "--box", "1,1,9,9"], "given: expected one person, got 2"),
        (
            {"decoder": "parallel", "feedback": "none", "history": "truth"},
            ["--given", "left_wrist=1,2"],
            "with feedback",
        ),
        (None, ["--given", "left_wrist=1,2"], "given: expected a chain, got a model"),
    ],
    ids=str,
)
def test_a_joint_that_cannot_be_given_is_one_line(tmp_path, monkeypatch, settings, options, message):
    monkeypatch.chdir(tmp_path)
    folder = save(tmp_path / "cnn") if settings is None else chain(tmp_path / "chain", **settings)
    photo(tmp_path / "photo.png")
    code, _, stderr = run(folder, "photo.png", "--box", "10,5,60,35", *options)
    assert code == 1
    assert message in stderr
    assert stderr.count("\n") <= 2  # and the progress
