"""MLflow in trouble: a training neither stops nor waits, and what it recorded arrives once MLflow is well again."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from small_project import ROOT, STAGES, environment, lay_out
from test_tracking import curve, no_sender, project, race, recorded, root, start  # noqa: F401 -- fixtures among them

from posernn.runtime import mlflow_sender, tracking


@contextmanager
def server(answer):
    """Answer each request with `answer(handler)`; give the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
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


def answer_later(handler):
    time.sleep(30)


def train_for_a_moment(run):
    """Record 50 points."""
    for iteration in range(50):
        run.log(iteration, {"loss": 1 / (1 + iteration)})


def require_all_points_in_the_database(folder, run_id, *, status="FINISHED"):
    client, found = recorded(folder, run_id)
    assert curve(client, found, "loss") == [(iteration, 1 / (1 + iteration)) for iteration in range(50)]
    assert found.info.status == status
    assert not list((folder / "mlflow-pending").iterdir()), "sent lines are removed"


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, b"Internal Server Error"),
        reply(503, b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}'),
        reply(403, b"no"),
        reply(200, b"<html>not MLflow</html>"),
        reply(200, b""),
        hang_up,
        answer_later,
    ],
    ids=["500", "503", "403", "another server", "nothing", "hangs up", "answers later"],
)
def test_a_server_that_does_not_answer_well_stops_nothing(project, monkeypatch, capsys, answer):  # noqa: F811
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 20.0)
    with server(answer) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with start() as run:
            train_for_a_moment(run)
            sender = run._sender
        sender.kill()  # one that still waits for an answer
        sender.wait()
    said = capsys.readouterr().err
    assert said.startswith("tracking: ")
    assert "Traceback" not in said
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert mlflow_sender.sync() == (1, 0)
    require_all_points_in_the_database(project, run.run_id)


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


@pytest.mark.pipeline
def test_a_real_server_that_dies_in_the_middle_loses_nothing(project, monkeypatch, capsys):  # noqa: F811
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking.backend_uri()]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", port, "--workers", "1"],
        env=environment,
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
        wait_until(answers)
        with monkeypatch.context() as there:
            there.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
            run = start()
        for iteration in range(20):
            run.log(iteration, {"loss": 1 / (1 + iteration)})
        wait_until(lambda: (found := recorded(project, run.run_id)[1]) is not None and "loss" in found.data.metrics)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for iteration in range(20, 50):
        run.log(iteration, {"loss": 1 / (1 + iteration)})
    run.finish()
    assert "kept in" in capsys.readouterr().err
    assert mlflow_sender.sync() == (1, 0)
    require_all_points_in_the_database(project, run.run_id)


def test_a_database_that_is_locked_stops_nothing(project, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 60.0)
    with sqlite3.connect(project / "mlflow.db", isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        with start() as run:
            train_for_a_moment(run)
            sender = run._sender
        assert re.match("tracking: .*database is locked.*kept in ", capsys.readouterr().err)
        assert tracking.spool_of(run.run_id).exists()
        database.execute("ROLLBACK")
    database.close()
    sender.wait(120)  # it went on in the background
    mlflow_sender.sync()
    require_all_points_in_the_database(project, run.run_id)


def test_a_disk_without_room_for_the_database_stops_nothing(project, tmp_path_factory, monkeypatch, capsys):  # noqa: F811
    disk = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", disk]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a disk of its own here")
    try:
        monkeypatch.setattr(tracking, "FINISH_SECONDS", 60.0)
        with monkeypatch.context() as full:
            full.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk}/mlflow.db")
            with start() as run:
                train_for_a_moment(run)
        said = capsys.readouterr().err
        assert "disk is full" in said
        assert "Traceback" not in said
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    assert mlflow_sender.sync() == (1, 0)
    require_all_points_in_the_database(project, run.run_id)


@pytest.mark.pipeline
def test_a_training_that_was_killed_five_times_is_one_run_with_one_history(project, tmp_path_factory):  # noqa: F811
    folder = lay_out(tmp_path_factory.mktemp("killed"))
    here = environment(DVC_ROOT=os.environ["DVC_ROOT"])  # where runs are recorded
    del here["POSERNN_TRACKING"]
    ended = []
    for stage in ("synthesize", "parse", "crops", "train"):
        troubles = [{"checkpoint": number} for number in (1, 2, 1, 3, 2)] if stage == "train" else []
        command = [sys.executable, str(ROOT / "tests/run_in_trouble.py"), json.dumps(troubles), f"stages.{stage}"]
        arguments = STAGES[stage].replace("model", "baseline").split()
        done = subprocess.run([*command, *arguments], cwd=folder, env=here, capture_output=True, check=True)
        ended = json.loads(done.stdout.splitlines()[-1])["ended"]
    assert ended == [-signal.SIGKILL] * 5 + [0]

    run_id = json.loads((folder / "runs/baseline/run.json").read_text())["run_id"]
    wait_until(lambda: not list((project / "mlflow-pending").iterdir()))
    client, found = recorded(project, run_id)
    (experiment,) = client.search_experiments(filter_string=f"name = '{mlflow_sender.EXPERIMENT}'")
    ours = [run for run in client.search_runs([experiment.experiment_id]) if run.data.tags.get("arch") == "cnn"]
    assert [run.data.tags[tracking.RUN_ID_TAG] for run in ours] == [run_id], "one run, whoever went on with it"
    assert found.info.status == "FINISHED"
    assert [step for step, _ in curve(client, found, "val_rmse")] == [10, 20, 30, 40, 50, 60]
    assert "system/cpu_utilization_percentage" in found.data.metrics
