"""dvc.yaml: what runs a stage again, and what does not."""

import contextlib
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from dvc.exceptions import ReproductionError
from dvc.repo import Repo
from ruamel.yaml import YAML
from small_project import ROOT, copy_project, lay_out, parameters

from posernn import models


def load(path):
    return YAML(typ="safe", pure=True).load((ROOT / path).read_text())


def stages():
    """Return name -> stage as written, foreach stages once."""
    written = load("data/dvc.yaml")["stages"] | load("dvc.yaml")["stages"]
    return {name: stage.get("do", stage) for name, stage in written.items()}


STAGES = stages()


@pytest.mark.parametrize("stage", STAGES)
def test_deps_exist_and_leave_out_what_never_changes_a_number(stage):
    code = [entry for entry in STAGES[stage]["deps"] if entry.startswith("posernn")]
    files = [entry.replace("${item.arch}", arch) for entry in code for arch in models.architectures()]
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert [entry for entry in code if entry.startswith("posernn/runtime")] == []


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_runs_its_module(stage):
    assert STAGES[stage]["cmd"].startswith(f"python -m stages.{stage} ")


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_switches_the_run_cache_off_but_the_reports(stage):
    flags = [out for key in ("outs", "metrics", "plots") for out in STAGES[stage].get(key, []) if isinstance(out, dict)]
    assert (stage == "compare") == bool(flags)
    assert "always_changed" not in STAGES[stage]


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """Return a copy of the project in which DVC takes all stages for finished; their outputs are placeholders."""
    folder = copy_project(tmp_path_factory.mktemp("dvc") / "project")
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")  # without Git
    with contextlib.chdir(folder), Repo() as repo:
        for out in [out for stage in repo.index.stages for out in stage.outs]:
            path = folder / out.fs_path
            if path.suffix:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(str(path))
            else:
                path.mkdir(parents=True)
                (path / "file").write_text(str(path))
        repo.commit(force=True)
    assert stale(folder) == set()
    return folder


@pytest.fixture
def project(committed, tmp_path):
    """Return a copy of it that a test may change."""
    return shutil.copytree(committed, tmp_path / "project", symlinks=True)


def stale(folder):
    """Return the names of the stages that `dvc repro` would run because of their own dependencies and parameters."""
    with contextlib.chdir(folder), Repo() as repo:
        return {name.split(":")[-1] for name in repo.status()}


def append(folder, *names):
    for name in names:
        with (folder / name).open("a") as file:
            file.write("# changed\n")


def test_a_data_set_whose_name_has_spaces_is_one_line_of_the_first_stage(project, capfd, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    values = parameters()
    values |= {"dataset": "my data", "my data": values["mpii"]}
    with (project / "params.yaml").open("w") as file:
        YAML().dump(values, file)
    (project / "data/my data").mkdir()
    (project / "data/my data/mpii_human_pose_v1_u12_1.mat").touch()
    with contextlib.chdir(project), Repo() as repo, pytest.raises(ReproductionError, match="'parse'"):
        repo.reproduce()
    told = capfd.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("error: ")] == [
        "error: params.yaml: dataset: expected a name of letters, digits, _ and -, got 'my data'; rename its section "
        "and its folder in data/"
    ]
    assert "Usage" not in "".join(told)


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("nobody", "nobody", "Parameters 'nobody.val_list' are missing from 'params.yaml'."),
        ("v1.2", "v1.2", "Parameters 'v1.2.val_list' are missing from 'params.yaml'."),
        ("nobody", "another", "No such file or directory: .*data/nobody'"),
    ],
    ids=["no section", "a dot", "neither section nor folder"],
)
def test_a_data_set_without_a_section_or_a_folder_is_one_line_before_any_stage(project, capfd, name, folder, message):
    values = parameters() | {"dataset": name}
    if "." in name:
        values[name] = values["mpii"]
    with (project / "params.yaml").open("w") as file:
        YAML().dump(values, file)
    (project / "data" / folder).mkdir()
    with contextlib.chdir(project), Repo() as repo, pytest.raises(ReproductionError, match="'parse'") as caught:
        repo.reproduce()
    assert re.search(message, str(caught.value.__cause__))
    assert "\n" not in str(caught.value.__cause__)
    assert "Running stage" not in capfd.readouterr().out


TRAININGS = {"train@baseline", "train@model", "train@pretrained"}


def test_a_new_model_runtime_and_report_retrain_nothing(project):
    append(project, "posernn/models/new.py", "posernn/runtime/files.py", "posernn/report/tables.py")
    assert stale(project) == {"compare"}


@pytest.mark.parametrize("room", ["models/parts", "training", "pose"])
def test_shared_code_retrains_both_models(project, room):
    append(project, min((project / "posernn" / room).glob("[a-z]*.py")).relative_to(project))
    assert stale(project) >= TRAININGS


@pytest.mark.parametrize(("arch", "entry"), [("cnn", "baseline"), ("lstm", "model"), ("heatmap", "pretrained")])
def test_the_code_of_an_architecture_retrains_its_entries_only(project, arch, entry):
    append(project, f"posernn/models/{arch}.py")
    assert stale(project) & TRAININGS == {f"train@{entry}"}


def test_attention_retrains_the_model_only(project):
    lay_out(project, model={"attention": True})
    assert stale(project) & TRAININGS == {"train@model"}


def test_the_size_of_a_crop_runs_crops_and_the_trainings(project):
    lay_out(project, synthetic={"crop_size": 64})
    assert stale(project) >= TRAININGS | {"crops"}
    assert "parse" not in stale(project)


def test_what_photos_need_to_know_of_the_crops_retrains_both_models(project):
    lay_out(project, crops={"keep_aspect": True})
    assert stale(project) >= TRAININGS | {"crops"}
