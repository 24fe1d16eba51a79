"""Cropping all people into shards: order, rejects, joints, and the same bytes however it is run."""

import io
import json
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageDraw

from posernn.data import batches, schemas, shards
from posernn.data.augmentation import crop_center
from posernn.data.crops import select, write_crops
from posernn.data.shards import read_crops
from posernn.pose import geometry
from posernn.runtime.errors import InputError

SETTINGS = {"box": "joints", "padding": 20.0, "keep_aspect": False, "side": 96, "jpeg_quality": 92}


def people_table(rows):
    """People from (image, image_index, person_index, split, single_person, joints (K, 2))."""
    joints = np.full((len(rows), 16, 2), np.nan, dtype=np.float32)
    for place, row in enumerate(rows):
        joints[place, : len(row[5])] = np.reshape(row[5], (-1, 2))
    known = {
        "image": [row[0] for row in rows],
        "image_index": [row[1] for row in rows],
        "person_index": [row[2] for row in rows],
        "split": [row[3] for row in rows],
        "single_person": [row[4] for row in rows],
        "head_size": [30.0] * len(rows),
        "scale": [0.5] * len(rows),
    }
    arrays = {
        "center_image": np.nanmean(joints, axis=1),
        "head_box_image": np.zeros((len(rows), 4)),
        "joints_image": joints,
        "annotated": np.isfinite(joints).all(axis=-1),
        "visible": np.zeros((len(rows), 16), dtype=bool),
    }
    columns = [
        schemas.from_numpy(arrays[field.name], field.type)
        if field.name in arrays
        else pa.array(known.get(field.name, [None] * len(rows)), field.type)
        for field in schemas.PEOPLE
    ]
    return pa.table(columns, schema=schemas.PEOPLE)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Give forty images of two people each, three of them unusable, and further people who get no crop."""
    images = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    rows = []
    for index in range(40):
        picture = Image.fromarray(random.integers(0, 256, (120, 160, 3), dtype=np.uint8)).resize((320, 240))
        for person in (0, 1):
            joints = random.uniform(20, 220, (12, 2))
            dots = ImageDraw.Draw(picture)
            for x, y in joints:
                dots.ellipse((x - 2, y - 2, x + 2, y + 2), "red")
            rows.append((f"{index}.jpg", index, person, "val" if index % 4 == 0 else "train", True, joints))
        picture.save(images / f"{index}.jpg")
    (images / "0.jpg").write_bytes(b"")
    (images / "1.jpg").unlink()
    rows += [
        ("../2.jpg", 40, 0, "train", True, [(30, 30), (50, 60)]),
        ("2.jpg", 2, 2, "train", False, [(30, 30), (50, 60)]),
        ("3.jpg", 3, 2, "test", True, [(30, 30), (50, 60)]),
        ("5.jpg", 5, 2, "train", True, []),
    ]
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="empty slice"):
        return images, people_table(rows)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_bytes_do_not_depend_on_the_number_of_processes(album, tmp_path, monkeypatch):
    monkeypatch.setattr("posernn.data.crops.SHARD_PEOPLE", 25)
    monkeypatch.setattr("posernn.data.crops.IMAGES_PER_TASK", 3)
    images, people = album
    shuffled = people.take(np.random.default_rng(0).permutation(people.num_rows))
    write_crops(people, images, tmp_path / "none", **SETTINGS)
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        write_crops(shuffled, images, tmp_path / "processes", **SETTINGS, executor=executor)
    written = contents(tmp_path / "none")
    assert list(written)[1:] == [
        "train-00000.parquet",
        "train-00001.parquet",
        "train-00002.parquet",
        "val-00000.parquet",
    ]
    assert contents(tmp_path / "processes") == written
    with ThreadPoolExecutor(4) as executor:
        write_crops(people, images, tmp_path / "threads", **SETTINGS, executor=executor)
    assert contents(tmp_path / "threads") == written


def test_a_shard_ends_when_it_holds_enough_bytes(album, tmp_path, monkeypatch):
    monkeypatch.setattr("posernn.data.crops.SHARD_BYTES", 100_000)
    images, people = album
    write_crops(people, images, tmp_path / "crops", **SETTINGS)
    whole = read_crops(tmp_path / "crops", "train")
    sizes = [len(picture["bytes"]) for picture in whole["image"].to_pylist()]
    shards = [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "crops").glob("train-*"))]
    assert sum(shards) == len(sizes) == 58
    assert len(shards) > 1
    start = 0
    for rows in shards[:-1]:
        assert sum(sizes[start : start + rows - 1]) < 100_000 <= sum(sizes[start : start + rows])
        start += rows


def test_each_person_has_a_crop_or_a_reason(album, tmp_path):
    images, people = album
    steps = []
    rejected = write_crops(
        people, images, tmp_path / "crops", **SETTINGS, progress=lambda *step: steps.append(step)
    ).to_pylist()
    assert [(row["image"], row["person_index"], row["reason"]) for row in rejected] == [
        ("0.jpg", 0, "the image cannot be decoded: unknown format"),
        ("0.jpg", 1, "the image cannot be decoded: unknown format"),
        ("1.jpg", 0, "the image is missing"),
        ("1.jpg", 1, "the image is missing"),
        ("../2.jpg", 0, "the image's name leads out of the images folder; not opened"),
    ]
    keys = ["image_index", "person_index"]
    train = read_crops(tmp_path / "crops", "train", keys).to_pylist()
    val = read_crops(tmp_path / "crops", "val", keys).to_pylist()
    expected = [{"image_index": index, "person_index": person} for index in range(40) for person in (0, 1)]
    assert val == [row for row in expected if row["image_index"] % 4 == 0 and row["image_index"] > 0]
    assert train == [row for row in expected if row["image_index"] % 4 and row["image_index"] > 1]
    assert steps[-1] == (81, 81)
    assert (
        len(train) + len(val) + len(rejected) == 81 == sum(select(people, split).num_rows for split in ("train", "val"))
    )


def test_each_image_is_decoded_once(album, tmp_path, monkeypatch):
    opened = []
    open_image = Image.open
    monkeypatch.setattr(Image, "open", lambda path, **kwargs: opened.append(path) or open_image(path, **kwargs))
    images, people = album
    write_crops(people, images, tmp_path / "crops", **SETTINGS)
    assert len(opened) == len(set(opened)) == 39, "the one that is not there and the one outside are not opened"


@pytest.mark.parametrize("box", ["joints", "person"])
def test_joints_crop_transformed_by_crop_to_image_are_joints_image(album, tmp_path, box):
    images, people = album
    write_crops(people, images, tmp_path / "crops", **SETTINGS | {"box": box})
    table = read_crops(tmp_path / "crops", "train")
    affine = schemas.to_numpy(table, "crop_to_image").reshape(-1, 2, 3)
    joints_crop = schemas.to_numpy(table, "joints_crop").astype(np.float64)
    joints_image = schemas.to_numpy(table, "joints_image")
    annotated = schemas.to_numpy(table, "annotated")
    back = geometry.transform(joints_crop, affine)
    np.testing.assert_allclose(back[annotated], joints_image[annotated], atol=0.01, rtol=0)
    assert np.isnan(joints_crop[~annotated]).all()
    assert annotated.sum() == 58 * 12
    if box == "joints":
        assert (joints_crop[annotated] > 0).all()
        assert (joints_crop[annotated] < 95).all()
    pictures = table["image"].to_pylist()
    assert Image.open(io.BytesIO(pictures[0]["bytes"])).size == (96, 96)
    assert [picture["path"] for picture in pictures[:2]] == ["2.jpg", "2.jpg"]


def test_training_crops_have_a_border_and_the_others_have_none(album, tmp_path):
    images, people = album
    write_crops(people, images, tmp_path / "plain", **SETTINGS)
    write_crops(people, images, tmp_path / "border", **SETTINGS, margin=0.25)
    for split, border in (("train", 24), ("val", 0)):
        plain = batches.load(tmp_path / "plain", split)
        found = batches.load(tmp_path / "border", split, crop_size=96)
        assert (found.crop_size, found.border) == (96, border)
        who = np.arange(4)
        assert found.images(who).shape == (4, 3, 96 + 2 * border, 96 + 2 * border)
        torch.testing.assert_close(found.joints_unit, plain.joints_unit, atol=1e-5, rtol=0)
        inner, expected = crop_center(found.images(who), 96).float(), plain.images(who).float()
        moved = inner.roll(1, dims=3)  # by one pixel
        assert (inner - expected).abs().mean() < 0.5 * (moved - expected).abs().mean()  # both are JPEG
    with pytest.raises(InputError, match=r"expected crops of 97 px, got 144; run the stage crops again"):
        batches.load(tmp_path / "border", "train", crop_size=97)


def test_hugging_face_datasets_reads_the_image_column_as_pictures(album, tmp_path):
    images, people = album
    write_crops(people, images, tmp_path / "crops", **SETTINGS)
    schema = pq.read_schema(tmp_path / "crops" / "train-00000.parquet")
    assert json.loads(schema.metadata[b"huggingface"])["info"]["features"]["image"] == {"_type": "Image"}
    # `datasets` uses the metadata only if the column has exactly this type.
    assert schema.field("image").equals(pa.field("image", pa.struct({"bytes": pa.binary(), "path": pa.string()})))


def test_no_crop_at_all_is_an_error_and_writes_nothing(album, tmp_path):
    _, people = album
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match=r"empty: expected images of single people, got none for 81 people, .* missing"
    ):
        write_crops(people, tmp_path / "empty", tmp_path / "crops", **SETTINGS)
    with pytest.raises(InputError, match="got no people at all"):
        write_crops(people.slice(0, 0), tmp_path / "empty", tmp_path / "crops", **SETTINGS)
    assert os.listdir(tmp_path) == ["empty"]


def _die(*args, **kwargs):
    os._exit(1)


def test_a_dead_worker_is_one_line_and_writes_nothing(album, tmp_path, monkeypatch):
    monkeypatch.setattr("posernn.data.crops.crops_of_images", _die)
    images, people = album
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as executor,
        pytest.raises(InputError, match="died"),
    ):
        write_crops(people, images, tmp_path / "crops", **SETTINGS, executor=executor)
    assert os.listdir(tmp_path) == []


def files_at(uri):
    filesystem, path = fsspec.url_to_fs(uri)
    return {name.rpartition("/")[2]: filesystem.cat(name) for name in sorted(filesystem.ls(path, detail=False))}


@pytest.mark.parametrize("scheme", ["memory:/", "file://"])
def test_shards_at_a_uri_are_those_of_a_local_folder(album, tmp_path, scheme, monkeypatch):
    monkeypatch.setattr("posernn.data.crops.SHARD_PEOPLE", 25)
    images, people = album
    local, remote = tmp_path / "local", f"{scheme}{tmp_path}/remote"
    for folder in (local, remote):
        write_crops(people, images, folder, **SETTINGS)
    assert files_at(remote) == contents(local)
    columns = ["image", "image_index", "person_index"]
    assert read_crops(remote, "train", columns).equals(read_crops(local, "train", columns))
    assert shards.num_crops(remote, "train") == shards.num_crops(local, "train") == 58
    assert shards.digest(remote) == shards.digest(local)
    here, there = batches.load(local, "val"), batches.load(remote, "val")
    assert torch.equal(here.images(np.arange(5)), there.images(np.arange(5)))
    assert torch.equal(here.joints_unit, there.joints_unit)
