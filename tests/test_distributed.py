"""Several processes that train together: the same curve as one alone, one that writes, and one line when one fails."""

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
import torch
from small_project import ROOT, STAGES, environment, lay_out
from test_training import SETTINGS, SIDE, crops

from posernn import models, params
from posernn.runtime import files
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json, write_json
from posernn.training import processes
from posernn.training.loop import TrainingState, make_optimizer, train, validate

AUGMENT = {"flip": 0.5, "rotation": 20.0, "scale": 0.2, "color": 0.2}

pytestmark = [pytest.mark.timeout(280), pytest.mark.skipif(not hasattr(os, "fork"), reason="gloo needs Linux or macOS")]


class Exactly(torch.nn.Module):
    """A model in double precision, so that what is left of a difference is a mistake and not rounding."""

    def __init__(self, model):
        super().__init__()
        self.model = model.double()

    def forward(self, images):
        return self.model(images.double())


def train_here(folder, group):
    """Train for a few batches and write down what came of it."""
    torch.manual_seed(0)
    model = Exactly(models.build("cnn", crop_size=SIDE, trunk_width=0.0625))
    state = TrainingState(model, make_optimizer("sgd", model, SETTINGS["lr"]))
    held_out = crops(3, seed=1)  # a process may have nobody to validate on
    steps = train(state, crops(23), held_out, **SETTINGS | AUGMENT, group=group)
    losses = [float(step.loss) for step in steps]
    rows = [[row.loss, row.train_rmse, row.val_rmse] for row in state.history]
    averages = [float(value.double().mean()) for name, value in model.named_buffers() if "running" in name]
    alone = validate(model, held_out, torch.float32)
    weights = [float(parameter.detach().abs().mean()) for parameter in model.parameters()]
    found = {"losses": losses, "rows": rows, "averages": averages, "weights": weights, "alone": alone}
    write_json(folder / f"{group.rank}.json", found)


def train_together(folder):
    with processes.join(torch.device("cpu")) as group:
        train_here(folder, group)


def fail_in_one(rank, how):
    if os.environ["RANK"] == rank:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "silent":
            os._exit(1)
        raise (InputError if how == "input" else RuntimeError)("no room")
    time.sleep(60)


def explain(error):
    return str(error) if isinstance(error, InputError) else None


def fail_in_all():
    raise InputError("no room for anybody")


def note_what_is_written(folder, *arguments):
    """Train with a note of every file that this process writes."""
    import stages.train

    replacing = files.replacing

    def noted(path):
        with (folder / f"{os.environ['RANK']}.written").open("a") as notes:
            notes.write(f"{path}\n")
        return replacing(path)

    files.replacing = noted
    stages.train.train_one(params.load(), *arguments)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    train_here(folder, processes.Group())
    return read_json(folder / "0.json")


@pytest.mark.parametrize("processes", [2, 3])
def test_the_loss_curve_is_that_of_one_process(tmp_path, alone, processes):
    """Shares of 5 people are 3 and 2, or 2, 2 and 1: none is the whole batch's mean."""
    processes.launch(processes, explain, train_together, tmp_path)
    for rank in range(processes):
        found = read_json(tmp_path / f"{rank}.json")
        np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-5)
        np.testing.assert_allclose(found["rows"], alone["rows"], rtol=1e-5)
        np.testing.assert_allclose(found["averages"], alone["averages"], rtol=1e-5)
        np.testing.assert_allclose(found["weights"], alone["weights"], rtol=1e-5)
        assert found["alone"] == pytest.approx(found["rows"][-1][2], rel=1e-6)


@pytest.mark.parametrize(
    ("rank", "how", "said"),
    [
        ("0", "input", "^no room"),
        ("1", "input", "^process 1 of the training: no room"),
        ("0", "killed", "^process 0 of the training: one that died"),
        ("1", "killed", "^process 1 of the training: one that died"),
        ("1", "silent", "^process 1 of the training: one that died"),
    ],
)
def test_a_process_that_fails_ends_all_of_them(rank, how, said):
    with pytest.raises(InputError, match=said):
        processes.launch(2, explain, fail_in_one, rank, how)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_mistake_in_one_process_is_shown_where_it_was_made(rank, capfd):
    with pytest.raises(SystemExit, match="1"):
        processes.launch(2, explain, fail_in_one, rank, "mistake")
    said = capfd.readouterr().err
    assert said.count("RuntimeError: no room") == 1
    assert ", in fail_in_one\n" in said


def test_of_several_that_fail_one_is_heard(capfd):
    with pytest.raises(InputError, match="no room for anybody"):  # chance says which of them is seen first
        processes.launch(2, explain, fail_in_all)
    assert capfd.readouterr().err == ""


def test_a_process_without_a_person_is_refused():
    group = processes.Group(rank=0, size=4)
    group.require_people(4)
    with pytest.raises(InputError, match="a person for each of 4 processes, got 3"):
        group.require_people(3)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with crops of a few rendered people, and parameters of a small training."""
    folder = lay_out(tmp_path_factory.mktemp("project"))
    for stage in ("synthesize", "parse", "crops"):
        ended = start(folder, f"stages.{stage}", *STAGES[stage].split())
        assert ended.wait() == 0, ended.stderr.read()
    return folder


STARTED = []


def start(folder, module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    pipe = subprocess.PIPE
    # Whoever runs the tests in the background ignores Ctrl-C, and what is started inherits that.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    STARTED.append(
        subprocess.Popen(command, cwd=folder, env=environment(), stdout=pipe, stderr=pipe, text=True, preexec_fn=heed)
    )
    return STARTED[-1]


@pytest.fixture(autouse=True)
def none_left():
    """A test that failed leaves no training behind."""
    yield
    for process in STARTED:
        process.kill()
        process.wait()
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


def test_one_process_writes_and_records(tmp_path, project, monkeypatch):
    monkeypatch.chdir(use(tmp_path, project, checkpoint_every=20))
    monkeypatch.delenv("POSERNN_TRACKING", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody is there: what is recorded stays
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    processes.launch(2, explain, note_what_is_written, tmp_path, "model", Path("crops"), Path("runs/model"))
    assert [path.name for path in tmp_path.glob("*.written")] == ["0.written"]
    (recorded,) = (tmp_path / "mlflow-pending").glob("*/history.csv")
    assert len(recorded.read_text().splitlines()) == 1 + 6


def test_a_stage_trains_with_several_processes(tmp_path, project):
    use(tmp_path, project)
    ended = start(tmp_path, "stages.train", "model", "crops", "runs/model")
    printed, said = ended.communicate()
    assert ended.returncode == 0, said
    assert printed.count("train model: lstm") == 1
    assert ", 2 processes" in printed
    assert said.count("crops: 17/17 people") == said.count("crops: 7/7 people") == said.count("60/60 batches") == 1
    assert sorted(path.name for path in (tmp_path / "runs/model").iterdir()) == [
        "history.csv",
        "model.json",
        "run.json",
        "weights.safetensors",
    ]


def test_torchrun_trains(tmp_path, project):
    use(tmp_path, project, processes=1)  # torchrun says how many there are
    torchrun = ["--standalone", "--nproc-per-node=2", "-m", "stages.train", "model", "crops", "runs/model"]
    ended = start(tmp_path, "torch.distributed.run", *torchrun)
    printed, said = ended.communicate()
    assert ended.returncode == 0, said
    assert ", 2 processes" in printed
    assert history(tmp_path)[-1, 0] == 60


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_training_goes_on_with_another_number_of_processes(tmp_path, project, before, after, number):
    settings = {"iterations": 150, "checkpoint_every": 7, "validate_every": 50, "batch_size": 12}
    use(tmp_path, project, processes=before, **settings)
    stopped = start(tmp_path, "stages.train", "baseline", "crops", "runs/model")
    wait_for_a_checkpoint(tmp_path, stopped)
    stopped.send_signal(number)
    printed, said = stopped.communicate()
    assert stopped.returncode == 130, said
    assert "Traceback" not in said
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    use(tmp_path, project, processes=after, **settings)
    resumed = start(tmp_path, "stages.train", "baseline", "crops", "runs/model")
    printed, said = resumed.communicate()
    assert resumed.returncode == 0, said
    done = int(re.search(r"going on after iteration (\d+) of 150", printed)[1])
    assert before == 1 or done % 10 == 0, "where they agreed to stop, not at the checkpoint before"
    assert list(history(tmp_path)[:, 0]) == [50, 100, 150]
    losses = history(tmp_path)[:, 1]
    assert losses[-1] < losses[0]


def wait_for_a_checkpoint(folder, process):
    while not list((folder / "checkpoints").glob("*.safetensors")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def test_what_all_processes_miss_is_one_line(tmp_path, project):
    use(tmp_path, project)
    (tmp_path / "crops").unlink()
    ended = start(tmp_path, "stages.train", "model", "crops", "runs/model")
    _, said = ended.communicate()
    assert ended.returncode == 1
    assert "Traceback" not in said
    assert said.count("expected crops of the train people, got none") == 1, said


def test_processes_end_with_the_one_that_started_them(tmp_path, project):
    use(tmp_path, project, iterations=100_000, checkpoint_every=7)
    started = start(tmp_path, "stages.train", "model", "crops", "runs/model")
    wait_for_a_checkpoint(tmp_path, started)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    assert len(children) >= 2
    started.kill()
    started.communicate()
    deadline = time.monotonic() + 20
    while alive := [child for child in children if Path(f"/proc/{child}").exists()]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)
