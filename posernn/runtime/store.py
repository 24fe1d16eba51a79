"""The project's MLflow: its database or server, and the experiment which gets a saved view."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock

from posernn.runtime import tracking
from posernn.runtime.errors import InputError
from posernn.runtime.view import EXPERIMENT_TAGS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

LOCK_SECONDS = 60.0  # to wait for another process that sends

# Set unless the user did. By default, one request may take a quarter of an hour.
MLFLOW_SETTINGS = {"HTTP_REQUEST_MAX_RETRIES": "1", "HTTP_REQUEST_TIMEOUT": "5", "DISABLE_TELEMETRY": "true"}


@contextmanager
def client_of_project() -> "Iterator[MlflowClient]":
    """Give a client of the project's MLflow, to one process at a time.

    Two would create the database at once, which corrupts it, or the same run twice.
    """
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(f"MLFLOW_{name}", value)
    from mlflow import MlflowClient

    with FileLock(tracking.project_root() / "mlflow.db.lock", timeout=LOCK_SECONDS):
        yield MlflowClient(tracking.backend_uri())


def experiment_name() -> str:
    """Return MLFLOW_EXPERIMENT_NAME, else posernn."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "posernn"


def experiment(client: "MlflowClient") -> "Experiment":
    """Return the experiment: created, or restored where it was deleted in MLflow's UI."""
    name = experiment_name()
    found = client.get_experiment_by_name(name)
    if found is None:
        # By default the files of a local database go to the working directory; a server has a place of its own.
        place = _artifacts() if tracking.backend_uri().startswith("sqlite:") else None
        return client.get_experiment(client.create_experiment(name, place, tags=EXPERIMENT_TAGS))
    if found.name != name:
        raise InputError("MLFLOW_TRACKING_URI: expected an MLflow server, got another there; correct the address")
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    for key in EXPERIMENT_TAGS.keys() - found.tags.keys():  # an experiment of an earlier version
        client.set_experiment_tag(found.experiment_id, key, EXPERIMENT_TAGS[key])
    if found.artifact_location != _artifacts():
        claim_artifacts()
    return found


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
                for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
                    database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (f"{old}/", f"{here}/"))
