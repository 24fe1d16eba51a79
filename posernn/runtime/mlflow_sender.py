"""Sends what `posernn.runtime.tracking` wrote down to MLflow: the only import of mlflow.

Runs as a process beside each training, `python -m posernn.runtime.mlflow_sender SPOOL`, and inside `posernn sync`.
"""

import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout

from posernn.runtime.errors import InputError
from posernn.runtime.tracking import (
    FINISH_SECONDS,
    RUN_ID_TAG,
    attachments,
    backend_uri,
    kept,
    lock_of,
    pending_folder,
    project_root,
    reason,
    say,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "posernn"
POLL_SECONDS = 1.0  # between two looks for new lines
RETRY_SECONDS = 30.0  # after a failure
SYSTEM_METRICS_SECONDS = 10.0
DATABASE_SECONDS = 60.0  # to wait for another process that creates the database

MLFLOW_SETTINGS = {
    # MLflow would try 7 times with 120 s each: a quarter of an hour for one request.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Set unless the user did."""

REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST")
"""MLflow's answers to a line that it will never take, which is left out. Any other trouble may pass: the line waits."""


class _NotMlflowError(Exception):
    """Somebody answers at MLflow's address who does not know what MLflow is told."""


class Synced(NamedTuple):
    """Number of runs whose lines were sent, and of those left to the trainings that are writing them."""

    sent: int
    busy: int


def sync() -> Synced:
    """Send everything that waits.

    Raises:
        InputError: MLflow does not take it; it goes on waiting.
    """
    sent = busy = 0
    for spool in sorted(pending_folder().glob("*.jsonl")):
        try:
            _end(_Sender(spool), timeout=0)
            sent += 1
        except Timeout:
            busy += 1
        except Exception as error:  # whatever MLflow, its database or its server throw
            raise InputError(f"tracking: {reason(error)}; {kept(spool)}") from error
    return Synced(sent, busy)


class _Sender:
    """Sends the lines of one file in order; asked again after a failure, it goes on where it was."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.running = False  # started, and not finished since
        self.finished = False
        self.start_time = 0  # ms, of the run
        self.last_time = 0  # ms, of the last line
        self._offset = 0
        self._mlflow_id = ""

    def send(self) -> None:
        """Send what is new. Raises whatever MLflow, its database or its server throw."""
        from mlflow.exceptions import MlflowException

        client, experiment_id = _connect(backend_uri(), project_root())
        for offset, kind, events in _read(self.spool, self._offset):
            try:
                self._send_one_kind(client, experiment_id, kind, events)
            except MlflowException as error:
                if error.error_code not in REFUSALS:
                    raise
                say(f"MLflow refuses a line of {self.spool.stem} ({kind}): {reason(error)}; not recorded")
            self._offset, self.last_time = offset, events[-1]["time"]

    def _send_one_kind(
        self, client: "MlflowClient", experiment_id: str, kind: str, events: list[dict[str, Any]]
    ) -> None:
        if kind == "start":
            self._start(client, experiment_id, events[-1])
        elif not (self._mlflow_id or self._find(client, experiment_id)):
            say(f"run {self.spool.stem} is not in this MLflow: {kind} not recorded")
        elif kind == "metrics":
            self._log_metrics(client, events)
        elif kind == "files":
            client.log_artifacts(self._mlflow_id, str(attachments(self.spool)))
        elif kind == "finish":
            self.terminate(client, events[-1]["status"], events[-1]["time"])

    def _find(self, client: "MlflowClient", experiment_id: str) -> bool:
        runs = client.search_runs([experiment_id], f"tags.`{RUN_ID_TAG}` = '{self.spool.stem}'", max_results=1)
        if runs:
            self._mlflow_id, self.start_time = runs[0].info.run_id, runs[0].info.start_time
        return bool(runs)

    def _start(self, client: "MlflowClient", experiment_id: str, event: dict[str, Any]) -> None:
        from mlflow.entities import Param, RunTag

        with _database_lock(project_root()):  # two senders of one file must not make two runs
            if self._find(client, experiment_id):
                client.update_run(self._mlflow_id, status="RUNNING")
            else:
                tags = {RUN_ID_TAG: self.spool.stem}
                client.create_run(experiment_id, event["time"], tags, run_name=event["name"])
                self._find(client, experiment_id)
        self.running, self.finished = True, False
        client.log_batch(self._mlflow_id, tags=[RunTag(*item) for item in event["tags"].items()])
        parameters = [Param(*item) for item in event["parameters"].items()]
        for first in range(0, len(parameters), 100):  # MLflow's limit
            client.log_batch(self._mlflow_id, params=parameters[first : first + 100])

    def _log_metrics(self, client: "MlflowClient", events: list[dict[str, Any]]) -> None:
        from mlflow.entities import Metric

        points = [
            Metric(re.sub(r"[^\w\-. :/]", "_", name), value, event["time"], event["iteration"])  # no PCKh@0.5
            for event in events
            for name, value in event["metrics"].items()
        ]
        for first in range(0, len(points), 1000):  # MLflow's limit
            client.log_batch(self._mlflow_id, metrics=points[first : first + 1000])

    def terminate(self, client: "MlflowClient", status: str, time_ms: int) -> None:
        """Give the run its last status and its end."""
        client.set_terminated(self._mlflow_id, status, time_ms)
        self.running, self.finished = False, True


def _read(spool: Path, offset: int) -> Iterator[tuple[int, str, list[dict[str, Any]]]]:
    """Whole lines from `offset` on; neighbours of one kind together, with the offset behind them."""
    with spool.open("rb") as file:
        file.seek(offset)
        lines = file.read().splitlines(keepends=True)
    events = []
    for line in lines:
        if not line.endswith(b"\n"):
            break  # still being written
        offset += len(line)
        with suppress(ValueError):  # empty, or cut short by a kill
            events.append((offset, json.loads(line)))
    for kind, group in groupby(events, key=lambda item: item[1]["event"]):
        offsets, members = zip(*group, strict=True)
        yield offsets[-1], kind, list(members)


def _end(sender: _Sender, timeout: float) -> None:
    """Send the rest of a file that nobody writes any more, and remove it.

    Raises:
        Timeout: somebody does write it.
    """
    with lock_of(sender.spool).acquire(timeout=timeout) as lock:
        if sender.spool.exists():  # else another process was faster
            sender.send()
            if sender.running:  # whoever wrote it was killed
                client, _ = _connect(backend_uri(), project_root())
                sender.terminate(client, "KILLED", sender.last_time)
            shutil.rmtree(attachments(sender.spool), ignore_errors=True)
            sender.spool.unlink()
        with suppress(OSError):  # Windows keeps open files; elsewhere filelock sees that the name is gone
            os.unlink(lock.lock_file)


def _database_lock(root: Path) -> FileLock:
    return FileLock(root / "mlflow.db.lock", timeout=DATABASE_SECONDS)


@cache
def _connect(uri: str, root: Path) -> tuple["MlflowClient", str]:
    """A client and the experiment's id; creates the database and the experiment where there are none."""
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    with _database_lock(root):  # two processes that create the database at once corrupt it
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            if experiment.name != EXPERIMENT:
                raise _NotMlflowError(f"expected MLflow's experiment {EXPERIMENT}, got {experiment.name!r}")
            return client, experiment.experiment_id
        # Absolute, so that it is the same wherever a stage runs; a server knows itself where it keeps files.
        artifacts = (root / "mlruns").as_uri() if uri.startswith("sqlite:") else None
        return client, client.create_experiment(EXPERIMENT, artifacts)


class _SystemMetrics:
    """MLflow's monitors of processor, memory, disk, network and GPU, without MLflow's thread around them."""

    def __init__(self) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(run_id="", tracking_uri=backend_uri())
        self._next = time.monotonic() + SYSTEM_METRICS_SECONDS
        self._sample()  # the processor's load is counted from the sample before

    def _sample(self) -> dict[str, float]:
        self._monitor.collect_metrics()
        values = self._monitor.aggregate_metrics()
        for part in self._monitor.monitors:
            part.clear_metrics()
        return {f"system/{name}": value for name, value in values.items()}

    def append_to(self, sender: _Sender, *, now: bool = False) -> None:
        """Add a sample to the run's lines when it is time, or now; its step is the run's age in seconds."""
        if not now and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SYSTEM_METRICS_SECONDS
        time_ms = time.time_ns() // 1_000_000
        age = (time_ms - sender.start_time) // 1000
        event = {"event": "metrics", "time": time_ms, "iteration": age, "metrics": self._sample()}
        with suppress(OSError), sender.spool.open("ab", buffering=0) as file:
            file.write(json.dumps(event).encode() + b"\n")


def _follow(sender: _Sender, ended: threading.Event) -> bool:
    """Send lines as they come, system metrics among them, until their writer ends. Returns whether all went well."""
    system, failed = None, False
    while True:
        try:
            sender.send()
            failed = False
            if sender.running and system is None:
                system = _SystemMetrics()
        except Exception as error:  # whatever MLflow, its database or its server throw: the lines are still there
            if not failed:
                say(f"{reason(error)}; {kept(sender.spool)}")
            failed = True
        if sender.finished or ended.wait(RETRY_SECONDS if failed else POLL_SECONDS):
            break
        if system is not None:
            system.append_to(sender)
    if system is not None:
        system.append_to(sender, now=True)  # so that a short training has one, too
    return not failed


def main(spool: Path) -> None:
    """Be the sender of one file until its writer ends; then send what others left."""
    with suppress(AttributeError, OSError):  # Windows has no nice
        os.nice(19)  # the training comes first: beside it on a busy core, that is 1.5% of the time
    ended = threading.Event()

    def wait_for_writer() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_writer, daemon=True).start()
    sender = _Sender(spool)
    went_well = _follow(sender, ended)
    try:
        _end(sender, FINISH_SECONDS)
        sync()
    except Timeout:
        pass  # the run was resumed, its file is in other hands
    except Exception as error:
        if went_well:  # else it was said
            say(f"{reason(error)}; {kept(spool)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
