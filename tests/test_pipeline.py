"""The real `dvc repro` on a handful of rendered people, in a clone of the project, with a real MLflow database."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
TINY = {
    "synthetic": {"people": 40, "crop_size": 32, "trunk_width": 0.0625, "iterations": 4},
    "parse": {"hold_out": 0.3},
    "train": {"validate_every": 2},
    "evaluate": {"bootstrap_draws": 200, "pictures": 2},
}

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Clone what is here, uncommitted changes too, at a size of seconds; run the pipeline once."""
    folder = tmp_path_factory.mktemp("pipeline") / "posernn"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("dvc.lock", "data/dvc.lock", "reports/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    yaml = YAML()
    written = yaml.load(folder / "params.yaml")
    for section, values in TINY.items():
        written[section].update(values)
    yaml.dump(written, folder / "params.yaml")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command)
    return folder, run(folder, "dvc", "repro")


def run(folder, *command):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "MLFLOW_", "POSERNN_", "GIT_"))
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        "OMP_NUM_THREADS": "1",
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.org",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.org",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def stages_run(output):
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def mlflow_runs(folder):
    from mlflow import MlflowClient

    run(folder, "posernn", "sync")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return {found.info.run_name: found for found in client.search_runs(experiments)}, client


def test_all_stages_run_and_leave_what_the_design_says(project):
    folder, output = project
    assert stages_run(output)[:3] == ["data/dvc.yaml:synthesize", "parse", "crops"]
    trained = {"train@baseline", "train@model", "evaluate@baseline", "evaluate@model"}
    assert set(stages_run(output)[3:-1]) == trained
    assert stages_run(output)[-1] == "compare"
    for name in ("baseline", "model"):
        assert {path.name for path in (folder / "runs" / name).iterdir()} == {
            *("weights.safetensors", "model.json", "history.csv", "run.json")
        }
        history = (folder / "runs" / name / "history.csv").read_text().splitlines()
        assert history[0] == "iteration,loss,train_rmse,val_rmse,lr"
        assert [line.split(",")[0] for line in history[1:]] == ["2", "4"]
        scores = json.loads((folder / "results" / name / "metrics.json").read_text())
        assert 0 <= scores["pckh_total"] <= 100
    people = pq.read_table(folder / "data/people.parquet")
    assert sum(any(flags) for flags in people["annotated"].to_pylist()) == 40
    assert not (folder / "checkpoints").exists() or not any((folder / "checkpoints").iterdir())


def test_the_report_has_all_rows_and_its_pictures(project):
    folder, output = project
    table = (folder / "reports/table.md").read_text()
    for row in ("mean pose", "median pose", "cnn", "lstm", "the paper's CNN", "Stacked Hourglass"):
        assert row in table
    pictures = [path.name for path in (folder / "reports").glob("*.png")]
    assert len(pictures) >= 3
    assert all(name in table for name in pictures)
    assert "reports" in output  # says where they are


def test_a_second_repro_does_nothing_and_dvc_shows_metrics_and_plots(project):
    folder, _ = project
    assert stages_run(run(folder, "dvc", "repro")) == []
    shown = run(folder, "dvc", "metrics", "show", "--json")
    assert "pckh" in shown.lower()
    run(folder, "dvc", "plots", "show", "-o", "plots", "--json")


STAGES = (
    "synthesize",
    "parse",
    "crops",
    "train@baseline",
    "train@model",
    "evaluate@baseline",
    "evaluate@model",
    "compare",
)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_reads_just_the_parameters_that_dvc_watches_for_it(project, name, tmp_path):
    folder, _ = project
    stage, _, item = name.partition("@")
    written = {}
    for file in ("dvc.yaml", "data/dvc.yaml"):
        written |= YAML(typ="safe", pure=True).load((folder / file).read_text())["stages"]
    as_text = json.dumps(written[stage].get("do", written[stage]))
    resolved = json.loads(as_text.replace("${item}", item).replace("${dataset}", "synthetic"))
    declared = [
        key for entry in resolved["params"] for key in (entry["params.yaml"] if isinstance(entry, dict) else [entry])
    ]
    command = shlex.split(resolved["cmd"])[2:]
    outputs = {out if isinstance(out, str) else next(iter(out)) for out in resolved["outs"]} | {"data/synthetic"}
    if stage == "synthesize":
        command = [command[0], str(tmp_path / "synthetic")]
    else:  # what the stage writes goes elsewhere, what it reads stays
        reads = {"data/synthetic"}
        command = [str(tmp_path / part) if part in outputs - reads else part for part in command]
    recorder = str(ROOT / "tests/record_parameters.py")
    output = run(folder, "env", f"PYTHONPATH={folder}", "POSERNN_TRACKING=off", "python", recorder, *command)
    read = json.loads(next(line for line in reversed(output.splitlines()) if line.startswith('["')))

    undeclared = [key for key in read if not any(key == known or key.startswith(f"{known}.") for known in declared)]
    unread = [known for known in declared if not any(key == known or key.startswith(f"{known}.") for key in read)]
    assert undeclared == [], "read, but a change of it would not run the stage again"
    assert unread == [], "a change of it runs the stage again for nothing"


def test_an_experiment_with_attention_retrains_the_model_only_and_going_back_restores_it(project):
    folder, _ = project
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "results")
    weights = (folder / "runs/model/weights.safetensors").read_bytes()

    output = run(folder, "dvc", "exp", "run", "-S", "model.attention=true")
    assert stages_run(output) == ["train@model", "evaluate@model", "compare"]
    assert json.loads((folder / "runs/model/model.json").read_text())["name"] == "lstm_attention"
    assert (folder / "results/model/attention.npz").exists()
    assert "lstm with attention" in (folder / "reports/table.md").read_text()
    difference = run(folder, "dvc", "metrics", "diff", "--json")
    assert "pckh" in difference.lower()

    output = run(folder, "dvc", "exp", "run", "-S", "model.attention=false")
    assert "train@model" not in stages_run(output)
    assert (folder / "runs/model/weights.safetensors").read_bytes() == weights
    assert "model.attention" in run(folder, "dvc", "exp", "show", "--csv")


def test_temporary_and_queued_experiments_run_and_are_tracked_in_the_same_place(project):
    folder, _ = project
    run(folder, "dvc", "exp", "run", "--temp", "-n", "quick", "-S", "train.lr=0.002")
    run(folder, "dvc", "exp", "run", "--queue", "-n", "later", "-S", "train.lr=0.003")
    run(folder, "dvc", "queue", "start")
    run(folder, "dvc", "queue", "logs", "later", "-f")
    experiments = run(folder, "dvc", "exp", "list", "--name-only").split()
    assert {"quick", "later"} <= set(experiments)
    runs, _ = mlflow_runs(folder)
    lrs = {found.data.tags.get("DVC_EXP_NAME"): found.data.params["lr"] for found in runs.values()}
    assert lrs["quick"] == "0.002"
    assert lrs["later"] == "0.003"


def test_every_training_is_a_run_in_mlflow_with_curves_scores_and_pictures(project):
    folder, _ = project
    runs, client = mlflow_runs(folder)
    found = runs["baseline-cnn-synthetic"]
    assert found.info.status == "FINISHED"
    assert found.data.params["batch_size"] == "25"
    assert found.data.params["arch"] == "cnn"
    assert found.data.tags["dataset"] == "synthetic"
    assert found.data.tags["DVC_STAGE"] == "train@baseline"
    curve = client.get_metric_history(found.info.run_id, "val_rmse")
    assert [point.step for point in curve] == [2, 4]
    scores = json.loads((folder / "results/baseline/metrics.json").read_text())
    assert found.data.metrics["pckh_total"] == pytest.approx(scores["pckh_total"])
    assert "samples.png" in {Path(file.path).name for file in client.list_artifacts(found.info.run_id)}
