"""Sends copies of run folders to MLflow; the only module that imports MLflow.

Runs as a process beside each training, `python -m posernn.runtime.publish PENDING`, and inside `posernn sync`.
"""

import csv
import os
import re
import shutil
import sqlite3
import sys
import threading
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from posernn.runtime import tracking
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json
from posernn.runtime.tracking import HISTORY, RESULTS, RUN, TROUBLE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Metric, Run

KIND = {"mlflow.experimentKind": "custom_model_development"}  # opens in the view of model training in MLflow's UI
RUN_ID = "posernn.run_id"
POLL_SECONDS = 1.0  # between two looks at the copy
RETRY_SECONDS = 30.0  # after a failure
LOCK_SECONDS = 60.0  # to wait for another process that sends

# Set unless the user did. By default, one request may take a quarter of an hour.
MLFLOW_SETTINGS = {"HTTP_REQUEST_MAX_RETRIES": "1", "HTTP_REQUEST_TIMEOUT": "5", "DISABLE_TELEMETRY": "true"}


def publish(folder: Path, *, ended: bool) -> str:
    """Add to MLflow what it lacks of a run folder; return MLflow's id of the run. Doing it again changes nothing.

    Args:
        folder: with run.json; history.csv and results, if there are any.
        ended: the training has ended, killed if it did not say so.

    Raises whatever MLflow, its database or its server raise.
    """
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(f"MLFLOW_{name}", value)
    from mlflow import MlflowClient
    from mlflow.entities import Param, RunTag

    record = read_json(folder / RUN)
    # One process at a time: two would create the database at once, which corrupts it, or the same run twice.
    with FileLock(tracking.project_root() / "mlflow.db.lock", timeout=LOCK_SECONDS):
        client = MlflowClient(tracking.backend_uri())
        run = _find_or_create_run(client, _experiment(client).experiment_id, record)
        run_id = run.info.run_id
        parameters = [Param(*item) for item in record["parameters"].items() if item[0] not in run.data.params]
        points = _new_points(client, run, folder)
        client.log_batch(run_id, tags=[RunTag(*item) for item in record["tags"].items()])
        for first in range(0, len(parameters), 100):  # MLflow's limits
            client.log_batch(run_id, params=parameters[first : first + 100])
        for first in range(0, len(points), 1000):
            client.log_batch(run_id, metrics=points[first : first + 1000])
        if (folder / RESULTS).exists():
            client.log_artifacts(run_id, str(folder / RESULTS))
        if record["status"] != "RUNNING":
            client.set_terminated(run_id, record["status"], _milliseconds(record["end_time"]))
        elif ended:
            client.set_terminated(run_id, "KILLED", int(1000 * folder.stat().st_mtime))
        else:
            client.update_run(run_id, status="RUNNING")
    return run_id


def _experiment(client: "MlflowClient") -> "Experiment":
    """Return the experiment: created, or restored where it was deleted in MLflow's UI."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "posernn"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # By default the files of a local database go to the working directory; a server has a place of its own.
        place = _artifacts() if tracking.backend_uri().startswith("sqlite:") else None
        return client.get_experiment(client.create_experiment(name, place, tags=KIND))
    if experiment.name != name:
        raise InputError("MLFLOW_TRACKING_URI: expected an MLflow server, got another there; correct the address")
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    if experiment.artifact_location != _artifacts():
        claim_artifacts()
    return experiment


def _artifacts() -> str:
    return (tracking.project_root() / "mlruns").as_uri()


def claim_artifacts() -> None:
    """Point all runs of the project's database to the project's mlruns.

    MLflow stores absolute paths: in a project that was copied or moved, they lead to the old folder.
    """
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return
    here = _artifacts()
    with closing(sqlite3.connect(tracking.project_root() / "mlflow.db")) as database, database:
        for (old,) in database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall():
            if re.fullmatch("file:.*/mlruns", old or "") and old != here:
                database.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (here, old)
                )
                database.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", (f"{old}/", f"{here}/"))


def _find_or_create_run(client: "MlflowClient", experiment_id: str, record: dict[str, Any]) -> "Run":
    runs = client.search_runs([experiment_id], f"tags.`{RUN_ID}` = '{record['run_id']}'", max_results=1)
    if runs:
        return runs[0]
    start = _milliseconds(record["start_time"])
    return client.create_run(experiment_id, start, {RUN_ID: record["run_id"]}, run_name=record["name"])


def _new_points(client: "MlflowClient", run: "Run", folder: Path) -> "list[Metric]":
    """Return the points of history.csv and the scores of results/metrics.json that the run lacks."""
    from mlflow.entities import Metric

    points, known = [], run.data.metrics
    history, scores = folder / HISTORY, folder / RESULTS / "metrics.json"
    if history.exists():
        rows, time = list(csv.DictReader(history.read_text().splitlines())), int(1000 * history.stat().st_mtime)
        for name in rows[0].keys() - {"iteration"}:
            sent = {point.step for point in client.get_metric_history(run.info.run_id, name)} if name in known else {}
            values = {int(row["iteration"]): row[name] for row in rows if row[name]}
            points += [Metric(name, float(values[step]), time, step) for step in values if step not in sent]
    if scores.exists():
        time = int(1000 * scores.stat().st_mtime)
        for key, value in read_json(scores).items():
            name = re.sub(r"[^\w\-. :/]", "_", key)  # MLflow refuses PCKh@0.5
            if isinstance(value, int | float) and known.get(name) != value:
                points.append(Metric(name, value, time, 0))
    return points


def _milliseconds(time: str) -> int:
    return round(1000 * datetime.fromisoformat(time).timestamp())


def _try_to_publish(folder: Path, *, ended: bool) -> str | None:
    """Publish; where that fails, write the reason into the folder and return None."""
    try:
        run_id = publish(folder, ended=ended)
    except Exception as error:  # whatever MLflow, its database or its server raise
        with suppress(OSError):
            (folder / TROUBLE).write_text(tracking.reason(error))
        return None
    (folder / TROUBLE).unlink(missing_ok=True)
    return run_id


def _settle(folder: Path) -> None:
    """Publish the copy of a training that has ended, and remove it.

    Raises:
        Timeout: the training has not ended.
    """
    with tracking.lock_of(folder).acquire(timeout=0) as lock:
        if not (folder / RUN).exists() or _try_to_publish(folder, ended=True):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # Windows keeps open files; elsewhere filelock sees that the name is gone
                os.unlink(lock.lock_file)


def sync() -> int:
    """Send all pending copies but those of running trainings; return how many.

    Raises:
        InputError: MLflow did not take all; the rest is still pending.
    """
    sent, failed = 0, []
    for folder in sorted(path for path in tracking.pending_root().glob("*") if path.is_dir()):
        with suppress(Timeout):
            _settle(folder)
            sent += not folder.exists()
            failed += [folder] if folder.exists() else []
    if failed:
        raise InputError(f"MLflow: {tracking.trouble(failed[0])}")
    return sent


def main(folder: Path) -> None:
    """Publish a copy, and the machine's load, until its training ends; then send what others left."""
    with suppress(AttributeError, OSError):  # Windows has no nice
        os.nice(19)
    ended, monitor = threading.Event(), None
    published: int | None = 0
    threading.Thread(target=lambda: ended.set() if sys.stdin.read() == "" else None, daemon=True).start()
    while not ended.wait(POLL_SECONDS if published is not None else RETRY_SECONDS):
        changed = folder.stat().st_mtime_ns
        if changed != published:
            run_id = _try_to_publish(folder, ended=False)
            published = changed if run_id else None
            if run_id and monitor is None:
                from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

                monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=tracking.backend_uri())
                monitor.start()
    if monitor is not None:
        monitor.finish()
    with suppress(Timeout):  # the training was resumed, and has a process of its own
        _settle(folder)
        sync()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
