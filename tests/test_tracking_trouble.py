"""MLflow in trouble: a training neither stops nor waits, and what was recorded arrives when MLflow is well again."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from small_project import ROOT, STAGES, environment, lay_out
from test_tracking import (  # noqa: F401 -- fixtures among them
    PYTHON,
    curve,
    database,
    pending,
    project,
    record,
    recorded,
    sending,
)

from posernn.runtime import publish, tracking
from posernn.runtime.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
ROWS = [{"iteration": iteration, "loss": 1 / (1 + iteration)} for iteration in range(50)]


def require_all_points(project, run_id):  # noqa: F811
    client, found = recorded(run_id)
    assert curve(client, found) == [(row["iteration"], row["loss"]) for row in ROWS]
    assert found.info.status == "FINISHED"
    assert pending(project) == []


@contextmanager
def server(answer):
    """Answer each request with `answer(handler)`; give the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://me:secret@127.0.0.1:{running.server_port}"
        running.shutdown()


def reply(status, body):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def never_answer(handler):
    handler.connection.recv(1)  # until the client gives up


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, b"Internal Server Error"),
        reply(503, b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}'),
        reply(403, b"no"),
        reply(200, b"<html>not MLflow</html>"),
        reply(200, b""),
        reply(200, b"{}"),
        hang_up,
        never_answer,
    ],
    ids=["500", "503", "403", "another server", "nothing", "no experiment", "hangs up", "never answers"],
)
def test_a_server_that_does_not_answer_well_loses_nothing(project, monkeypatch, answer):  # noqa: F811
    with record(project) as run:
        run.log(ROWS)
    with server(answer) as address, monkeypatch.context() as there:
        there.setenv("MLFLOW_TRACKING_URI", address)
        there.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        there.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(InputError, match=r"^MLflow: .*; kept in ") as caught:
            publish.sync()
    assert "secret" not in str(caught.value)
    assert publish.sync() == 1
    require_all_points(project, run.run_id)


@pytest.mark.usefixtures("sending")
def test_a_training_with_a_server_that_is_down_says_so_in_one_line(project, monkeypatch, capsys):  # noqa: F811
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://me:secret@127.0.0.1:{closed.getsockname()[1]}"
    with monkeypatch.context() as there:
        there.setenv("MLFLOW_TRACKING_URI", address)
        with record(project) as run:
            while not (project / "mlflow-pending" / run.run_id / "trouble.txt").exists():
                time.sleep(0.1)
            run.log(ROWS[:1])
            said = capsys.readouterr().err
            run.log(ROWS)
    assert said.startswith("tracking: ")
    assert said.endswith(f"{run.run_id}, the next stage or `posernn sync` sends it\n")
    assert "secret" not in said
    assert said.count("\n") == 1
    assert capsys.readouterr().err == "", "said once"
    publish.sync()
    require_all_points(project, run.run_id)


@pytest.mark.usefixtures("sending")
def test_a_stage_does_not_wait_for_a_server_that_never_answers(project, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, monkeypatch.context() as there:
        there.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with record(project) as run:
            run.log(ROWS)
        assert "tracking: MLflow does not have all of it yet; kept in " in capsys.readouterr().err
        connection, _ = silent.accept()  # only now
        connection.close()
    lock = tracking.lock_of(project / "mlflow-pending" / run.run_id)
    with lock:  # the process in the background has given up
        pass
    assert publish.sync() == 1
    require_all_points(project, run.run_id)


def test_a_database_that_is_locked_loses_nothing(project):  # noqa: F811
    with record(project) as run:
        run.log(ROWS)
    connection = sqlite3.connect(project / "mlflow.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InputError, match=r"database is locked.*kept in "):
        publish.sync()
    connection.execute("ROLLBACK")
    connection.close()
    assert publish.sync() == 1
    require_all_points(project, run.run_id)


@pytest.mark.campaign
def test_a_disk_without_room_for_the_database_loses_nothing(project, tmp_path_factory, monkeypatch):  # noqa: F811
    disk = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", disk]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a disk of its own here")
    with record(project) as run:
        run.log(ROWS)
    try:
        with monkeypatch.context() as full:
            full.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk}/mlflow.db")
            with pytest.raises(InputError, match=r"disk is full.*kept in "):
                publish.sync()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    assert publish.sync() == 1
    require_all_points(project, run.run_id)


@pytest.mark.campaign
@pytest.mark.usefixtures("sending")
def test_a_real_server_that_dies_in_the_middle_loses_nothing(project, monkeypatch, capsys):  # noqa: F811
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [PYTHON, "-m", "mlflow", "server", "--backend-store-uri", tracking.backend_uri(), "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", port],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
        except OSError:
            return False

    try:
        while not answers():
            time.sleep(0.1)
        with monkeypatch.context() as there:
            there.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
            recording = record(project)
            run = recording.__enter__()
        run.log(ROWS[:20])
        while (found := recorded(run.run_id)[1]) is None or "train/loss" not in found.data.metrics:
            time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run.log(ROWS)
    recording.__exit__(None, None, None)
    assert "kept in" in capsys.readouterr().err
    assert publish.sync() == 1
    require_all_points(project, run.run_id)


@pytest.mark.campaign
def test_a_training_that_was_killed_five_times_is_one_run_with_one_history(project, tmp_path_factory):  # noqa: F811
    folder = lay_out(tmp_path_factory.mktemp("killed"))
    here = environment(DVC_ROOT=str(project))
    del here["POSERNN_TRACKING"]
    for stage in ("synthesize", "parse", "crops", "train"):
        troubles = [{"checkpoint": number} for number in (1, 2, 1, 3, 2)] if stage == "train" else []
        command = [PYTHON, str(ROOT / "tests/run_in_trouble.py"), json.dumps(troubles), f"stages.{stage}"]
        arguments = STAGES[stage].replace("model", "baseline").split()
        done = subprocess.run([*command, *arguments], cwd=folder, env=here, capture_output=True, check=True)
        ended = json.loads(done.stdout.splitlines()[-1])["ended"]
    assert ended == [-signal.SIGKILL] * 5 + [0]

    run_id = json.loads((folder / "runs/baseline/run.json").read_text())["run_id"]
    while pending(project):
        publish.sync()
    client, found = recorded(run_id)
    runs = client.search_runs([found.info.experiment_id], "tags.model = 'baseline'")
    assert [run.data.tags["posernn.run_id"] for run in runs] == [run_id], "one run for all six trainings"
    assert found.info.status == "FINISHED"
    assert [step for step, _ in curve(client, found, "val/rmse")] == [10, 20, 30, 40, 50, 60]
