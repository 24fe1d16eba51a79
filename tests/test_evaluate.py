"""The stage evaluate, on a few people, with small models that nobody trained."""

import csv
import io
import json
from pathlib import Path

import few_crops
import numpy as np
import pytest
import tiny_models
import torch
from few_crops import SIDE
from PIL import Image

from posernn import models
from posernn.data import schemas
from posernn.evaluation.predict import predict
from posernn.pose import geometry
from posernn.pose.skeleton import DECODE_ORDERS
from posernn.runtime import tracking
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_table, write_json
from stages import evaluate


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with parameters, crops and two runs: a cnn, and an lstm with attention."""
    root = tmp_path_factory.mktemp("project")
    few_crops.write_project(root)
    for role, name in (("baseline", "cnn"), ("model", "lstm_attention")):
        run = tiny_models.save(root / "runs" / role, name, crop_size=SIDE)
        write_json(run / "run.json", {"run_id": None})
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
    names = ["curve.csv", "metrics.json", "per_joint.csv", "predictions.parquet", "samples.png"]
    of = {
        role: sorted(path.name for path in (evaluated / "results" / role).iterdir()) for role in ("baseline", "model")
    }
    assert of == {"baseline": names, "model": sorted(["maps.npz", "maps.png", *names])}


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
    expected = SIDE * predict(model, images, device=torch.device("cpu")).joints_unit[0].numpy()
    np.testing.assert_allclose(joints_crop[0], expected, atol=1e-3)


def test_scores_are_flat_numbers_with_the_count_of_people_who_are_not_scored(evaluated: Path):
    scores = json.loads((evaluated / "results" / "model" / "metrics.json").read_text())
    assert all(isinstance(value, int | float) for value in scores.values())
    assert scores["num_people"] == 12
    assert scores["num_people_not_scored"] == 1
    curve = rows_of(evaluated / "results" / "model" / "curve.csv")
    assert [row["threshold"] for row in curve[:2]] == ["0.00", "0.01"]
    assert scores["pckh_total"] > 10
    assert float(curve[50]["percent"]) == pytest.approx(scores["pckh_total"], abs=1e-3)
    assert float(curve[10]["percent"]) == pytest.approx(scores["pckh10_total"], abs=1e-3)


def test_steps_are_those_of_the_models_own_order(evaluated: Path):
    at_once = rows_of(evaluated / "results" / "baseline" / "per_joint.csv")
    in_steps = rows_of(evaluated / "results" / "model" / "per_joint.csv")
    assert {row["step"] for row in at_once} == {""}
    assert [row["step"] for row in in_steps] == [str(step) for step in range(1, 17)]
    assert [row["joint"] for row in in_steps] == [joint.label for joint in DECODE_ORDERS["easy_first"]]


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
    run = tiny_models.save(tmp_path / "run", "cnn", crop_size=64)
    with pytest.raises(InputError, match="expected a model for crops of 32 px, got 64; train it"):
        evaluate.main("baseline", Path("crops"), run, tmp_path / "out")
