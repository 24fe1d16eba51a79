"""Stages in trouble: killed anywhere, asked to stop, without room, memory, permission or one of their processes.

Run again without trouble, the outputs are byte for byte those of a run that nobody disturbed. POSERNN_SOAK=50 makes
fifty times as much trouble; `make soak` does.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from small_project import ROOT, STAGES, environment, lay_out

TIMES = int(os.environ.get("POSERNN_SOAK", "1"))

WRITES = {
    "synthesize": ["data/synthetic"],
    "parse": ["data/people.parquet", "data/rejected.parquet"],
    "crops": ["data/crops", "data/crops-rejected.parquet"],
    "train": ["runs/model"],
    "evaluate": ["results/model"],
}

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.timeout(600 * TIMES),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks, which this system does not have"),
]


class Ended(NamedTuple):
    """What became of each run in trouble, and how long the last one took, without."""

    codes: list[int]
    said: list[str]
    seconds: float


def run_stage(folder, stage, troubles, *, prefix=()):
    """Run a stage in each of these troubles, and then to its end."""
    command = [*prefix, sys.executable, str(ROOT / "tests/run_in_trouble.py"), json.dumps(troubles), f"stages.{stage}"]
    ended = subprocess.run(
        [*command, *STAGES[stage].split()],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["ended"][-1] == 0, told["said"][-1]
    return Ended(told["ended"][:-1], told["said"][:-1], told["seconds"])


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A folder in which all stages ran undisturbed, and the seconds that each of them took."""
    folder = lay_out(
        tmp_path_factory.mktemp("kill") / "reference",
        synthetic={"iterations": 40},
        train={"checkpoint_every": 3},
        model={"attention": True},
    )
    return folder, {stage: run_stage(folder, stage, []).seconds for stage in STAGES}


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and "checkpoints" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def work(reference, tmp_path):
    """Make a copy of the reference in which one stage has not run yet."""

    def without(stage):
        shutil.copytree(reference[0], tmp_path / "work")
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


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_was_killed_ends_with_the_same_bytes(reference, work, stage):
    folder, seconds = reference
    rng = random.Random(stage)
    deaths = [{"seconds": seconds[stage] * rng.uniform(0.05, 0.95)} for _ in range(5 * TIMES)]
    deaths += [{"rename": number, "done": done} for number in (1, 2, 3) for done in (False, True)]
    deaths += [{"cut": int(10 ** rng.uniform(1, 5))} for _ in range(4 * TIMES)]
    rng.shuffle(deaths)
    again = work(stage)
    codes = run_stage(again, stage, deaths).codes

    assert sum(code != 0 for code in codes) >= len(deaths) / 2, f"hardly disturbed: {codes}"
    assert codes.count(-signal.SIGKILL) >= 5
    require_the_same(again, folder)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_asked_to_stop_ends_with_130_and_can_go_on(reference, work, stage):
    folder, seconds = reference
    rng = random.Random(stage)
    signals = ["SIGINT", "SIGTERM"] * 2 * TIMES
    stops = [{"seconds": seconds[stage] * rng.uniform(0.05, 0.7), "signal": name} for name in signals]
    again = work(stage)
    codes = run_stage(again, stage, stops).codes
    assert set(codes) <= {0, 130}, codes  # one that went on where another stopped may end before it is asked
    assert codes.count(130) >= TIMES, f"hardly disturbed: {codes}"
    require_the_same(again, folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_stopped_while_it_imports_says_nothing(tmp_path, stage, number):
    (tmp_path / "numpy.py").write_text(f"import os, time\nos.kill(os.getpid(), {number})\ntime.sleep(60)")
    command = [sys.executable, "-m", f"stages.{stage}", *STAGES[stage].split()]
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background ignores it
    environ = environment(PYTHONPATH=path)
    ended = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, preexec_fn=heed, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


def require_one_line(ended, pattern, *, at_least=1):
    """Hold all runs that did not end well to exit code 1 and one line for whoever can mend it."""
    assert set(ended.codes) <= {0, 1}, ended.said
    assert ended.codes.count(1) >= at_least, ended.codes
    for code, said in zip(ended.codes, ended.said, strict=True):
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in said
        assert len(errors) == code, said
        assert all(re.fullmatch(pattern, line) for line in errors), errors


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_is_full_is_one_line(reference, work, stage):
    rng = random.Random(stage)
    sizes = [0, 1, 100, *(int(10 ** rng.uniform(2, 5)) for _ in range(3 * TIMES))]
    again = work(stage)
    ended = run_stage(again, stage, [{"room": size} for size in sizes])
    require_one_line(ended, r"error: .*(File too large|No usable temporary directory|cannot be started).*", at_least=3)
    require_the_same(again, reference[0])


@pytest.fixture
def small_disk(tmp_path):
    """Make a folder on a disk of its own, with so much room; skip where that is not allowed."""
    mounted = []

    def of(size):
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("may not mount a disk of its own here")
        mounted.append(folder)
        return folder

    yield of
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("stage", STAGES)
def test_a_real_disk_that_is_full_is_one_line_and_keeps_what_was_there(reference, work, small_disk, stage):
    again, disk = work(stage), small_disk("8k")  # two pages: a folder and a small file
    (again / "elsewhere").symlink_to(disk)
    outs = [Path(out) for out in WRITES[stage]]
    arguments = [f"elsewhere/{Path(word).name}" if Path(word) in outs else word for word in STAGES[stage].split()]
    (disk / "kept").write_text("kept")
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    ended = subprocess.run(command, cwd=again, env=environment(), capture_output=True, text=True, check=False)
    require_one_line(Ended([ended.returncode], [ended.stderr], 0), r"error: elsewhere/.*No space left on device.*")
    assert [path.name for path in disk.rglob("*") if path.is_file()] == ["kept"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_that_may_not_be_written_to_is_one_line(reference, work, stage):
    prefix = ()
    if os.geteuid() == 0:  # to whom permissions do not apply
        if not shutil.which("setpriv"):
            pytest.skip("root, and no setpriv to be somebody else with")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    again = work(stage)
    parents = {again / Path(out).parent for out in WRITES[stage]} | {again}
    for folder in parents:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o555)
    script = f"{sys.executable} -m stages.{stage} {STAGES[stage]}"
    ended = subprocess.run(
        [*prefix, *script.split()], cwd=again, env=environment(), capture_output=True, text=True, check=False
    )
    for folder in parents:
        folder.chmod(0o755)
    require_one_line(Ended([ended.returncode], [ended.stderr], 0), r"error: .*: cannot be written: Permission denied.*")


@pytest.mark.parametrize("stage", STAGES)
def test_an_input_that_is_not_there_is_one_line(reference, work, stage):
    again = work(stage)
    for path in again.iterdir():
        shutil.rmtree(path) if path.is_dir() else None
    command = [sys.executable, "-m", f"stages.{stage}", *STAGES[stage].split()]
    if stage == "synthesize":  # whose only input is params.yaml
        (again / "params.yaml").unlink()
    ended = subprocess.run(command, cwd=again, env=environment(), capture_output=True, text=True, check=False)
    require_one_line(Ended([ended.returncode], [ended.stderr], 0), r"error: .*: expected .*, got .*")
    assert not list(again.rglob("*.parquet"))


@pytest.mark.parametrize("stage", ["synthesize", "parse", "crops"])
def test_a_process_that_is_killed_is_one_line(reference, work, stage):
    again = work(stage)
    ended = run_stage(again, stage, [{"worker": 0.1 + 0.1 * (number % 4)} for number in range(4 * TIMES)])
    require_one_line(ended, r"error: .*got (one that died|a process that died).*", at_least=2 * TIMES)
    require_the_same(again, reference[0])


@pytest.mark.parametrize("stage", ["crops", "train"])
def test_a_memory_that_is_full_is_one_line(reference, work, stage):
    again = work(stage)
    sizes = [20_000_000, 60_000_000, *(65_000_000 + 4_000_000 * number for number in range(4 * TIMES))]
    ended = run_stage(again, stage, [{"memory": size} for size in sizes])
    require_one_line(ended, r"error: (memory|processes): .*", at_least=3)
    require_the_same(again, reference[0])


def test_a_batch_that_does_not_fit_into_memory_is_one_line(reference, work):
    again = work("train")
    lay_out(again, train={"batch_size": 1_000_000})  # 3 GB of pixels
    ended = subprocess.run(
        [sys.executable, "-m", "stages.train", *STAGES["train"].split()],
        cwd=again,
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2_500_000_000,) * 2),
        capture_output=True,
        text=True,
        check=False,
    )
    require_one_line(Ended([ended.returncode], [ended.stderr], 0), r"error: memory: expected enough, .*")
