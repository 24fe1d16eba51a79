"""Predictions of other projects: `posernn score`, `posernn.score` and `posernn export --mpii`."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.io import loadmat, savemat
from typer.testing import CliRunner

import posernn
from posernn.cli import app
from posernn.data import schemas
from posernn.runtime import files
from posernn.runtime.errors import InputError
from posernn.submissions import eval_mpii, formats, scoring

KEYS = [("c.jpg", 4, 1), ("a.jpg", 0, 0), ("c.jpg", 4, 0)]  # the order of the list, not of the release
HEAD_SIZE = 10.0


def run(*arguments):
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def truth():
    """Joints of KEYS, px from 0."""
    return np.random.default_rng(0).uniform(0, 100, (3, 16, 2)).astype(np.float32).astype(np.float64)


def people_table():
    """The people of KEYS in the order of the release, and one more."""
    order = [1, 2, 0]
    keys = [*(KEYS[row] for row in order), ("d.jpg", 6, 0)]
    joints = np.concatenate([truth()[order], truth()[:1]]).astype(np.float32)
    columns = {
        "image": [key[0] for key in keys],
        "image_index": [key[1] for key in keys],
        "person_index": [key[2] for key in keys],
        "split": ["val"] * 4,
        "single_person": [True] * 4,
        **dict.fromkeys(("activity", "category", "video", "frame_sec"), [None] * 4),
        "center_image": schemas.from_numpy(np.full((4, 2), 50, np.float32), schemas.XY),
        "scale": [0.3] * 4,
        "head_box_image": schemas.from_numpy(np.zeros((4, 4), np.float32), pa.list_(pa.float32(), 4)),
        "head_size": [HEAD_SIZE] * 4,
        "joints_image": schemas.from_numpy(joints, schemas.JOINTS),
        "annotated": schemas.from_numpy(np.ones((4, 16), bool), schemas.FLAGS),
        "visible": schemas.from_numpy(np.ones((4, 16), bool), schemas.FLAGS),
    }
    return pa.table(columns, schema=schemas.PEOPLE)


def predicted():
    """Predictions for KEYS, px from 0: the last person's arms are 6 px off, which is wrong @0.5."""
    joints = truth()
    joints[2, 10:16, 0] += 6
    return joints


PERCENT = 100 * (3 * 14 - 6) / (3 * 14)


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Write the ground truth and the list; give the options that name them."""
    monkeypatch.chdir(tmp_path)
    files.write_table(tmp_path / "people.parquet", people_table())
    lines = ["image,annolist_index,annorect_index", *(f"{image},{index},{person}" for image, index, person in KEYS)]
    Path("list.csv").write_text("\n".join(lines) + "\n")
    return ["--people", "people.parquet", "--val-list", "list.csv"]


def hdf5(path, **arrays):
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    with h5py.File(path, "w", userblock_size=512 if path.endswith(".mat") else 0) as file:
        for name, array in arrays.items():
            file[name] = array


def mmpose(path, joints, *, batches):
    """Write mmpose's results: people in any order, x y confidence, px from 0."""
    sure = np.concatenate([joints, np.ones((len(joints), 16, 1))], axis=-1).tolist()
    if batches:
        content = [{"preds": sure[1:], "bbox_ids": [1, 2]}, {"preds": sure[:1], "bbox_ids": [0]}]
    else:
        content = [{"keypoints": sure[row], "bbox_id": row} for row in (2, 0, 1)]
    Path(path).write_text(json.dumps(content))


def npy(array):
    """Return the bytes of an .npy file; np.save would add a suffix in lower case."""
    np.save(buffer := io.BytesIO(), array)
    return buffer.getvalue()


WRITERS = {
    "preds.npy": lambda path, joints: np.save(path, joints + 1),
    "UPPER.NPY": lambda path, joints: Path(path).write_bytes(npy(joints + 1)),
    "float32.npy": lambda path, joints: np.save(path, (joints + 1).astype(np.float32)),
    "axes_16_2_n.npy": lambda path, joints: np.save(path, joints.transpose(1, 2, 0) + 1),
    "axes_n_2_16.npy": lambda path, joints: np.save(path, joints.transpose(0, 2, 1) + 1),
    "xyc.npy": lambda path, joints: np.save(path, np.concatenate([joints + 1, np.ones((3, 16, 1))], axis=-1)),
    "flat.npy": lambda path, joints: np.save(path, joints.reshape(3, 32) + 1),
    "preds.npz": lambda path, joints: np.savez(path, preds=joints + 1, other=np.zeros(3)),
    "hrnet.mat": lambda path, joints: savemat(path, {"preds": joints + 1}),
    "hourglass.h5": lambda path, joints: hdf5(path, preds=joints + 1),
    "matlab73.mat": lambda path, joints: hdf5(path, preds=(joints + 1).transpose(2, 1, 0)),
    "lists.json": lambda path, joints: Path(path).write_text(json.dumps((joints + 1).tolist())),
    "people.json": lambda path, joints: mmpose(path, joints, batches=False),
    "batches.json": lambda path, joints: mmpose(path, joints, batches=True),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_and_order_of_axes_gives_the_same_score(given, name):
    WRITERS[name](name, predicted())
    code, out, _ = run("score", name, *given)
    assert code == 0
    assert out.splitlines()[1].split()[8] == f"{PERCENT:.2f}"
    assert posernn.score(name, "people.parquet", val_list="list.csv")["pckh_total"] == pytest.approx(PERCENT)


def test_arrays_of_python_are_scored_too(given):
    scores = posernn.score(predicted() + 1, people_table(), val_list="list.csv")
    assert (scores["pckh_total"], scores["num_people"]) == (pytest.approx(PERCENT), 3)


@pytest.mark.parametrize("first_pixel", [0, 1])
def test_the_first_pixel_is_found_from_the_data_and_said(given, first_pixel):
    np.save("preds.npy", predicted() + first_pixel)
    _, out, err = run("score", "preds.npy", *given)
    assert f"{PERCENT:.2f}" in out
    found = f"median offset from the truth {first_pixel:+.1f}, {first_pixel:+.1f} px"
    assert err == f"preds: pixels counted from {first_pixel} (found from the data: {found})\n"


def test_predictions_with_an_offset_of_their_own_follow_the_formats_convention(given):
    np.save("preds.npy", predicted() - 2)
    Path("preds.json").write_text(json.dumps((predicted() - 2).tolist()))
    assert (
        "preds: pixels counted from 1 (the format's convention; the data do not tell: median offset from the "
        in (run("score", "preds.npy", *given)[2])
    )
    assert "pixels counted from 0 (the format's convention" in run("score", "preds.json", *given)[2]
    assert run("score", "preds.npy", *given, "--base", "0")[2] == ""


def test_several_files_are_one_table_with_paired_intervals(given):
    np.save("better.npy", truth() + 1)
    np.save("worse.npy", predicted() + 1)
    expected = 100 - PERCENT
    _, out, _ = run("score", "worse.npy", "better.npy", *given)
    assert [line.split()[0] for line in out.splitlines()] == ["Head", "worse", "better", "better", "3"]
    assert out.splitlines()[3].startswith(f"better - worse: Total +{expected:.2f} [+0.00, +")
    rows = json.loads(run("score", "worse.npy", "better.npy", *given, "--json")[1])
    assert [row["name"] for row in rows] == ["worse", "better"]
    assert rows[1]["pckh_total"] == 100
    assert rows[1]["difference"]["pckh_total"] == pytest.approx(expected, abs=1e-3)
    table = list(csv.DictReader(run("score", "worse.npy", "better.npy", *given, "--csv")[1].splitlines()))
    assert [row["Total"] for row in table] == [f"{PERCENT:.2f}", "100.00"]
    assert [row["Total - first"] for row in table] == ["", f"{expected:.2f}"]
    latex = run("score", "worse.npy", *given, "--latex")[1].splitlines()
    assert latex[1].startswith("worse & ")
    assert all(line.endswith(r" \\") for line in latex)


def test_files_of_other_people_are_not_subtracted(given, tmp_path):
    np.save("three.npy", truth() + 1)
    joints = truth().astype(np.float32)
    table = schemas.predictions_table(*map(list, zip(*KEYS[:2], strict=True)), joints[:2], joints[:2])
    files.write_table(tmp_path / "two.parquet", table)
    code, _, err = run("score", "three.npy", "two.parquet", *given)
    assert code == 1
    assert err.startswith("error: two: expected the 3 people of three, got 2 people of which some are others; score")


def test_evalmpii_reads_back_what_was_exported(given, tmp_path):
    joints = predicted()
    table = schemas.predictions_table(*map(list, zip(*KEYS, strict=True)), joints, joints)
    files.write_table(tmp_path / "p.parquet", table)
    code, out, _ = run("export", "p.parquet", "--mpii", "out.mat", "--people", "people.parquet")
    assert (code, out) == (0, "out.mat: pred with 3 people; pred(i) is image i of RELEASE.annolist\n")
    pred = loadmat("out.mat", squeeze_me=True)["pred"]
    assert pred.size == 7  # images 0 to 6: RELEASE.annolist up to the last one with people
    assert [entry["image"]["name"].item() for entry in pred[[0, 4, 6]]] == ["a.jpg", "c.jpg", "d.jpg"]
    points = pred[4]["annorect"][1]["annopoints"]["point"].item()
    assert points["id"].astype(int).tolist() == list(range(16))
    np.testing.assert_allclose([*points["x"]], joints[0, :, 0] + 1, atol=1e-4)  # Matlab counts from 1
    # The toolkit takes the rectangles that have an objpos, in `pred` as in the annotations.
    assert pred[6]["annorect"]["objpos"].item()["x"].item() == 51
    assert pred[6]["annorect"]["annopoints"].item().size == 0
    _, out, err = run("score", "out.mat", "--people", "people.parquet")
    assert out.splitlines()[1].split()[8] == f"{PERCENT:.2f}"
    assert err == ""


def test_a_structure_of_fewer_images_is_matched_by_their_names(given):
    joints = predicted()
    table = schemas.predictions_table(*map(list, zip(*KEYS, strict=True)), joints, joints)
    eval_mpii.write(Path("out.mat"), table, people_table())
    pred = loadmat("out.mat")["pred"]
    savemat("few.mat", {"pred": pred[:, [4, 0]]})
    assert posernn.score("few.mat", "people.parquet")["pckh_total"] == pytest.approx(PERCENT)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", b"", "expected predictions as .parquet, .npy, .npz, .mat, .h5, .hdf5, .json, got .txt; rename it"),
        ("p.npz", b"no zip", "expected a NumPy array, got "),
        ("p.h5", b"no file", "expected an HDF5 file, got another one; download it again"),
        ("p.mat", b"no file", "expected a file of Matlab 5 to 7.2, got: "),
        ("p.json", b'{"a": [1], "b": [2]}', "expected an array called preds, got a, b; rename it"),
        ("p.json", b'[{"name": "x"}]', "expected nested lists of people x 16 joints x 2, or mmpose's results, got "),
    ],
)
def test_a_file_without_predictions_is_one_line(given, name, content, message):
    Path(name).write_bytes(content)
    code, out, err = run("score", name, *given)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {name}: {message}")


def test_two_formats_at_once_are_refused(given):
    np.save("preds.npy", truth())
    code, _, err = run("score", "preds.npy", *given, "--json", "--csv")
    assert (code, err) == (1, "error: --json: expected one of --json, --csv and --latex, got several; choose one\n")


def test_the_usual_order_of_axes_comes_first():
    array = np.arange(16 * 16 * 2).reshape(16, 16, 2)  # sixteen people: the order cannot be told from the lengths
    np.testing.assert_array_equal(formats.joints_of("x", array), array)


def test_intervals_do_not_depend_on_the_order_of_the_people(given):
    np.save("one.npy", truth() + 1)
    first = scoring.score_file("one.npy", people_table(), KEYS)
    joints = predicted()[::-1].copy()
    other = scoring.score_file(joints + 1, people_table(), KEYS[::-1])
    (found,) = scoring.differences([first, other], draws=100)
    assert found.value == pytest.approx(PERCENT - 100)
    with pytest.raises(InputError, match=r"preds: expected predictions as"):
        scoring.score_file("preds", people_table(), KEYS)
