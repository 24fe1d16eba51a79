"""The stages evaluate and compare, on a few people, with small models that nobody trained."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from posernn import models
from posernn.data import schemas
from posernn.evaluation import results
from posernn.pose import geometry
from posernn.pose.skeleton import DECODE_ORDERS
from posernn.runtime import tracking
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_table, write_csv, write_json, write_table
from stages import compare, evaluate

SIDE = 32
RECURRENT = {"layers": 1, "hidden_size": 8, "joint_order": "hard_first"}
HISTORY = [
    {"iteration": i, "loss": 0.1, "train_rmse": 9.0 - i / 100, "val_rmse": 9.5 - i / 100, "lr": 0.001}
    for i in (100, 200)
]


def write_some_crops(folder: Path, split: str, num: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 200, (num, 2))
    affines = np.stack(
        [geometry.crop_to_image(np.concatenate([c, c + rng.uniform(40, 200, 2)]), SIDE) for c in corners]
    )
    annotated = rng.random((num, 16)) > 0.1
    joints_crop = np.where(annotated[..., None], rng.uniform(0, SIDE, (num, 16, 2)), np.nan)
    head_size = rng.uniform(100, 200, num).astype(np.float32)  # so large that guesses are right now and then
    head_size[0] = np.nan
    jpegs = []
    for picture in rng.integers(0, 256, (num, SIDE, SIDE, 3), dtype=np.uint8):
        Image.fromarray(picture).save(buffer := io.BytesIO(), format="JPEG")
        jpegs.append({"bytes": buffer.getvalue(), "path": f"{len(jpegs):09d}.jpg"})
    columns = {
        "image_index": pa.array(range(num), pa.int32()),
        "person_index": pa.array([0] * num, pa.int32()),
        "split": pa.array([split] * num),
        "image": pa.array(jpegs, schemas.CROPS.field("image").type),
        "crop_to_image": schemas.from_numpy(affines.reshape(num, 6), schemas.CROPS.field("crop_to_image").type),
        "joints_crop": schemas.from_numpy(joints_crop.astype(np.float32), schemas.JOINTS),
        "joints_image": schemas.from_numpy(geometry.transform(joints_crop, affines).astype(np.float32), schemas.JOINTS),
        "annotated": schemas.from_numpy(annotated, schemas.FLAGS),
        "head_size": pa.array(head_size, pa.float32(), mask=np.isnan(head_size)),
    }
    table = pa.table([columns[name] for name in schemas.CROPS.names], schema=schemas.CROPS)
    write_table(folder / f"{split}-00000.parquet", table)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with parameters, crops and two runs: a cnn, and an lstm with attention."""
    root = tmp_path_factory.mktemp("project")
    text = (Path(__file__).parent.parent / "params.yaml").read_text(encoding="utf-8")
    for crop_size in ("crop_size: 64", "crop_size: 96"):
        text = text.replace(crop_size, f"crop_size: {SIDE}")
    text = text.replace("pictures: 8 ", "pictures: 1 ")
    (root / "params.yaml").write_text(text, encoding="utf-8")
    write_some_crops(root / "crops", "train", 30, seed=0)
    write_some_crops(root / "crops", "val", 12, seed=1)
    for role, name, more in (("baseline", "cnn", {}), ("model", "lstm_attention", RECURRENT)):
        torch.manual_seed(0)
        arguments = {"crop_size": SIDE, "trunk_width": 0.05} | more
        run = root / "runs" / role
        run.mkdir(parents=True)
        models.save(run, models.build(name, **arguments), name, **arguments)
        write_json(run / "run.json", {"run_id": None})
        write_csv(run / "history.csv", HISTORY)
    return root


@pytest.fixture(scope="module")
def evaluated(project: Path) -> Path:
    """Give the same folder with results of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for role in ("baseline", "model"):
            evaluate.main(role, Path("crops"), Path("runs") / role, Path("results") / role)
    return project


@pytest.fixture
def _inside(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(evaluated)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_evaluate_leaves_what_the_design_promises(evaluated: Path):
    names = ["metrics.json", "pckh_curve.csv", "per_joint.csv", "predictions.parquet", "samples.png"]
    of = {
        role: sorted(path.name for path in (evaluated / "results" / role).iterdir()) for role in ("baseline", "model")
    }
    assert of == {"baseline": names, "model": ["attention.npz", "attention.png", *names]}


def test_predictions_are_in_crop_and_image_px_by_each_persons_own_affine(evaluated: Path):
    crops = read_table(evaluated / "crops" / "val-00000.parquet", schemas.CROPS)
    found = read_table(evaluated / "results" / "baseline" / "predictions.parquet", schemas.PREDICTIONS)
    assert found["image"].to_pylist() == [f"{i:09d}.jpg" for i in range(12)]
    joints_crop, joints_image = schemas.to_numpy(found, "joints_crop"), schemas.to_numpy(found, "joints_image")
    affines = schemas.to_numpy(crops, "crop_to_image").reshape(-1, 2, 3)
    np.testing.assert_allclose(joints_image, geometry.transform(joints_crop, affines), atol=1e-3)
    model = models.load(evaluated / "runs" / "baseline")
    first = np.asarray(Image.open(io.BytesIO(crops["image"][0]["bytes"].as_py())))
    images = torch.from_numpy(first.copy()).permute(2, 0, 1)[None]
    expected = SIDE * evaluate.predict.predict(model, images, device=torch.device("cpu"))[0]
    np.testing.assert_allclose(joints_crop[0], expected, atol=1e-3)


def test_scores_are_flat_numbers_that_count_who_is_not_scored(evaluated: Path):
    scores = json.loads((evaluated / "results" / "model" / "metrics.json").read_text())
    assert all(isinstance(value, int | float) for value in scores.values())
    assert scores["num_people"] == 12
    assert scores["num_people_not_scored"] == 1
    curve = rows_of(evaluated / "results" / "model" / "pckh_curve.csv")
    assert [row["threshold"] for row in curve[:2]] == ["0.00", "0.01"]
    assert scores["pckh_total"] > 10
    assert float(curve[50]["pckh"]) == pytest.approx(scores["pckh_total"], abs=1e-3)
    assert float(curve[10]["pckh"]) == pytest.approx(scores["pckh10_total"], abs=1e-3)


def test_steps_are_those_of_the_models_own_order(evaluated: Path):
    at_once = rows_of(evaluated / "results" / "baseline" / "per_joint.csv")
    in_steps = rows_of(evaluated / "results" / "model" / "per_joint.csv")
    assert {row["step"] for row in at_once} == {""}
    assert [row["step"] for row in in_steps] == [str(step) for step in range(1, 17)]
    assert [row["joint"] for row in in_steps] == [joint.label for joint in DECODE_ORDERS["hard_first"]]


@pytest.mark.usefixtures("_inside")
def test_evaluate_twice_gives_the_same_bytes(tmp_path: Path):
    out = tmp_path / "again"
    evaluate.main("model", Path("crops"), Path("runs/model"), out)
    for path in out.iterdir():
        assert path.read_bytes() == Path("results/model", path.name).read_bytes(), path.name


@pytest.mark.usefixtures("_inside")
def test_final_scores_reach_the_run_that_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    told = []
    monkeypatch.setattr(tracking, "publish_results", lambda *arguments: told.append(arguments))
    evaluate.main("baseline", Path("crops"), Path("runs/baseline"), tmp_path / "out")
    assert told == [(Path("runs/baseline"), tmp_path / "out")]


@pytest.mark.usefixtures("_inside")
def test_a_model_for_other_crops_is_refused_in_one_line(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    arguments = {"crop_size": 64, "trunk_width": 0.05}
    models.save(run, models.build("cnn", **arguments), "cnn", **arguments)
    with pytest.raises(InputError, match="expected a model for crops of 32 px, got 64; train it"):
        evaluate.main("baseline", Path("crops"), run, tmp_path / "out")


@pytest.fixture(scope="module")
def reported(evaluated: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(evaluated)
        (evaluated / "reports").mkdir()
        (evaluated / "reports" / "left_over.png").touch()
        compare.main(Path("crops"), Path("runs"), Path("results"), Path("reports"))
    return evaluated


def test_compare_leaves_a_report_with_its_pictures(reported: Path):
    names = {path.name for path in (reported / "reports").iterdir()}
    pictures = {"pckh_over_threshold", "rmse_over_iterations", "joint_errors", "sample_people", "attention_model"}
    assert names == {"metrics.json", "table.md", *(f"{name}.png" for name in pictures)}
    table = (reported / "reports" / "table.md").read_text()
    assert all(f"({name}.png)" in table for name in pictures)
    assert "30 people to train on, 12 held out" in table


def test_the_report_has_the_scores_that_evaluate_found(reported: Path):
    report = json.loads((reported / "reports" / "metrics.json").read_text())
    for role in ("baseline", "model"):
        assert report[role] == json.loads((reported / "results" / role / "metrics.json").read_text())
    minus = report["model"]["pckh_total"] - report["baseline"]["pckh_total"]
    assert report["model_minus_baseline"]["points"] == pytest.approx(minus, abs=1e-3)
    assert report["median_pose"]["spread_ratio"] == pytest.approx(0.0, abs=1e-4)


@pytest.mark.usefixtures("_inside")
def test_compare_twice_gives_the_same_bytes_and_prints_the_table(reported: Path, tmp_path: Path, capsys):
    compare.main(Path("crops"), Path("runs"), Path("results"), tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (reported / "reports" / path.name).read_bytes(), path.name
    said = capsys.readouterr().out
    assert "lstm with attention" in said
    assert "points of Total PCKh@0.5" in said
    assert str(tmp_path / "table.md") in said


def test_predictions_for_other_people_are_refused(evaluated: Path):
    path = evaluated / "results" / "baseline" / "predictions.parquet"
    crops = read_table(evaluated / "crops" / "val-00000.parquet", schemas.CROPS)
    assert results.read_predictions(path, crops).shape == (12, 16, 2)
    with pytest.raises(InputError, match="expected predictions for the 12 held-out people, got 12 for others"):
        results.read_predictions(path, crops.take(np.arange(12)[::-1]))
    with pytest.raises(InputError, match=r"nowhere\.parquet: expected a Parquet file, got nothing"):
        results.read_predictions(path.with_name("nowhere.parquet"), crops)


@pytest.mark.parametrize("text", ["", "iteration,loss\n1,2\n", "iteration,train_rmse,val_rmse\n1,2,x\n"])
def test_a_history_that_is_none_is_refused(text: str, tmp_path: Path):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(InputError, match=r"expected numbers in columns iteration, train_rmse, val_rmse"):
        results.read_history(tmp_path / "history.csv")
    with pytest.raises(InputError, match="expected a training's history"):
        results.read_history(tmp_path / "nowhere.csv")


def test_attention_maps_come_back_as_they_were_kept_and_nothing_else_is_read(tmp_path: Path):
    maps = np.random.default_rng(0).random((2, 16, 2, 2)).astype(np.float32)
    results.write_attention(tmp_path / "attention.npz", np.array([3, 5]), maps)
    who, found = results.read_attention(tmp_path / "attention.npz")
    assert who.tolist() == [3, 5]
    np.testing.assert_array_equal(found, maps)
    assert results.read_attention(tmp_path / "nowhere.npz") is None
    np.savez(tmp_path / "objects.npz", who=np.array([{"an": "object"}]), maps=maps)
    with pytest.raises(InputError, match="expected attention maps"):
        results.read_attention(tmp_path / "objects.npz")
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="expected attention maps"):
        results.read_attention(tmp_path / "broken.npz")
