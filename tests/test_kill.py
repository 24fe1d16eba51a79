"""Killed anywhere, run again: the outputs are byte for byte those of a run that nobody disturbed.

POSERNN_SOAK=50 kills fifty times as often; `make soak` does.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
TIMES = int(os.environ.get("POSERNN_SOAK", "1"))

# stage -> its arguments, and what it writes
STAGES = {
    "synthesize": ("data/synthetic", ["data/synthetic"]),
    "parse": (
        "data/synthetic/mpii_human_pose_v1_u12_1.mat data/splits data/people.parquet data/rejected.parquet",
        ["data/people.parquet", "data/rejected.parquet"],
    ),
    "crops": (
        "data/people.parquet data/synthetic/images data/crops data/crops-rejected.parquet",
        ["data/crops", "data/crops-rejected.parquet"],
    ),
    "train": ("model data/crops runs/model", ["runs/model"]),
    "evaluate": ("model data/crops runs/model results/model", ["results/model"]),
}

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.timeout(600 * TIMES),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks, which this system does not have"),
]


def run_stage(folder, stage, deaths):
    """Run a stage to these deaths and then to its end; give what ended each run, and the last one's seconds."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    environment |= {"POSERNN_TRACKING": "off", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests/kill_stage.py"), json.dumps(deaths), f"stages.{stage}"]
    ended = subprocess.run(
        [*command, *STAGES[stage][0].split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["ended"][-1] == 0, ended.stderr
    return told["ended"][:-1], told["seconds"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A folder in which all stages ran undisturbed, and the seconds that each of them took."""
    folder = tmp_path_factory.mktemp("kill") / "reference"
    (folder / "data/splits").mkdir(parents=True)
    yaml = YAML()
    values = yaml.load(ROOT / "params.yaml")
    values["synthetic"].update(people=24, crop_size=32, trunk_width=0.0625, iterations=40, halve_lr_every=15)
    values["train"].update(validate_every=10, checkpoint_every=3)
    values["parse"].update(hold_out=0.3)
    values["model"].update(attention=True)
    values["evaluate"].update(bootstrap_draws=200, pictures=2)
    yaml.dump(values, folder / "params.yaml")
    return folder, {stage: run_stage(folder, stage, [])[1] for stage in STAGES}


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and "checkpoints" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def work(reference, tmp_path):
    """Make a copy of the reference in which one stage has not run yet."""

    def without(stage):
        shutil.copytree(reference[0], tmp_path / "work")
        for out in STAGES[stage][1]:
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
    deaths += [{"bytes": int(10 ** rng.uniform(1, 5))} for _ in range(4 * TIMES)]
    rng.shuffle(deaths)
    again = work(stage)
    ended, _ = run_stage(again, stage, deaths)

    assert sum(code != 0 for code in ended) >= len(deaths) / 2, f"hardly disturbed: {ended}"
    assert ended.count(-signal.SIGKILL) >= 5
    require_the_same(again, folder)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_asked_to_stop_ends_with_130_and_can_go_on(reference, work, stage):
    folder, seconds = reference
    again = work(stage)
    ended, _ = run_stage(
        again, stage, [{"seconds": 0.4 * seconds[stage], "signal": name} for name in ("SIGINT", "SIGTERM")]
    )
    assert ended == [130, 130]
    require_the_same(again, folder)
