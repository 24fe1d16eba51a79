"""The folder of shards, local and at a URI: replaced as a whole, or known to be incomplete."""

import hashlib
import os

import fsspec
import pyarrow as pa
import pytest

from posernn.data import schemas, shards
from posernn.data.shards import read_crops
from posernn.runtime.errors import InputError


def uri_of(folder):
    """Give a URI that only fsspec knows; names are unique to the test, as the folder is."""
    return f"memory:/{folder}"


def files_at(uri):
    filesystem, path = fsspec.url_to_fs(uri)
    return {name.rpartition("/")[2]: filesystem.cat(name) for name in sorted(filesystem.ls(path, detail=False))}


def rows_of(number):
    """Give crops as small as they come: which is which says image_index."""
    row = {"image_index": number, "person_index": 0, "split": "train", "image": {"bytes": b"", "path": ""}}
    row |= {"crop_to_image": [0.0] * 6, "joints_crop": [[0.0] * 2] * 16, "joints_image": [[0.0] * 2] * 16}
    return pa.Table.from_pylist([row | {"annotated": [True] * 16, "head_size": 1.0}], schemas.CROPS)


def write_shards(folder, *numbers, fail=False):
    with shards.replacing(folder) as write:
        for place, number in enumerate(numbers):
            write("train", place, rows_of(number))
        if fail:
            raise OSError("connection lost")


def indices(folder):
    return read_crops(folder, "train")["image_index"].to_pylist()


@pytest.mark.parametrize("place", [str, uri_of])
def test_new_shards_replace_the_old_ones_and_change_the_digest(tmp_path, place):
    folder = place(tmp_path / "crops")
    write_shards(folder, 1, 2, 3)
    before = shards.digest(folder)
    write_shards(folder, 1, 2, 3)
    assert shards.digest(folder) == before
    write_shards(folder, 1, 4)
    assert shards.digest(folder) != before
    assert indices(folder) == [1, 4]
    assert list(files_at(folder)) == ["_SUCCESS", "train-00000.parquet", "train-00001.parquet"]


def test_other_files_at_a_uri_stay(tmp_path):
    folder = uri_of(tmp_path / "crops")
    fsspec.open(f"{folder}/notes.parquet", "w").open().close()
    write_shards(folder, 1)
    assert list(files_at(folder)) == ["_SUCCESS", "notes.parquet", "train-00000.parquet"]


def test_the_marker_holds_checksums_that_sha256sum_would_check(tmp_path):
    write_shards(tmp_path / "crops", 1, 2)
    lines = [line.split("  ") for line in (tmp_path / "crops/_SUCCESS").read_text().splitlines()]
    assert [name for _, name in lines] == ["train-00000.parquet", "train-00001.parquet"]
    for checksum, name in lines:
        assert hashlib.sha256((tmp_path / "crops" / name).read_bytes()).hexdigest() == checksum


def test_a_local_folder_stays_as_it_was_when_writing_fails(tmp_path):
    write_shards(tmp_path / "crops", 1, 2)
    with pytest.raises(InputError, match=r"crops: .*connection lost"):
        write_shards(tmp_path / "crops", 3, fail=True)
    assert indices(tmp_path / "crops") == [1, 2]
    assert os.listdir(tmp_path) == ["crops"]


def test_an_incomplete_folder_at_a_uri_is_refused(tmp_path):
    folder = uri_of(tmp_path / "crops")
    write_shards(folder, 1, 2)
    with pytest.raises(InputError, match="crops: expected to write crops there, got: connection lost; check"):
        write_shards(folder, 3, fail=True)
    assert list(files_at(folder)) == ["train-00000.parquet"]
    for read in (indices, shards.digest, lambda folder: shards.num_crops(folder, "train")):
        with pytest.raises(InputError, match="crops: expected crops and _SUCCESS, got none or an incomplete folder"):
            read(folder)


@pytest.mark.parametrize("place", [str, uri_of])
def test_missing_crops_are_one_line(tmp_path, place):
    with pytest.raises(InputError, match="crops: expected crops and _SUCCESS, got none or an incomplete folder; run"):
        indices(place(tmp_path / "crops"))
    write_shards(place(tmp_path / "crops"), 1)
    with pytest.raises(InputError, match="crops: expected crops of the val split, got none; run the crops stage"):
        read_crops(place(tmp_path / "crops"), "val")


def test_an_unknown_uri_is_one_line():
    with pytest.raises(InputError, match=r"gopher://crops: expected a URI that pyarrow or fsspec knows, got: .*"):
        indices("gopher://crops")
