"""Sends copies of run folders to MLflow.

Runs as a process beside each training, `python -m posernn.runtime.publish PENDING`, and inside `posernn sync`.
"""

import csv
import json
import os
import re
import shutil
import sys
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from posernn.runtime import store, tracking
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json
from posernn.runtime.tracking import HISTORY, MODEL, RESULTS, RUN, TROUBLE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run

RUN_ID = "posernn.run_id"
POLL_SECONDS = 1.0  # between two looks at the copy
RETRY_SECONDS = 30.0  # after a failure


def publish(folder: Path, *, ended: bool) -> str:
    """Add to MLflow what it lacks of a run folder; return MLflow's id of the run. Doing it again changes nothing.

    Args:
        folder: with run.json; history.csv and results, if there are any.
        ended: the training has ended, killed if it did not say so.

    Raises whatever MLflow, its database or its server raise.
    """
    from mlflow.entities import Param, RunTag

    record = read_json(folder / RUN)
    with store.client_of_project() as client:
        run = _find_or_create_run(client, store.experiment(client).experiment_id, record)
        run_id = run.info.run_id
        parameters = [Param(*item) for item in record["parameters"].items() if item[0] not in run.data.params]
        model_id = _publish_model(client, run, folder) if (folder / MODEL / "model.json").exists() else None
        points = _new_points(client, run, folder, model_id)
        client.log_batch(run_id, tags=[RunTag(*item) for item in record["tags"].items()])
        for first in range(0, len(parameters), 100):  # MLflow's limits
            client.log_batch(run_id, params=parameters[first : first + 100])
        for first in range(0, len(points), 1000):
            client.log_batch(run_id, metrics=points[first : first + 1000])
        if record.get("dataset") and not (run.inputs and run.inputs.dataset_inputs):
            client.log_inputs(run_id, [_dataset_input(**record["dataset"])])
        if (folder / RESULTS).exists():
            client.log_artifacts(run_id, str(folder / RESULTS))
        if record["status"] != "RUNNING":
            client.set_terminated(run_id, record["status"], _milliseconds(record["end_time"]))
        elif ended:
            client.set_terminated(run_id, "KILLED", int(1000 * folder.stat().st_mtime))
        else:
            client.update_run(run_id, status="RUNNING")
    return run_id


def _find_or_create_run(client: "MlflowClient", experiment_id: str, record: dict[str, Any]) -> "Run":
    runs = client.search_runs([experiment_id], f"tags.`{RUN_ID}` = '{record['run_id']}'", max_results=1)
    if runs:
        return runs[0]
    start = _milliseconds(record["start_time"])
    return client.create_run(experiment_id, start, {RUN_ID: record["run_id"]}, run_name=record["name"])


def _dataset_input(name: str, digest: str, people: int) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({"num_rows": people})
    dataset = Dataset(name, digest, "local", json.dumps({"uri": "data/crops"}), profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _publish_model(client: "MlflowClient", run: "Run", folder: Path) -> str:
    """Log the trained model (weights, model.json, pictures) as the output of its run; return MLflow's id of it."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    experiment_id, run_id = run.info.experiment_id, run.info.run_id
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    model = found[0] if found else client.create_logged_model(experiment_id, run.info.run_name, run_id)
    if model.status != LoggedModelStatus.READY:
        client.log_model_artifacts(model.model_id, str(folder / MODEL))
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model.model_id


def _metric_name(key: str, default: str) -> str:
    """Group a name with a slash, as MLflow's charts do: train_rmse -> train/rmse, pckh_total -> val/pckh_total."""
    split, _, rest = key.partition("_")
    name = f"{split}/{rest}" if split in ("train", "val") else f"{default}/{key}"
    return re.sub(r"[^\w\-. :/]", "_", name)  # MLflow refuses PCKh@0.5


def _new_points(client: "MlflowClient", run: "Run", folder: Path, model_id: str | None) -> "list[Metric]":
    """Return the points of history.csv and the scores of results/metrics.json that the run lacks.

    The scores belong to the model, too, where it is known.
    """
    from mlflow.entities import Metric

    points, known = [], run.data.metrics
    history, scores = folder / HISTORY, folder / RESULTS / "metrics.json"
    if history.exists():
        rows, time = list(csv.DictReader(history.read_text().splitlines())), int(1000 * history.stat().st_mtime)
        for key in rows[0].keys() - {"iteration"}:
            name = _metric_name(key, "train")
            sent = {point.step for point in client.get_metric_history(run.info.run_id, name)} if name in known else {}
            values = {int(row["iteration"]): row[key] for row in rows if row[key]}
            points += [Metric(name, float(values[step]), time, step) for step in values if step not in sent]
    if scores.exists():
        time = int(1000 * scores.stat().st_mtime)
        for key, value in read_json(scores).items():
            name = _metric_name(key, "val")
            if isinstance(value, int | float) and known.get(name) != value:
                points.append(Metric(name, value, time, 0, model_id=model_id))
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
