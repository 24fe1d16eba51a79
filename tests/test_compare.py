"""The stage compare and the files that it reads: three entries that nobody trained."""

import json
import subprocess
import sys
from pathlib import Path

import few_crops
import numpy as np
import pytest

from posernn.data import schemas
from posernn.data.shards import read_crops
from posernn.evaluation import results, scores
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_table, write_csv, write_json
from stages import compare

ENTRIES = {
    "baseline": {"arch": "cnn", "crop_size": few_crops.SIDE},
    "model": {"arch": "lstm", "attention": True, "joint_order": "hard_first", "crop_size": few_crops.SIDE},
    "third": {"arch": "hourglass", "stacks": 2, "crop_size": few_crops.SIDE},
}
HISTORY = [
    {"iteration": i, "loss": 0.1, "train_rmse": 9.0 - i / 100, "val_rmse": 9.5 - i / 100, "lr": 0.001}
    for i in (100, 200)
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with parameters, crops, runs and results; the third entry has maps."""
    folder = tmp_path_factory.mktemp("project")
    few_crops.write_project(folder)
    crops = read_crops(folder / "crops", "val")
    people = scores.people_of(crops)
    rng = np.random.default_rng(0)
    for error, (entry, model) in enumerate(ENTRIES.items(), start=1):
        pred_crop = np.nan_to_num(people.joints_crop, nan=16.0) + rng.normal(0, 3 * error, people.joints_crop.shape)
        write_json(folder / "runs" / entry / "model.json", model)
        write_csv(folder / "runs" / entry / "history.csv", HISTORY)
        write_json(folder / "runs" / entry / "run.json", {"run_id": None, "parameters": {"train.lr": "0.001"}})
        out = folder / "results" / entry
        results.write_scores(out, crops, people, pred_crop, joint_order=model.get("joint_order"), seed=0)
        if entry == "third":
            maps = rng.random((1, 16, 2, 3)).astype(np.float32)
            results.write_maps(out / "maps.npz", np.array([3]), maps / maps.sum(axis=(2, 3), keepdims=True))
    return folder


def report(project: Path, out: Path, entries: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    compare.main("crops", Path("runs"), Path("results"), out, entries)


@pytest.fixture(scope="module")
def reported(project: Path) -> Path:
    """Give the same folder with a report of all three entries, in place of an older one."""
    (project / "reports" / "metrics").mkdir(parents=True)
    (project / "reports" / "metrics" / "removed.json").touch()
    (project / "reports" / "removed.png").touch()
    with pytest.MonkeyPatch.context() as patch:
        report(project, Path("reports"), list(ENTRIES), patch)
    return project


def test_the_report_has_all_entries_and_nothing_of_an_older_report(reported: Path):
    figures = {"pckh_over_threshold", "rmse_over_iterations", "joint_errors", "sample_people", "maps_third"}
    found = {str(path.relative_to(reported / "reports")) for path in (reported / "reports").rglob("*.*")}
    metrics = {f"metrics/{entry}.json" for entry in ENTRIES}
    figures_found = {f"figures/{name}.png" for name in figures}
    assert found == {"details.json", "table.md", "index.html", *metrics, *figures_found}
    table = (reported / "reports" / "table.md").read_text()
    assert all(f"(figures/{name}.png)" in table for name in figures)
    assert all(f"\n| {label} " in table for label in ("cnn", "lstm with attention", "hourglass"))
    assert "30 training people, 12 held out" in table


def test_metrics_are_few_and_hold_the_difference_from_the_first_entry(reported: Path):
    metrics = {entry: json.loads((reported / f"reports/metrics/{entry}.json").read_text()) for entry in ENTRIES}
    columns = ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Total", "@0.1", "AUC"]
    assert list(metrics["baseline"]) == columns
    for entry in ("model", "third"):
        of_entry = metrics[entry]
        assert list(of_entry) == [*columns, "diff", "low", "high"]
        assert of_entry["diff"] == pytest.approx(of_entry["Total"] - metrics["baseline"]["Total"], abs=0.011)
        assert of_entry["low"] <= of_entry["diff"] <= of_entry["high"]
        assert all(value == round(value, 2) for value in of_entry.values())


def test_details_hold_the_scores_that_evaluate_found(reported: Path):
    details = json.loads((reported / "reports" / "details.json").read_text())
    assert list(details["scores"]) == ["mean_pose", "median_pose", *ENTRIES]
    for entry in ENTRIES:
        assert details["scores"][entry] == json.loads((reported / "results" / entry / "metrics.json").read_text())
    assert details["scores"]["median_pose"]["spread_ratio"] == pytest.approx(0.0, abs=1e-4)
    constant = [f"{entry}_minus_constant" for entry in ENTRIES]
    assert list(details["differences"]) == [*constant, "model_minus_baseline", "third_minus_baseline"]


def test_the_stage_takes_any_number_of_entries_and_gives_the_same_bytes_again(reported: Path, tmp_path: Path):
    command = [sys.executable, "-m", "stages.compare", "crops", "runs", "results", tmp_path / "again", *ENTRIES]
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, cwd=reported, env=environment, capture_output=True, text=True, check=True)
    for path in (reported / "reports").rglob("*.*"):
        again = tmp_path / "again" / path.relative_to(reported / "reports")
        assert again.read_bytes() == path.read_bytes(), path.name
    assert "hourglass is worse than cnn" in done.stdout
    assert str(tmp_path / "again" / "table.md") in done.stdout


def test_a_single_entry_is_held_against_the_constant_pose_alone(project: Path, tmp_path: Path, monkeypatch):
    report(project, tmp_path / "one", ["baseline"], monkeypatch)
    details = json.loads((tmp_path / "one" / "details.json").read_text())
    assert list(details["differences"]) == ["baseline_minus_constant"]
    assert "all models predict all joints at once" in (tmp_path / "one" / "table.md").read_text()


def test_an_entry_without_results_is_one_line(project: Path, tmp_path: Path, monkeypatch):
    with pytest.raises(InputError, match=r"results/fourth/predictions.parquet: expected a Parquet file, got nothing"):
        report(project, tmp_path / "none", ["baseline", "fourth"], monkeypatch)
    assert not (tmp_path / "none").exists()


def test_predictions_for_other_people_are_refused(project: Path):
    path = project / "results" / "baseline" / "predictions.parquet"
    crops = read_table(project / "crops" / "val-00000.parquet", schemas.CROPS)
    assert results.read_predictions(path, crops).shape == (12, 16, 2)
    with pytest.raises(InputError, match="expected predictions for the 12 held-out people, got 12 predictions for oth"):
        results.read_predictions(path, crops.take(np.arange(12)[::-1]))


@pytest.mark.parametrize("text", ["", "iteration,loss\n1,2\n", "iteration,train_rmse,val_rmse\n1,2,x\n"])
def test_a_history_without_numbers_is_refused(text: str, tmp_path: Path):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(InputError, match=r"expected numbers in columns iteration, train_rmse, val_rmse"):
        results.read_history(tmp_path / "history.csv")
    with pytest.raises(InputError, match="expected a training history"):
        results.read_history(tmp_path / "nowhere.csv")


def test_maps_are_read_as_they_were_written_and_pickles_are_refused(tmp_path: Path):
    maps = np.random.default_rng(0).random((2, 16, 2, 3)).astype(np.float32)
    results.write_maps(tmp_path / "maps.npz", np.array([3, 5]), maps)
    who, found = results.read_maps(tmp_path / "maps.npz")
    assert who.tolist() == [3, 5]
    np.testing.assert_array_equal(found, maps)
    assert results.read_maps(tmp_path / "nowhere.npz") is None
    np.savez(tmp_path / "objects.npz", who=np.array([{"an": "object"}]), maps=maps)
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    for name in ("objects.npz", "broken.npz"):
        with pytest.raises(InputError, match="expected maps of joints"):
            results.read_maps(tmp_path / name)
