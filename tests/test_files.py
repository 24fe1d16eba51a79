"""Files are whole or absent."""

import os

import pyarrow as pa
import pytest

from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json, read_table, replacing, replacing_folder, write_json, write_table

SCHEMA = pa.schema([pa.field("x", pa.int32()), pa.field("y", pa.string())])


def test_an_error_on_the_way_leaves_the_old_file_and_no_trace(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:  # noqa: PT012 -- the block is what is tested
        partial.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_folders_are_made_and_json_comes_back(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"name": "Müller", "x": [1, None]})
    assert read_json(tmp_path / "new" / "a.json") == {"name": "Müller", "x": [1, None]}


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written: (Not a directory|File exists); nothing was left there"):
        write_json(tmp_path / "file" / "a.json", 1)


def test_a_folder_does_not_keep_what_a_killed_run_left(tmp_path):
    with replacing_folder(tmp_path / "crops") as unfinished:
        (unfinished / "kept").touch()
    unfinished.mkdir()
    (unfinished / "left").touch()
    with replacing_folder(tmp_path / "crops") as unfinished:
        (unfinished / "new").touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["crops", "crops/new"]


def test_broken_json_is_one_line(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a.json: expected JSON, got .*; run the stage that writes it again"):
        read_json(tmp_path / "a.json")


def test_tables_come_back_and_the_same_table_gives_the_same_bytes(tmp_path):
    table = pa.table({"x": [1, None], "y": ["a", "b"]}, schema=SCHEMA)
    write_table(tmp_path / "a.parquet", table)
    write_table(tmp_path / "b.parquet", table)
    assert read_table(tmp_path / "a.parquet", SCHEMA).equals(table)
    assert read_table(tmp_path / "a.parquet", SCHEMA, ["y"]).column_names == ["y"]
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_table_that_is_missing_broken_or_another_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected a Parquet file, got nothing"):
        read_table(tmp_path / "a.parquet", SCHEMA)
    (tmp_path / "a.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="expected a Parquet file, got "):
        read_table(tmp_path / "a.parquet", SCHEMA)
    write_table(tmp_path / "a.parquet", pa.table({"x": [1]}))
    with pytest.raises(InputError, match=r"expected the columns \['x', 'y'\], got \['x'\]; write it anew"):
        read_table(tmp_path / "a.parquet", SCHEMA)
