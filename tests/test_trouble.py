"""Stages in trouble: killed anywhere, interrupted, without room, permission, input or one of their workers.

Run again without trouble, the outputs are byte for byte those of an undisturbed run.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from small_project import ROOT, STAGES, environment, lay_out

WRITES = {
    "synthesize": ["data/synthetic"],
    "parse": ["data/people.parquet", "data/rejected.parquet"],
    "crops": ["data/crops", "data/crops-rejected.parquet"],
    "train": ["runs/model"],
    "evaluate": ["results/model"],
}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks, which this system does not have")


class Ended(NamedTuple):
    """Exit code and stderr of each run in trouble."""

    codes: list[int]
    said: list[str]


def run_stage(folder, stage, troubles):
    """Run a stage in each of these troubles, and then to its end."""
    command = [sys.executable, str(ROOT / "tests/run_in_trouble.py"), json.dumps(troubles), f"stages.{stage}"]
    command += STAGES[stage].split()
    ended = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["ended"][-1] == 0, told["said"][-1]
    return Ended(told["ended"][:-1], told["said"][:-1])


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A folder in which all stages ran undisturbed."""
    folder = lay_out(
        tmp_path_factory.mktemp("trouble") / "reference",
        synthetic={"iterations": 12},
        train={"checkpoint_every": 2},
        model={"attention": True},
    )
    for stage in STAGES:
        run_stage(folder, stage, [])
    return folder


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and "checkpoints" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def work(reference, tmp_path):
    """Make a copy of the reference in which one stage has not run yet."""

    def without(stage):
        shutil.copytree(reference, tmp_path / "work")
        for out in WRITES[stage]:
            path = tmp_path / "work" / out
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return tmp_path / "work"

    return without


def require_the_same(folder, reference):
    assert not [path for path in folder.rglob("*") if "partial" in path.name], "left behind"
    written, expected = contents(folder), contents(reference)
    assert sorted(written) == sorted(expected)
    assert [name for name in written if written[name] != expected[name]] == []


@pytest.mark.parametrize("stage", ["parse", "train"])
def test_a_stage_that_was_killed_ends_with_the_same_bytes(reference, work, stage):
    deaths = [{"at": 0.2}, {"cut": 1000}, {"rename": 1, "done": False}, {"rename": 1, "done": True}, {"at": 0.7}]
    again = work(stage)
    codes = run_stage(again, stage, deaths).codes
    assert codes == [-signal.SIGKILL, -signal.SIGXFSZ, *[-signal.SIGKILL] * 3]
    require_the_same(again, reference)


@pytest.mark.campaign
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_was_killed_anywhere_ends_with_the_same_bytes(reference, work, stage):
    deaths = [{"at": part / 8} for part in range(8)]
    deaths += [{"rename": number, "done": done} for number in (1, 2) for done in (False, True)]
    deaths += [{"cut": size} for size in (10, 1000)]
    again = work(stage)
    codes = run_stage(again, stage, deaths).codes
    # 0: a training that is resumed has fewer calls left; 1: the process that reads the annotations was killed.
    assert set(codes) <= {0, 1, -signal.SIGKILL, -signal.SIGXFSZ}
    assert codes.count(-signal.SIGKILL) >= 6
    assert codes.count(-signal.SIGXFSZ) >= 1
    require_the_same(again, reference)


def test_a_training_that_is_interrupted_exits_with_130_and_is_resumed(reference, work):
    again = work("train")
    codes = run_stage(again, "train", [{"at": 0.4, "signal": "SIGINT"}, {"at": 0.3, "signal": "SIGTERM"}]).codes
    assert codes == [130, 130]
    require_the_same(again, reference)


@pytest.mark.campaign
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_interrupted_anywhere_exits_with_130(reference, work, stage):
    again = work(stage)
    stops = [{"at": (part + 0.5) / 8, "signal": ["SIGINT", "SIGTERM"][part % 2]} for part in range(8)]
    codes = run_stage(again, stage, stops).codes
    assert set(codes) <= {0, 130}, "0: a training that is resumed has fewer calls left"
    assert codes.count(130) >= 4
    require_the_same(again, reference)


def require_one_line(ended, pattern):
    """Check that all runs exited with code 1 and one line for the user."""
    assert set(ended.codes) == {1}, ended.said
    for said in ended.said:
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in said
        assert len(errors) == 1, said
        assert re.fullmatch(pattern, errors[0])


def run_to_the_end(folder, arguments, *, prefix=(), **options):
    command = [*prefix, sys.executable, "-m", *arguments]
    ended = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, **options
    )
    return Ended([ended.returncode], [ended.stderr])


@pytest.mark.parametrize(
    "stage", ["parse", *(pytest.param(stage, marks=pytest.mark.campaign) for stage in STAGES if stage != "parse")]
)
def test_a_disk_that_is_full_is_one_line(reference, work, stage):
    again = work(stage)
    ended = run_stage(again, stage, [{"room": size} for size in (100, 400)])
    require_one_line(ended, r"error: .*File too large.*")
    require_the_same(again, reference)


@pytest.fixture
def small_disk(tmp_path):
    """Make a folder on a disk of 8 kB; skip where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", folder]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a disk of its own here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.campaign
@pytest.mark.parametrize("stage", STAGES)
def test_a_real_disk_that_is_full_is_one_line_and_keeps_what_was_there(work, small_disk, stage):
    again = work(stage)
    (again / "elsewhere").symlink_to(small_disk)
    outs = [Path(out) for out in WRITES[stage]]
    arguments = [f"elsewhere/{Path(word).name}" if Path(word) in outs else word for word in STAGES[stage].split()]
    (small_disk / "kept").write_text("kept")
    ended = run_to_the_end(again, [f"stages.{stage}", *arguments])
    require_one_line(ended, r"error: elsewhere/.*No space left on device.*")
    left = {path.name for path in small_disk.rglob("*") if path.is_file()}
    # A training writes run.json when it starts, and parse its rejects first, because they explain what fails later.
    assert left - {"run.json", "rejected.parquet"} == {"kept"}


@pytest.mark.campaign
@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_that_may_not_be_written_to_is_one_line(work, stage):
    prefix = ()
    if os.geteuid() == 0:  # permissions do not apply to root
        if not shutil.which("setpriv"):
            pytest.skip("root, and no setpriv to drop its rights")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    again = work(stage)
    parents = {again / Path(out).parent for out in WRITES[stage]} | {again}
    for folder in parents:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o555)
    ended = run_to_the_end(again, [f"stages.{stage}", *STAGES[stage].split()], prefix=prefix)
    for folder in parents:
        folder.chmod(0o755)
    require_one_line(ended, r"error: .*: cannot be written: Permission denied.*")


@pytest.mark.campaign
@pytest.mark.parametrize("stage", STAGES)
def test_an_input_that_is_not_there_is_one_line(work, stage):
    again = work(stage)
    for path in again.iterdir():
        shutil.rmtree(path) if path.is_dir() else None
    if stage == "synthesize":  # whose only input is params.yaml
        (again / "params.yaml").unlink()
    ended = run_to_the_end(again, [f"stages.{stage}", *STAGES[stage].split()])
    require_one_line(ended, r"error: .*: expected .*, got .*")
    assert not list(again.rglob("*.parquet"))


@pytest.mark.parametrize(
    "stage", ["crops", *(pytest.param(stage, marks=pytest.mark.campaign) for stage in ("synthesize", "parse"))]
)
def test_a_worker_that_is_killed_is_one_line(reference, work, stage):
    again = work(stage)
    ended = run_stage(again, stage, [{"worker": 1}, {"worker": 6}])
    require_one_line(ended, r"error: .*got one that (died|ends the reader).*")
    require_the_same(again, reference)


@pytest.mark.campaign
def test_a_batch_that_does_not_fit_into_memory_is_one_line(work):
    again = work("train")
    lay_out(again, train={"batch_size": 1_000_000})  # 3 GB of pixels
    ended = run_to_the_end(
        again,
        ["stages.train", *STAGES["train"].split()],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2_500_000_000,) * 2),
    )
    require_one_line(ended, r"error: memory: expected enough, .*")
