"""DVC as people use it: docs/how-to/experiments.md on a handful of rendered people."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from small_project import ROOT, copy_project
from test_pipeline import TINY, environment_of, run, stages_run

pytestmark = [pytest.mark.campaign, pytest.mark.pipeline, pytest.mark.timeout(1200)]

ENTRIES = ("baseline", "model", "pretrained")
PAGE = (ROOT / "docs/how-to/experiments.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run the pipeline once, and commit the results."""
    folder = copy_project(tmp_path_factory.mktemp("experiments") / "posernn", **TINY)
    shutil.copy2(ROOT / "Makefile", folder)
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "start")
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "results")
    return folder


@pytest.fixture
def project(finished):
    """Give the project as it was committed."""
    yield finished
    run(finished, "git", "checkout", "-q", "-f", "main")
    run(finished, "dvc", "checkout", "--force")


def recipe(after):
    """Return the commands of the block that follows some words of the page."""
    return [shlex.split(line) for line in PAGE.split(after, 1)[1].split("```")[1].strip().splitlines()]


def table(output):
    """Return the rows of `make exp`, by name of the experiment."""
    return {line.split()[0]: line for line in output.splitlines() if line}


def test_changes_add_up_are_said_shown_and_taken_back(project):
    said = run(project, "dvc", "exp", "run", "-n", "attentive", "-S", "model.attention=true")
    assert "train model: params.yaml differs from the last commit: model.attention=true\n" in said
    said = run(project, "dvc", "exp", "run", "-n", "both", "-S", "lstm.layers=1")
    assert "train model: params.yaml differs from the last commit: lstm.layers=1, model.attention=true\n" in said

    rows = table(run(project, "make", "-s", "-o", "env", "exp"))
    header = re.split("  +", rows["Experiment"])  # scores that are the same everywhere are left out
    assert header[:2] + header[-2:] == ["Experiment", "rev", "model.attention", "lstm.layers"]
    assert set(header[2:-2]) <= {f"{entry} {score}" for entry in ENTRIES for score in ("Total", "diff")}
    assert re.split("  +", rows["attentive"])[-2:] == ["True", "2"]
    assert re.split("  +", rows["both"])[-2:] == ["True", "1"]
    assert max(map(len, rows.values())) <= 140

    shown = run(project, "dvc", "exp", "show", "--json")  # what DVC's extension for VS Code reads
    workspace = json.loads(shown[shown.index("[") :])[0]["data"]
    assert {"params", "metrics", "deps", "outs"} <= workspace.keys()
    assert all("error" not in file for kind in ("params", "metrics") for file in workspace[kind].values())
    assert workspace["metrics"].keys() == {
        f"reports/metrics/{entry}.json" for entry in ("baseline", "model", "pretrained")
    }
    run(project, "git", "commit", "-q", "--allow-empty", "-m", "next")
    assert "attentive" not in table(run(project, "make", "-s", "-o", "env", "exp"))
    assert "attentive" in table(run(project, "make", "-s", "-o", "env", "exp", "COMMITS=2"))
    run(project, "git", "reset", "-q", "--soft", "HEAD~1")

    for command in recipe("Back to the start"):
        run(project, *command)
    assert run(project, "git", "status", "--short") == ""
    assert stages_run(run(project, "dvc", "repro")) == []


def test_a_killed_dvc_leaves_no_stage_and_the_page_says_how_to_go_on(project):
    long = ["-S", "+model.train.iterations=300", "-S", "+model.train.checkpoint_every=5"]
    with (
        (project.parent / "killed.txt").open("w") as output,
        subprocess.Popen(
            ["dvc", "exp", "run", *long], cwd=project, env=environment_of(project), stdout=output, stderr=output
        ) as dvc,
    ):
        while not any((project / "checkpoints").glob("model-*")):  # before the first step there is nothing to save
            assert dvc.poll() is None, Path(output.name).read_text()
            time.sleep(0.1)
        stages = [
            process
            for process in psutil.Process(dvc.pid).children(recursive=True)
            if "stages.train" in process.cmdline()
        ]
        dvc.send_signal(signal.SIGTERM)
    assert "HEAD detached" in run(project, "git", "status")
    assert stages
    assert not psutil.wait_procs(stages, timeout=60)[1]
    said = ""
    for command in recipe("Return to your branch"):
        said += run(project, *command)
    assert re.search(r"train model: resuming after iteration \d+ of 300", said)
    assert stages_run(said) == ["train@model", "evaluate@model", "compare"]
    assert run(project, "git", "branch", "--show-current").strip() == "main"


def test_two_queued_experiments_run_side_by_side(project):
    run(project, "dvc", "exp", "run", "--queue", "-n", "first", "-S", "lstm.hidden_size=64")
    run(project, "dvc", "exp", "run", "--queue", "-n", "second", "-S", "lstm.layers=3")
    run(project, "dvc", "queue", "start", "--jobs", "2")
    logs = [run(project, "dvc", "queue", "logs", name, "-f") for name in ("first", "second")]
    assert [stages_run(log) for log in logs] == [["train@model", "evaluate@model", "compare"]] * 2
    deadline = time.monotonic() + 300
    while {"first", "second"} - set(run(project, "dvc", "exp", "list", "--name-only").split()):
        assert time.monotonic() < deadline
        time.sleep(1)


def test_a_clone_pulls_from_a_remote_and_has_nothing_to_run(project, tmp_path):
    run(project, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    run(project, "git", "commit", "-q", "-am", "remote")
    run(project, "dvc", "push")
    run(tmp_path, "git", "clone", "-q", str(project), "clone")
    clone = tmp_path / "clone"
    run(clone, "dvc", "pull")
    assert stages_run(run(clone, "dvc", "repro")) == []
    assert (clone / "runs/model/weights.safetensors").read_bytes() == (
        project / "runs/model/weights.safetensors"
    ).read_bytes()


def test_plots_and_differences_are_shown_without_a_complaint(project, tmp_path):
    run(project, "dvc", "exp", "run", "-n", "third", "-S", "model.attention=true")
    assert re.search(r"model\.json\s+Total\s", run(project, "dvc", "metrics", "diff", "--all"))
    for command in (["show"], ["diff", "HEAD", "third"]):
        said = run(project, "dvc", "plots", *command, "-o", str(tmp_path / command[0]))
        assert not re.search("fail|warning|error", said, re.IGNORECASE), said
        page = (tmp_path / command[0] / "index.html").read_text()
        assert page.count("vegaEmbed(") == 2
        assert page.count("<img") >= 4
    assert "dvc_plots" not in run(project, "git", "status", "--short")
