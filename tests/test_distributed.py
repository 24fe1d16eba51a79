"""Several processes that train together: gradients of the entire batch, one writes, all end when one fails.

Torchrun runs this file as a program, too: see `train_here`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from small_project import STAGES, environment, lay_out
from test_training import SETTINGS, crops

from posernn.data.augmentation import Augmentation
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json, write_json
from posernn.training import processes
from posernn.training.loop import TrainingState, train
from posernn.training.optimization import make_optimizer

AUGMENTATION = Augmentation(flip=0.5, rotation=20.0, scale=0.2, color=0.2)

FAILS = """
import os, signal, time
from posernn.runtime.errors import InputError
from posernn.training import processes
from stages import run
def main(rank: str, how: str):
    if not processes.launched():
        return processes.launch(2)
    if os.environ["RANK"] == rank:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise (InputError if how == "input" else RuntimeError)("no room")
    time.sleep(1000)
if __name__ == "__main__":
    run(main)
"""

NOTES = """
import os
from stages import run, train
if __name__ == "__main__":
    replace = os.replace
    def noted(source, target):
        with open("written." + os.environ.get("RANK", "parent"), "a") as notes:
            notes.write(f"{target}\\n")
        replace(source, target)
    os.replace = noted
    run(train.main)
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gloo needs Linux or macOS")


class Exactly(torch.nn.Module):
    """A model in double precision with fixed batch statistics: any difference is a mistake, not rounding."""

    def __init__(self, model):
        super().__init__()
        self.model = model.double()

    def forward(self, images, truth=None):
        return self.model(images.double(), truth)

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        return self


def train_here(folder, group):
    """Train for a few batches and write the results of this process to a file."""
    torch.manual_seed(0)
    model = Exactly(tiny_models.of("cnn"))
    state = TrainingState(model, make_optimizer("sgd", model, 1e-3))
    held_out = crops(1, seed=1)  # rank 1 has no person to validate on
    steps = train(state, crops(23), held_out, **SETTINGS | {"augmentation": AUGMENTATION}, group=group)
    losses = [float(step.loss) for step in steps]
    rows = [[row.loss, row.train_rmse, row.val_rmse] for row in state.history]
    weights = [parameter.detach().abs().mean().item() for parameter in model.parameters()]
    write_json(folder / f"{group.rank}.json", {"losses": losses, "rows": rows, "weights": weights})


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.campaign)])
def test_without_batch_normalisation_several_processes_train_as_one(tmp_path, size):
    """Shares of 5 people are 3 and 2, or 2, 2 and 1: none has the mean of the batch."""
    train_here(tmp_path, processes.Group())
    alone = read_json(tmp_path / "0.json")
    (tmp_path / "0.json").unlink()
    torchrun = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={size}", __file__, tmp_path]
    command = [sys.executable, "-m", "torch.distributed.run", *torchrun]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for rank in range(size):
        found = read_json(tmp_path / f"{rank}.json")
        np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-6)
        np.testing.assert_allclose(found["rows"], alone["rows"], rtol=1e-6)
        np.testing.assert_allclose(found["weights"], alone["weights"], rtol=1e-6)


def test_a_batch_without_a_person_for_each_process_is_refused():
    group = processes.Group(rank=0, size=4)
    group.require_people(4)
    with pytest.raises(InputError, match="a person for each of 4 processes, got 3"):
        group.require_people(3)


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("rank", "how", "code", "said"),
    [
        ("0", "input", 1, "error: no room\n"),
        ("1", "input", 1, "error: no room\n"),
        ("1", "mistake", 1, "RuntimeError: no room\n\n"),
        ("0", "killed", -9, ""),
        ("1", "killed", -9, ""),
    ],
)
def test_a_process_that_fails_ends_all_of_them(tmp_path, rank, how, code, said):
    script = tmp_path / "script.py"
    script.write_text(FAILS)
    command = [sys.executable, script, rank, how]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"{said}error: training process {rank} died (exit code {code})\n")
    assert ended.stderr.count("Traceback") == (how == "mistake")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with crops of a few rendered people, and parameters of a small training."""
    folder = lay_out(tmp_path_factory.mktemp("project"))
    for stage in ("synthesize", "parse", "crops"):
        ended = start(folder, "-m", f"stages.{stage}", *STAGES[stage].split())
        assert ended.wait() == 0, ended.stderr.read()
    return folder


STARTED = []


def start(folder, *arguments):
    pipe = subprocess.PIPE
    # Tests that run in the background ignore Ctrl-C, and so would the processes that they start.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    STARTED.append(
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(),
            stdout=pipe,
            stderr=pipe,
            text=True,
            preexec_fn=heed,
        )
    )
    return STARTED[-1]


@pytest.fixture(autouse=True)
def none_left():
    """End the trainings of a test that failed."""
    yield
    for process in STARTED:
        process.kill()
        process.communicate()
    STARTED.clear()


def use(folder, project, *, iterations=60, **train):
    """Lay out a project that shares the crops and trains with other parameters."""
    train = {"checkpoint_every": 1000, "processes": 2} | train
    lay_out(folder, synthetic={"iterations": iterations}, train=train)
    if not (folder / "crops").exists():
        (folder / "crops").symlink_to(project / "data/crops")
    return folder


def history(folder):
    return np.loadtxt(folder / "runs/model/history.csv", delimiter=",", skiprows=1)


@pytest.mark.campaign
def test_a_stage_trains_with_several_processes_of_which_one_writes(tmp_path, project):
    (use(tmp_path, project, checkpoint_every=20) / "script.py").write_text(NOTES)
    ended = start(tmp_path, "script.py", "model", "crops", "runs/model")
    printed, said = ended.communicate()
    assert ended.returncode == 0, said
    assert printed.count("train model: lstm") == 1
    assert ", 2 processes" in printed
    assert said.count("crops: 17/17 people") == said.count("crops: 7/7 people") == said.count("60/60 batches") == 1
    assert [path.name for path in tmp_path.glob("written.*")] == ["written.0"]
    written = [Path(line).name for line in (tmp_path / "written.0").read_text().splitlines()]
    left = {path.name for path in (tmp_path / "runs/model").iterdir()}
    assert left == {"weights.safetensors", "model.json", "history.csv", "run.json"}
    assert set(written) - left == {next(name for name in written if name.startswith("model-"))}, "the checkpoint"


@pytest.mark.campaign
def test_torchrun_trains(tmp_path, project):
    use(tmp_path, project, processes=1)  # torchrun says how many there are
    torchrun = ["--standalone", "--local-addr=127.0.0.1", "--nproc-per-node=2", "-m", "stages.train"]
    ended = start(tmp_path, "-m", "torch.distributed.run", *torchrun, "model", "crops", "runs/model")
    printed, said = ended.communicate()
    assert ended.returncode == 0, said
    assert ", 2 processes" in printed
    assert history(tmp_path)[-1, 0] == 60


@pytest.mark.campaign
@pytest.mark.parametrize(("before", "after", "number"), [(2, 1, signal.SIGTERM), (1, 2, signal.SIGINT)])
def test_a_stopped_training_goes_on_with_another_number_of_processes(tmp_path, project, before, after, number):
    settings = {"checkpoint_every": 7, "validate_every": 5000, "batch_size": 12}
    use(tmp_path, project, processes=before, iterations=10_000, **settings)
    stopped = start(tmp_path, "-m", "stages.train", "baseline", "crops", "runs/model")
    wait_for_a_checkpoint(tmp_path, stopped)
    stopped.send_signal(number)
    printed, said = stopped.communicate()
    assert stopped.returncode == 130, said
    assert "Traceback" not in said
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1

    use(tmp_path, project, processes=after, iterations=10_000, **settings)
    resumed = start(tmp_path, "-m", "stages.train", "baseline", "crops", "runs/model")
    printed = "".join(resumed.stdout.readline() for _ in range(2))
    done = int(re.search(r"resuming after iteration (\d+) of 10000", printed)[1])
    assert before == 1 or done % 10 == 0, "where they agreed to stop, not at the checkpoint before"


def wait_for_a_checkpoint(folder, process):
    while not list((folder / "checkpoints").glob("*.safetensors")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.campaign
def test_processes_end_with_the_one_that_started_them(tmp_path, project):
    use(tmp_path, project, iterations=100_000, checkpoint_every=7)
    started = start(tmp_path, "-m", "stages.train", "model", "crops", "runs/model")
    wait_for_a_checkpoint(tmp_path, started)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    assert len(children) >= 2
    started.kill()
    started.communicate()
    while any(Path(f"/proc/{child}").exists() for child in children):
        time.sleep(0.1)


if __name__ == "__main__":
    with processes.join(torch.device("cpu")) as group:
        train_here(Path(sys.argv[1]), group)
