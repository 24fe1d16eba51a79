import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from posernn.runtime import mlflow_sender, tracking
from posernn.runtime.errors import InputError

PARAMETERS = {"train.lr": 1e-3, "train.seed": 0, "model.attention": False, "data.val_list": None, "model.arch": "lstm"}
TAGS = {"model": "model", "arch": "lstm", "dataset": "synthetic"}


@pytest.fixture(scope="session")
def race(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Two senders created a database at once: the folder, and the runs that they had to send.

    The other tests start from that database, because MLflow takes seconds to create one.
    """
    root = tmp_path_factory.mktemp("race")
    (root / "mlflow-pending").mkdir()
    run_ids = ["a" * 32, "b" * 32]
    senders = []
    for run_id in run_ids:
        spool = root / "mlflow-pending" / f"{run_id}.jsonl"
        start = {"event": "start", "time": 1, "name": "model", "parameters": {"seed": "0"}, "tags": {}}
        finish = {"event": "finish", "time": 2, "status": "FINISHED"}
        spool.write_text(f"{json.dumps(start)}\n{json.dumps(finish)}\n")
        command = [sys.executable, "-m", "posernn.runtime.mlflow_sender", str(spool)]
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        senders.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment | {"DVC_ROOT": str(root)}))
    assert [sender.wait(120) for sender in senders] == [0, 0]
    return root, run_ids


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder without a database."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in (*tracking.ENVIRONMENT_TAGS, "MLFLOW_TRACKING_URI", "POSERNN_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def project(root: Path, race: tuple[Path, list[str]]) -> Path:
    """A project's folder with a database."""
    (root / "mlflow.db").write_bytes((race[0] / "mlflow.db").read_bytes())
    return root


@pytest.fixture
def no_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent until `sync`."""
    monkeypatch.setattr(tracking, "_start_sender", lambda spool: None)


def start(run_id: str | None = None, **changed: object) -> tracking.Run:
    return tracking.start_run("model-lstm", parameters=PARAMETERS | changed, tags=TAGS, run_id=run_id)


def recorded(root: Path, run_id: str | None):
    """The run as MLflow has it; None: not there."""
    client, experiment_id = mlflow_sender._connect(tracking.backend_uri(), root)
    runs = client.search_runs([experiment_id], f"tags.`{tracking.RUN_ID_TAG}` = '{run_id}'")
    assert len(runs) <= 1
    return (client, runs[0]) if runs else (client, None)


def curve(client, run, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def spool_events(root: Path) -> list[dict]:
    (spool,) = (root / "mlflow-pending").glob("*.jsonl")
    return [json.loads(line) for line in spool.read_text().splitlines() if line]


def test_parameters_curves_tags_and_status_are_recorded(project, no_sender, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "mossy-apse")
    monkeypatch.setenv("DVC_STAGE", "train@model")
    with start() as run:
        for iteration in (0, 100, 200):
            run.log(iteration, {"loss": 1 / (1 + iteration), "val_rmse": float("nan")})
    assert mlflow_sender.sync() == (1, 0)

    client, found = recorded(project, run.run_id)
    assert found.data.params == {
        "train.lr": "0.001",
        "train.seed": "0",
        "model.attention": "false",
        "data.val_list": "null",
        "model.arch": "lstm",
    }
    expected = TAGS | {"DVC_EXP_NAME": "mossy-apse", "DVC_STAGE": "train@model"}
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if git.returncode == 0:
        expected["mlflow.source.git.commit"] = git.stdout.strip()
    assert expected.items() <= found.data.tags.items()
    assert found.info.run_name == "model-lstm (mossy-apse)"
    assert found.info.status == "FINISHED"
    assert curve(client, found, "loss") == [(0, 1.0), (100, 1 / 101), (200, 1 / 201)]
    assert not list((project / "mlflow-pending").iterdir()), "sent lines are removed, locks too"


def test_the_sender_records_while_the_training_runs_and_adds_system_metrics(project, monkeypatch):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 60.0)
    with start() as run:
        run.log(0, {"loss": 1.0})
        for _ in range(300):
            _, found = recorded(project, run.run_id)
            if found is not None and "loss" in found.data.metrics:
                break
            time.sleep(0.1)
        assert found.info.status == "RUNNING"
        assert found.data.metrics["loss"] == 1.0
    _, found = recorded(project, run.run_id)
    assert found.info.status == "FINISHED"
    assert "system/cpu_utilization_percentage" in found.data.metrics
    assert not list((project / "mlflow-pending").iterdir())


def test_a_resumed_run_is_the_same_run_and_runs_again(project, no_sender):
    first = start()
    first.log(0, {"loss": 1.0})
    first.finish("KILLED")
    mlflow_sender.sync()
    assert recorded(project, first.run_id)[1].info.status == "KILLED"

    run = start(first.run_id)
    run.log(100, {"loss": 0.5})
    sender = mlflow_sender._Sender(tracking.spool_of(run.run_id))
    sender.send()
    client, found = recorded(project, run.run_id)
    assert found.info.status == "RUNNING"
    run.finish()
    mlflow_sender.sync()
    client, found = recorded(project, run.run_id)
    assert found.info.status == "FINISHED"
    assert curve(client, found, "loss") == [(0, 1.0), (100, 0.5)]


def test_results_are_added_without_touching_status_and_end(project, no_sender, tmp_path):
    with pytest.raises(ZeroDivisionError), start() as run:
        raise ZeroDivisionError
    mlflow_sender.sync()
    before = recorded(project, run.run_id)[1].info
    (tmp_path / "results" / "pictures").mkdir(parents=True)
    (tmp_path / "results" / "pictures" / "people.png").write_bytes(b"a picture")

    tracking.add_results(run.run_id, {"PCKh@0.5 Total": 0.41}, tmp_path / "results")
    mlflow_sender.sync()

    client, found = recorded(project, run.run_id)
    assert (found.info.status, found.info.end_time) == (before.status, before.end_time) == ("FAILED", before.end_time)
    assert found.data.metrics == {"PCKh_0.5 Total": 0.41}
    assert [file.path for file in client.list_artifacts(found.info.run_id, "pictures")] == ["pictures/people.png"]
    assert not list((project / "mlflow-pending").iterdir())


def test_results_of_a_run_that_this_mlflow_never_saw_are_said_and_left_out(project, no_sender, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    tracking.add_results("0" * 32, {"AUC": 0.2}, tmp_path / "results")
    assert mlflow_sender.sync() == (1, 0)
    assert f"tracking: run {'0' * 32} is not in this MLflow: metrics not recorded\n" in capsys.readouterr().err


def test_a_training_goes_on_when_the_server_is_down_and_is_sent_later(project, monkeypatch, capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{closed.getsockname()[1]}")
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 60.0)  # for a busy machine; the next test is about waiting
    with start() as run:
        for iteration in range(50):
            run.log(iteration, {"loss": 1.0})
    said = capsys.readouterr().err
    assert said.count("tracking: ") == said.count("\n") == 1
    assert f"kept in {tracking.spool_of(run.run_id)}; work goes on" in said
    assert "secret" not in said

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert mlflow_sender.sync() == (1, 0)
    client, found = recorded(project, run.run_id)
    assert len(curve(client, found, "loss")) == 50
    assert found.info.status == "FINISHED"


def test_nobody_waits_for_a_server_that_never_answers(root, monkeypatch, capsys):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        run = start()
        sender = run._sender
        for iteration in range(50):
            run.log(iteration, {"loss": 1.0})
        run.finish()
        assert sender.poll() is None, "it waits, not the training"
        sender.kill()
        sender.wait()
    assert "tracking: MLflow takes its time; the rest is sent in the background\n" in capsys.readouterr().err


def test_a_dead_sender_stops_nothing_and_loses_nothing(project, capsys):
    with start() as run:
        run._sender.send_signal(signal.SIGKILL)
        run._sender.wait()
        run.log(0, {"loss": 1.0})
    assert "tracking: the sender ended with code -9; not recorded in MLflow for now" in capsys.readouterr().err
    assert mlflow_sender.sync() == (1, 0)
    assert recorded(project, run.run_id)[1].data.metrics == {"loss": 1.0}


def test_two_processes_may_create_the_database_at_once(race, monkeypatch):
    root, run_ids = race
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert [recorded(root, run_id)[1].info.status for run_id in run_ids] == ["FINISHED", "FINISHED"]
    assert not list((root / "mlflow-pending").iterdir())


def test_off_records_nothing(root, monkeypatch):
    monkeypatch.setenv("POSERNN_TRACKING", "off")
    with start() as run:
        run.log(0, {"loss": 1.0})
    assert run.run_id is None
    tracking.add_results(run.run_id, {"AUC": 0.2}, root)
    assert not list(root.iterdir())


def test_without_mlflow_lines_are_kept_and_one_line_says_so(root, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with start() as run:
        run.log(0, {"loss": 1.0})
    spool = tracking.spool_of(run.run_id)
    assert capsys.readouterr().err == (
        f"tracking: MLflow is not installed; not recorded in MLflow for now, kept in {spool}; "
        "work goes on, the next stage or `posernn sync` sends it\n"
    )
    assert [event["event"] for event in spool_events(root)] == ["start", "metrics", "finish"]


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")]
)
def test_how_a_training_ends_is_its_status(root, no_sender, error, status):
    with pytest.raises(error), start():
        raise error
    assert spool_events(root)[-1]["status"] == status


def test_a_training_that_was_killed_is_marked_so(project, no_sender):
    run = start()
    run.log(0, {"loss": 1.0})
    run.close()  # as the end of its process does: no word of how it ended
    mlflow_sender.sync()
    _, found = recorded(project, run.run_id)
    assert found.info.status == "KILLED"
    assert found.info.end_time is not None


def test_sync_leaves_a_running_training_alone(project, no_sender):
    run = start()
    result = []
    # Another thread, as filelock does not let one thread wait for itself.
    thread = threading.Thread(target=lambda: result.append(mlflow_sender.sync()))
    thread.start()
    thread.join()
    assert result == [(0, 1)]
    assert tracking.spool_of(run.run_id).exists()
    run.finish()


def test_sending_twice_changes_nothing(project, no_sender):
    with start() as run:
        run.log(0, {"loss": 1.0})
        run.log(100, {"loss": 0.5})
    for _ in range(2):
        mlflow_sender._Sender(tracking.spool_of(run.run_id)).send()
    client, found = recorded(project, run.run_id)
    assert curve(client, found, "loss") == [(0, 1.0), (100, 0.5)]


def test_a_line_that_a_kill_cut_short_spoils_no_other(root, no_sender):
    run = start()
    run.log(0, {"loss": 1.0})
    run._file.write(b'{"event": "metrics", "tim')
    run.close()
    with start(run.run_id) as resumed:
        resumed.log(100, {"loss": 0.5})
    kinds = [kind for _, kind, _ in mlflow_sender._read(tracking.spool_of(run.run_id), 0)]
    assert kinds == ["start", "metrics", "start", "metrics", "finish"]


def test_a_line_that_mlflow_refuses_does_not_hold_up_the_rest(project, no_sender, capsys):
    start().finish()
    run_id = next((project / "mlflow-pending").glob("*.jsonl")).stem
    with start(run_id, **{"train.lr": 0.5}) as run:  # MLflow lets nobody change a parameter
        run.log(0, {"loss": 1.0})
    mlflow_sender.sync()
    assert f"tracking: MLflow refuses a line of {run_id} (start)" in capsys.readouterr().err
    _, found = recorded(project, run_id)
    assert found.data.metrics == {"loss": 1.0}
    assert found.info.status == "FINISHED"


def test_passwords_and_tokens_in_addresses_are_not_written(root, no_sender):
    with tracking.start_run(
        "model",
        parameters={"a": "s3://key:p@ss@host/data", "b": "https://host/x?token=abc&page=2"},
        tags={"remote": "ssh://me@host/data"},
    ):
        pass
    written = spool_events(root)[0]
    assert written["parameters"] == {"a": "s3://***@host/data", "b": "https://host/x?token=***&page=2"}
    assert written["tags"]["remote"] == "ssh://***@host/data"


def test_a_place_that_cannot_be_written_is_said_and_stops_nothing(root, capsys):
    (root / "mlflow-pending").write_text("a file, not a folder")
    with start() as run:
        run.log(0, {"loss": 1.0})
    assert run.run_id is None
    said = capsys.readouterr().err
    assert said.startswith(f"tracking: {root / 'mlflow-pending'}")
    assert said.count("\n") == 1


def test_a_disk_that_fills_up_is_said_once_and_stops_nothing(root, no_sender, capsys):
    run = start()
    run._file.close()
    run._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    for iteration in range(3):
        run.log(iteration, {"loss": 1.0})
    run.finish()
    said = capsys.readouterr().err
    assert said.startswith("tracking: /dev/full: cannot be written")
    assert said.count("\n") == 1


def test_a_run_id_from_elsewhere_cannot_name_another_file(root, capsys):
    assert start("../../somewhere").run_id is None
    assert "tracking: expected a run's id, got '../../somewhere'; not recorded\n" in capsys.readouterr().err


def test_what_cannot_be_sent_is_an_error_of_sync_and_stays(project, no_sender, monkeypatch):
    with start() as run:
        pass
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"^tracking: .*; not recorded in MLflow for now, kept in "):
        mlflow_sender.sync()
    assert tracking.spool_of(run.run_id).exists()


def test_a_training_never_imports_mlflow(root):
    code = "import sys; from posernn import tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
