"""Records a training in its run folder, and lets a process beside it send that to MLflow.

The run folder is the log: run.json (name, parameters, tags, times, status) and history.csv (a row per validation).
A copy stays in `mlflow-pending/` until MLflow has it all, because the next training overwrites runs/, and
`dvc exp run --temp` deletes its own. `posernn.runtime.publish` sends the copy, so importing MLflow, creating its
database, and a dead or slow server cost the training nothing.

A training locks its copy while it runs: a copy that is RUNNING and not locked belongs to a training that was killed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from posernn.runtime import git
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json, write_csv, write_json

RUN, HISTORY = "run.json", "history.csv"
# In the copy only: files of the evaluation; the trained model; why MLflow did not take it.
RESULTS, MODEL, TROUBLE = "results", "model", "trouble.txt"
ENVIRONMENT_TAGS = ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE")
FINISH_SECONDS = 10.0
"""How long a stage waits at its end for MLflow; after that, sending goes on in the background."""

# user:password@ of an address, and values like ?token=...
_SECRETS = re.compile(r"(?<=://)[^/\s]+(?=@)|(?<=[?&])(\w*(?:token|secret|password|key|sig)\w*=)[^&\s]+", re.I)


def project_root() -> Path:
    """Return the project's folder, also for a stage that DVC runs in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def backend_uri() -> str:
    """Return MLFLOW_TRACKING_URI, else the address of a database in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(project_root() / 'mlflow.db').as_posix()}"


def pending_root() -> Path:
    """Return the folder of the copies that MLflow does not have yet."""
    return project_root() / "mlflow-pending"


def lock_of(pending: Path) -> FileLock:
    """Return the lock of a copy: held by the training, then by the process that sends the rest of it."""
    return FileLock(pending.with_suffix(".lock"))


class Record(NamedTuple):
    """The files of a training that is being recorded.

    Only those of the run folder raise InputError where they cannot be written, as all outputs of a stage do.
    """

    run_id: str | None
    """Known to MLflow as the tag `posernn.run_id`. None: POSERNN_TRACKING is off."""
    run_folder: Path
    pending: Path | None

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write history.csv: all rows up to now, each with `iteration` and the values of the curves."""
        self.write(write_csv, HISTORY, rows)
        if self.pending is not None and (self.pending / TROUBLE).exists():
            say(trouble(self.pending))

    def write(self, writer: Callable[[Path, Any], None], name: str, content: Any) -> None:
        """Write one of the files and its copy."""
        if self.pending is not None:
            try:
                writer(self.pending / name, content)
            except InputError as error:
                say(f"{error}; MLflow gets it with the next row if that can be written")
        writer(self.run_folder / name, content)


@contextmanager
def record(
    run_folder: Path,
    *,
    name: str,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str],
    dataset: Mapping[str, Any] | None = None,
    run_id: str | None = None,
) -> Iterator[Record]:
    """Record a training: write run.json at its start and its end, and have all of it sent to MLflow.

    Args:
        run_folder: such as runs/model.
        name: shown in MLflow: lstm attention.
        parameters: flat, with their names in params.yaml: model.attention.
        tags: DVC's names, the stage as source, and the Git commit are added.
        dataset: what the run was trained with: name, digest and people, their number.
        run_id: of the training that is resumed; None starts a new run.
    """
    (run_folder / HISTORY).unlink(missing_ok=True)
    parameters = {key: _text(value) for key, value in parameters.items()}
    if _off():
        write_json(run_folder / RUN, {"run_id": None, "parameters": parameters})
        yield Record(None, run_folder, None)
        return
    environment = {key: os.environ[key] for key in ENVIRONMENT_TAGS if os.environ.get(key)}
    source = {"mlflow.source.name": environment.get("DVC_STAGE", "train"), "mlflow.source.type": "LOCAL"}
    if commit := git.commit():
        source["mlflow.source.git.commit"] = commit
    run_id = run_id or uuid.uuid4().hex
    values = {
        "run_id": run_id,
        "name": name,
        "dataset": dataset,
        "parameters": parameters,
        "tags": {key: _text(value) for key, value in (environment | source | dict(tags)).items()},
        "start_time": _now(),
        "end_time": None,
        "status": "RUNNING",
    }
    with _sending(run_id) as pending:
        recorded = Record(run_id, run_folder, pending)
        recorded.write(write_json, RUN, values)
        status = "FINISHED"
        try:
            yield recorded
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            raise
        finally:
            recorded.write(write_json, RUN, values | {"end_time": _now(), "status": status})


def publish_results(run_folder: Path, results_folder: Path) -> None:
    """Send the scores of metrics.json, all files of an evaluation and the trained model to the run in MLflow.

    Trouble is one line on stderr; it waits up to FINISH_SECONDS. The run's status and times stay as they are.
    """
    try:
        run_id = read_json(run_folder / RUN)["run_id"]
        if run_id is None or _off():
            return
        with _sending(run_id, "-results") as pending:
            if pending is not None:
                shutil.copytree(results_folder, pending / RESULTS, dirs_exist_ok=True)
                (pending / MODEL).mkdir(exist_ok=True)
                for file in (*run_folder.glob("*.safetensors"), *run_folder.glob("model.json")):
                    shutil.copy2(file, pending / MODEL)
                for file in results_folder.glob("*.png"):
                    shutil.copy2(file, pending / MODEL)
                for name in (HISTORY, RUN):
                    shutil.copy2(run_folder / name, pending / name)
    except (OSError, InputError) as error:
        say(f"{reason(error)}; results not recorded in MLflow")


@contextmanager
def _sending(run_id: str, suffix: str = "") -> Iterator[Path | None]:
    """Lock a copy, and start the process that sends it; at the end wait up to FINISH_SECONDS until all is sent."""
    pending = pending_root() / f"{run_id}{suffix}"
    lock, command = lock_of(pending), [sys.executable, "-m", "posernn.runtime.publish", str(pending)]
    # Nothing is written to its stdin, whose end means that this process has ended. Ctrl-C is for the training alone.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        if not re.fullmatch("[0-9a-f]{32}", run_id):  # must not name a folder elsewhere
            raise InputError(f"run_id: expected 32 hexadecimal digits, got {run_id!r}; train again")
        pending.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=FINISH_SECONDS)
        process = subprocess.Popen(command, start_new_session=True, **pipes)  # type: ignore[call-overload]
    except (OSError, InputError) as error:
        lock.release()
        say(f"{reason(error)}; not recorded in MLflow")
        yield None
        return
    try:
        yield pending
    finally:
        lock.release()
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):  # never killed: that could leave half a database
            process.wait(FINISH_SECONDS)
        if pending.exists():
            say(trouble(pending))


def _off() -> bool:
    return os.environ.get("POSERNN_TRACKING") == "off"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _text(value: Any) -> str:
    return without_secrets(value if isinstance(value, str) else json.dumps(value))


@cache
def say(message: str) -> None:
    """Print a line on stderr, once in a process."""
    with suppress(OSError):  # a terminal that was closed
        print(f"tracking: {message}", file=sys.stderr, flush=True)


def trouble(pending: Path) -> str:
    """Return why MLflow does not have a copy, and what happens with it."""
    try:
        why = (pending / TROUBLE).read_text()
    except OSError:
        why = "MLflow does not have all of it yet"
    return f"{why}; kept in {pending}, the next stage or `posernn sync` sends it"


def reason(error: Exception) -> str:
    """Return an error in a few words."""
    return textwrap.shorten(without_secrets(str(error)) or type(error).__name__, 160, placeholder="...")


def without_secrets(text: str) -> str:
    """Return the text with *** for passwords and tokens in addresses."""
    return _SECRETS.sub(lambda found: f"{found[1] or ''}***", text)
