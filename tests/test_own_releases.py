"""Data sets in MPII's format as people write them with savemat, their validation lists and linked images."""

import gzip
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from small_project import environment, lay_out
from test_mpii import image, parse, people_of, point, reasons, rectangle, struct, write

from posernn.data import mpii, schemas, splits
from posernn.data.images import read_image
from posernn.runtime.errors import InputError


def rewrite(path, **fields):
    """Replace fields of a release."""
    release = loadmat(path)["RELEASE"]
    kept = {name: release[0, 0][name] for name in release.dtype.names}
    savemat(path, {"RELEASE": struct(kept | fields)})


def cells(*contents):
    """Return a cell array of one row, as savemat writes a list."""
    array = np.empty((1, len(contents)), dtype=object)
    for place, content in enumerate(contents):
        array[0, place] = content
    return array


@pytest.mark.parametrize(
    "number",
    [np.uint8(2), np.int32(2), np.float64(2), np.float32(2), "2", cells(np.float64(2)), cells("2")],
    ids=["uint8", "int32", "double", "single", "char", "cell", "cell of char"],
)
def test_single_person_is_read_whatever_its_class(tmp_path, number):
    path = write(tmp_path / "a.mat", *[image(rectangle(point(0, 5, 5)), rectangle(point(0, 9, 9))) for _ in range(2)])
    rewrite(path, single_person=cells(number, number).T)
    people, rejected, _ = mpii.parse_release(mpii.read_release(path))
    assert people["single_person"].to_pylist() == [False, True] * 2
    assert rejected.num_rows == 0


@pytest.mark.parametrize("numbers", [np.ones((2, 1)), np.ones((2, 1), dtype=bool), cells(1.0, 1.0), ["1", "1"]])
def test_single_person_may_have_one_number_for_each_image(tmp_path, numbers):
    path = write(tmp_path / "a.mat", *[image(rectangle(point(0, 5, 5))) for _ in range(2)])
    rewrite(path, single_person=numbers, img_train=cells(1.0, np.uint8(1)))
    people, *_ = mpii.parse_release(mpii.read_release(path))
    assert people["single_person"].to_pylist() == [True, True]
    assert people["split"].to_pylist() == ["train", "train"]


def test_a_single_person_that_is_no_rectangle_is_rejected(tmp_path):
    path = write(tmp_path / "a.mat", image(rectangle(point(0, 5, 5))))
    rewrite(path, single_person=cells(np.array([[1.5, 1.0, np.nan]])))
    people, rejected, _ = mpii.parse_release(mpii.read_release(path))
    assert people["single_person"].to_pylist() == [True]
    assert {reason for *_, reason in reasons(rejected)} == {
        f"single_person names rectangle {number}, the image has 1" for number in ("1.5", "nan")
    }


def test_cell_arrays_of_structures_are_read_as_structure_arrays(tmp_path):
    points = [point(2, 30.0, 40.0), {name: value for name, value in point(3, 50, 60).items() if name != "is_visible"}]
    objpos = cells(struct({"x": 7.0, "y": 8.0}))
    with_lists = rectangle(annopoints=cells(struct({"point": cells(*map(struct, points))}))) | {"objpos": objpos}
    people_of_image = cells(struct(with_lists), struct(rectangle(scale=None)), struct(with_lists))
    entry, train, alone, act = image(alone=(1, 3))
    entry |= {"annorect": people_of_image, "image": cells(struct({"name": cells("b.jpg")}))}
    path = write(tmp_path / "a.mat", (entry, train, alone, act), image(rectangle(point(0, 5, 5))))
    release = loadmat(path)["RELEASE"][0, 0]
    rewrite(path, annolist=cells(*(release["annolist"][:, place : place + 1] for place in range(2))))
    people, rejected, _ = mpii.parse_release(mpii.read_release(path))
    assert people.select(["image", "person_index", "single_person"]).to_pylist() == [
        {"image": "b.jpg", "person_index": 0, "single_person": True},
        {"image": "b.jpg", "person_index": 2, "single_person": True},
        {"image": "a.jpg", "person_index": 0, "single_person": True},
    ]
    assert reasons(rejected) == [(0, 1, "no joint is annotated")]
    assert schemas.to_numpy(people, "joints_image")[0, [2, 3]].tolist() == [[29, 39], [49, 59]]
    assert schemas.to_numpy(people, "center_image")[0].tolist() == [6, 7]


def test_cells_of_numbers_are_read(tmp_path):
    people, _ = parse(tmp_path, image(rectangle(point(3, cells(5.0), cells(np.uint8(6)), cells(1.0)))))
    assert schemas.to_numpy(people, "joints_image")[0, 3].tolist() == [4, 5]
    assert people["visible"][0].as_py()[3] is True


# --- joints that are not annotated ------------------------------------------------------------------------------------


def pose(*places):
    """A person whose first joints lie at these places, and whose last three lie apart."""
    given = [point(joint, float(x), float(y), np.uint8(0)) for joint, (x, y) in enumerate(places)]
    return rectangle(*given, point(13, 40.0, 50.0), point(14, 60.0, 70.0), point(15, 80.0, 91.0))


@pytest.mark.parametrize(
    ("places", "people", "missing"),
    [
        ([(0, 0)], 1, 1),
        ([(-1, -1)] * 3, 1, 3),
        ([(0, 300)] * 2, 1, 2),
        ([(-999, -999)] * 2, 1, 2),
        ([(200, 200)] * 5, 1, 5),
        ([(1, 1)] * 2, 2, 4),
        ([(200, 200)] * 4, 1, 0),
        ([(200, 200)], 2, 0),
        ([(-1, 200)], 2, 0),
    ],
)
def test_joints_at_a_place_that_stands_for_missing_are_not_annotated_and_counted(tmp_path, places, people, missing):
    images = [image(pose(*places), name=f"{number}.jpg") for number in range(people)]
    table, rejected, notes = mpii.parse_release(mpii.read_release(write(tmp_path / "a.mat", *images)))
    assert rejected.num_rows == 0
    annotated = schemas.to_numpy(table, "annotated")
    assert annotated.sum() == people * (len(places) + 3) - missing
    assert annotated[:, 13:].all()
    assert np.isfinite(schemas.to_numpy(table, "joints_image")).all(axis=-1).tolist() == annotated.tolist()
    assert {flags[0] for flags in table["visible"].to_pylist()} == ({None} if missing else {False})
    assert [note.split(" lie at ")[0] for note in notes] == (
        [f"{missing} joints of {people} people"] if missing else []
    )


# --- other files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + bytes(600), "one of Matlab 7.3; save"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "an HDF5 file; save RELEASE again with save -v7"),
        (gzip.compress(bytes(600), mtime=0), "a gzip file; unpack it"),
        (b"PK\x03\x04" + bytes(600), "a zip file; unpack it"),
        (b"   1.0000000e+00   2.0000000e+00\n" * 20, "a text file; save RELEASE again with save -v7"),
        (b"<!DOCTYPE html>\n<html>" + b" " * 600, "a web page; download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer; fetch the file itself"),
        (b"", "a damaged one"),
    ],
)
def test_a_file_of_another_format_is_one_line_that_says_which_and_what_to_do(tmp_path, contents, said):
    (tmp_path / "a.mat").write_bytes(contents)
    with pytest.raises(InputError) as caught:
        mpii.read_release(tmp_path / "a.mat")
    assert str(caught.value).startswith(f"{tmp_path / 'a.mat'}: expected a file of Matlab 5 to 7.2, got {said}")
    assert "\n" not in str(caught.value)


# --- what is left out is said -----------------------------------------------------------------------------------------


def run_stage(folder, name, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"stages.{name}", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_rejects_are_written_and_said_when_parse_fails_after_them(tmp_path):
    lay_out(tmp_path)
    lost = [image(rectangle(), name=f"{number}.jpg") for number in range(3)]
    write(tmp_path / "a.mat", *lost, image(pose((0, 0))))
    ended = run_stage(tmp_path, "parse", "a.mat", "data/splits", "people.parquet", "rejected.parquet")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(
        "error: parse.hold_out: expected at least 2 videos or images with single people"
    )
    assert "3 rejected, see rejected.parquet; 3: no joint is annotated" in ended.stdout
    assert "1 joints of 1 people lie at (0, 0)" in ended.stdout
    assert pq.read_table(tmp_path / "rejected.parquet").num_rows == 3
    assert not (tmp_path / "people.parquet").exists()


def test_rejects_are_written_and_said_when_nobody_has_a_crop(tmp_path):
    lay_out(tmp_path)
    (tmp_path / "images").mkdir()
    write(tmp_path / "a.mat", *[image(pose((9, 9)), name=f"{number}.jpg") for number in range(4)])
    assert run_stage(tmp_path, "parse", "a.mat", "data/splits", "p.parquet", "r.parquet").returncode == 0
    ended = run_stage(tmp_path, "crops", "p.parquet", "images", "crops", "crops-rejected.parquet")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: images: expected images of single people, got none for 4")
    assert "4 rejected, see crops-rejected.parquet; 4: the image is missing" in ended.stdout
    assert pq.read_table(tmp_path / "crops-rejected.parquet").num_rows == 4


# --- lists ------------------------------------------------------------------------------------------------------------

ROWS = [["image", "annolist_index", "annorect_index"], ["0.jpg", "0", "0"], ["2.jpg", "2", "0"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("blank", [[], [["", "", ""], [""], [" "]]])
def test_lists_are_read_as_excel_writes_them(tmp_path, encoding, separator, blank):
    lines = [separator.join(row) for row in [*ROWS, *blank]]
    (tmp_path / "list.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))
    listed = splits.read_list(tmp_path / "list.csv")
    assert [(row.image, row.key) for row in listed] == [("0.jpg", (0, 0)), ("2.jpg", (2, 0))]


def test_a_person_that_is_listed_twice_is_refused_wherever_a_list_is_read(tmp_path):
    (tmp_path / "list.csv").write_text("".join(",".join(row) + "\n" for row in [*ROWS, ROWS[1]]))
    people = people_of(*[(index, 0, "train", True, None) for index in range(4)])
    for read in (splits.read_list, lambda path: splits.hold_out_listed(people, path)):
        with pytest.raises(InputError, match=r"list.csv: expected each person once, got 1 .*, first 0.jpg"):
            read(tmp_path / "list.csv")


# --- links ------------------------------------------------------------------------------------------------------------


def test_images_that_are_links_are_followed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "images/deep").mkdir(parents=True)
    Image.new("RGB", (8, 9)).save(tmp_path / "store/a.png")
    (tmp_path / "images/a.png").symlink_to(tmp_path / "store/a.png")
    (tmp_path / "images/deep/b.png").symlink_to("../../store/a.png")
    (tmp_path / "images/linked").symlink_to(tmp_path / "store")
    for name in ("a.png", "deep/b.png", "linked/a.png"):
        assert read_image(tmp_path / "images", name).size == (8, 9)
