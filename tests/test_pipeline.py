"""The real `dvc repro` on a handful of rendered people, in a copy of the project, with a real MLflow database."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML
from small_project import ROOT, copy_project

TINY = {
    "synthetic": {"people": 40, "iterations": 4},
    "train": {"validate_every": 2, "checkpoint_every": 500},
}
ITSELF = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"} | {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "t"), ("EMAIL", "t@example.org"))
}

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Copy the project, uncommitted changes included, at a size of seconds; run the pipeline once."""
    folder = copy_project(tmp_path_factory.mktemp("pipeline") / "posernn", **TINY)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        run(folder, "git", *command)
    return folder, run(folder, "dvc", "repro")


def environment_of(folder):
    """Return the environment of a user in the project, whatever the tests' own."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "MLFLOW_", "POSERNN_", "GIT_", "PYTEST_"))
    }
    return (
        environment
        | ITSELF
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
            "PYTHONPATH": str(folder),
            "OMP_NUM_THREADS": "1",
            **{f"DVC_{level}_CONFIG_DIR": str(folder / ".dvc/tmp") for level in ("GLOBAL", "SYSTEM")},
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"),
        }
    )


def run(folder, *command):
    """Run a command in the project as a user does; return what it prints."""
    environment = environment_of(folder)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def stages_run(output):
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def mlflow_runs(folder):
    from mlflow import MlflowClient

    run(folder, "posernn", "sync")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return client.search_runs(experiments), client


def test_all_stages_run_and_leave_what_the_design_says(project):
    folder, output = project
    assert stages_run(output)[:3] == ["data/dvc.yaml:synthesize", "parse", "crops"]
    trained = {f"{stage}@{entry}" for stage in ("train", "evaluate") for entry in ("baseline", "model", "pretrained")}
    assert set(stages_run(output)[3:-1]) == trained
    assert stages_run(output)[-1] == "compare"
    for name in ("baseline", "model", "pretrained"):
        assert {path.name for path in (folder / "runs" / name).iterdir()} == {
            *("weights.safetensors", "model.json", "history.csv", "run.json")
        }
        model = json.loads((folder / "runs" / name / "model.json").read_text())
        assert model["crops"] == {"box": "joints", "padding": 20, "keep_aspect": False}
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
    pictures = [path.name for path in (folder / "reports/figures").glob("*.png")]
    assert len(pictures) >= 3
    assert all(name in table for name in pictures)
    assert "reports" in output  # says where they are


def test_a_second_repro_does_nothing_and_dvc_shows_metrics_and_plots(project):
    folder, _ = project
    assert stages_run(run(folder, "dvc", "repro")) == []
    shown = run(folder, "dvc", "metrics", "show", "--json")
    assert '"@0.1"' in shown
    run(folder, "dvc", "plots", "show", "-o", "plots", "--json")


def under(key, known):
    return any(key == one or key.startswith(f"{one}.") for one in known)


def test_stages_read_just_the_parameters_that_dvc_watches_for_them(project, tmp_path):
    folder, _ = project
    locks = [YAML(typ="safe", pure=True).load(folder / name) for name in ("data/dvc.lock", "dvc.lock")]
    stages = locks[0]["stages"] | locks[1]["stages"]
    commands = []
    for name, stage in stages.items():  # what a stage writes goes elsewhere, what it reads stays
        outputs = {out["path"] for out in stage["outs"]} | ({"data/synthetic"} if name == "synthesize" else set())
        command = shlex.split(stage["cmd"])[2:]
        commands.append([str(tmp_path / part) if part in outputs else part for part in command])
    recorder = str(ROOT / "tests/record_parameters.py")
    output = run(folder, "env", "POSERNN_TRACKING=off", "python", recorder, json.dumps(commands))
    printed = next(line for line in output.splitlines() if line.startswith("[["))
    found = dict(zip(stages, json.loads(printed), strict=True))
    undeclared, unread = [], []
    for name, read in found.items():
        declared = stages[name]["params"]["params.yaml"]
        undeclared += [(name, key) for key in read if not under(key, declared)]
        unread += [(name, known) for known in declared if not any(under(key, [known]) for key in read)]
    assert undeclared == [], "read, but a change of it would not run the stage again"
    assert unread == [], "a change of it runs the stage again for nothing"


def test_an_experiment_with_attention_retrains_the_model_only_and_going_back_restores_it(project):
    folder, _ = project
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "results")
    weights = (folder / "runs/model/weights.safetensors").read_bytes()

    output = run(folder, "dvc", "exp", "run", "-S", "model.attention=true")
    assert stages_run(output) == ["train@model", "evaluate@model", "compare"]
    assert json.loads((folder / "runs/model/model.json").read_text())["attention"] is True
    assert (folder / "results/model/maps.npz").exists()
    assert "lstm with attention" in (folder / "reports/table.md").read_text()
    difference = run(folder, "dvc", "metrics", "diff", "--json")
    assert '"Total"' in difference

    output = run(folder, "dvc", "exp", "run", "-S", "model.attention=false")
    assert "train@model" not in stages_run(output)
    assert (folder / "runs/model/weights.safetensors").read_bytes() == weights
    assert "model.attention" in run(folder, "dvc", "exp", "show", "--csv")


def test_the_model_of_the_docs_is_added_as_the_page_says(project):
    folder, _ = project
    page = (ROOT / "docs/how-to/add-a-model.md").read_text()
    code, section = (re.search(f"```{kind}\n(.*?)```", page, re.DOTALL)[1] for kind in ("python", "yaml"))
    (folder / "posernn/models/soft_argmax.py").write_text(code)
    with (folder / "params.yaml").open("a") as file:
        file.write(section)
    run(folder, "git", "add", "-A")
    output = run(folder, *re.search(r"^dvc exp run -S model.arch=\w+", page, re.MULTILINE)[0].split())
    assert stages_run(output) == ["train@model", "evaluate@model", "compare"]
    assert json.loads((folder / "runs/model/model.json").read_text())["arch"] == "soft_argmax"
    assert "| soft_argmax" in (folder / "reports/table.md").read_text()
    run(folder, "git", "reset", "-q", "--hard")  # the tests below have the committed models
    run(folder, "dvc", "checkout", "--force")


@pytest.mark.campaign
def test_ten_people_of_a_labelling_tool_are_trained_scored_and_predicted_as_the_docs_say(project):
    folder, _ = project
    page = (ROOT / "docs/how-to/your-own-data.md").read_text()
    people = pq.read_table(folder / "data/people.parquet")
    ten = people.filter(pa.array([any(flags) for flags in people["annotated"].to_pylist()])).slice(0, 10)
    pq.write_table(ten, folder / "ten.parquet")
    (folder / "data/own/images").mkdir(parents=True)
    for name in ten["image"].to_pylist():
        shutil.copy(folder / "data/synthetic/images" / name, folder / "data/own/images" / name)
    run(folder, "posernn", "export", "ten.parquet", "--coco", "data/own/annotations.json")
    exported = json.loads((folder / "data/own/annotations.json").read_text())
    for annotation in exported["annotations"]:  # labelling tools know no head boxes
        annotation.pop("bbox_head", None)
    (folder / "data/own/annotations.json").write_text(json.dumps(exported))
    section = re.search(r"```yaml\n(own:\n.*?)```", page, re.DOTALL)[1]
    for key, value in {"crop_size": 32, "trunk_width": 0.0625, "iterations": 4}.items():
        section = re.sub(rf"{key}: [\d.]+", f"{key}: {value}", section)
    with (folder / "params.yaml").open("a") as file:
        file.write(section)
    Image.open(folder / "data/own/images" / ten["image"][0].as_py()).resize((320, 500)).save(folder / "photo.jpg")
    run(folder, "git", "add", "-A")

    shutil.copytree(folder / "runs/pretrained", folder / "earlier")  # its trunk is the tests' tiny one
    commands = re.findall(r"^(?:dvc|posernn) .*", page.replace("rendered-small", "earlier"), re.MULTILINE)
    output = [run(folder, *shlex.split(command)) for command in commands]
    assert "weights from earlier" in output[1]
    assert {"parse", "crops", "train@baseline", "train@model", "compare"} <= set(stages_run(output[0]))
    report = (folder / "reports/table.md").read_text()
    assert report.startswith("# Comparison\n\n**PCKh: nobody can be scored")
    assert "torso PCK@0.2 in percent" in report
    assert not re.search("nan|None", report)
    assert '"torso PCK Total"' in run(folder, "dvc", "metrics", "show", "--json")
    assert (folder / "drawn/photo.jpg").exists()
    assert len(json.loads((folder / "people.json").read_text())["annotations"]) == 10
    assert {len(row["keypoints"]) for row in json.loads((folder / "predicted.json").read_text())} == {48}
    run(folder, "git", "reset", "-q", "--hard")  # the tests below have the committed models
    run(folder, "dvc", "checkout", "--force")


@pytest.mark.campaign
@pytest.mark.parametrize("link", ["reflink", "hardlink", "symlink", "copy"])
def test_stages_run_with_every_kind_of_links_to_dvcs_cache(link, tmp_path):
    folder = copy_project(tmp_path / "project", **TINY)
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "config", "--local", "cache.type", link)
    probe = subprocess.run(
        ["cp", f"--reflink={'always' if link == 'reflink' else 'auto'}", folder / "dvc.yaml", tmp_path]
    )
    if probe.returncode:
        pytest.skip("the file system has no reflinks")
    assert stages_run(run(folder, "dvc", "repro", "evaluate@baseline"))[-1] == "evaluate@baseline"
    if link == "symlink":
        assert all(path.is_symlink() for path in (folder / "data/synthetic/images").iterdir())
    shutil.rmtree(folder / "runs")
    run(folder, "dvc", "checkout", "train@baseline")
    assert stages_run(run(folder, "dvc", "repro", "evaluate@baseline")) == []


@pytest.mark.campaign
def test_temporary_and_queued_experiments_run_and_are_tracked_in_the_same_place(project):
    folder, _ = project
    run(folder, "dvc", "exp", "run", "--temp", "-n", "quick", "-S", "+baseline.train.lr=0.002")
    run(folder, "dvc", "exp", "run", "--queue", "-n", "later", "-S", "+baseline.train.lr=0.003")
    run(folder, "dvc", "queue", "start")
    run(folder, "dvc", "queue", "logs", "later", "-f")
    experiments = run(folder, "dvc", "exp", "list", "--name-only").split()
    assert {"quick", "later"} <= set(experiments)
    runs, _ = mlflow_runs(folder)
    lrs = {found.data.tags.get("DVC_EXP_NAME"): found.data.params.get("baseline.train.lr") for found in runs}
    assert lrs["quick"] == "0.002"
    assert lrs["later"] == "0.003"


def test_every_training_is_a_run_in_mlflow_with_curves_scores_and_pictures(project):
    folder, _ = project
    runs, client = mlflow_runs(folder)
    run_id = json.loads((folder / "runs/baseline/run.json").read_text())["run_id"]  # experiments train a cnn, too
    found = next(run for run in runs if run.data.tags["posernn.run_id"] == run_id)
    assert found.info.run_name == "cnn"
    assert found.info.status == "FINISHED"
    assert found.data.params["train.batch_size"] == "25"
    assert found.data.params["baseline.arch"] == "cnn"
    assert found.data.tags["dataset"] == "synthetic"
    assert found.data.tags["DVC_STAGE"] == "train@baseline"
    curve = client.get_metric_history(found.info.run_id, "val/rmse")
    assert [point.step for point in curve] == [2, 4]
    scores = json.loads((folder / "results/baseline/metrics.json").read_text())
    assert found.data.metrics["val/pckh_total"] == pytest.approx(scores["pckh_total"])
    assert "samples.png" in {Path(file.path).name for file in client.list_artifacts(found.info.run_id)}
