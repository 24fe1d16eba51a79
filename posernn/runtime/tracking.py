"""What MLflow gets to see of a training. DVC's outputs are the truth, MLflow is the viewer.

A training only appends lines to `mlflow-pending/<run id>.jsonl`. A process beside it, `mlflow_sender`, reads
them and talks to MLflow. So importing MLflow (seconds of Python), creating its database, and a server that is down,
slow or wrong cost the training nothing. Lines that could not be sent stay, for the next stage or `posernn sync`.

Convention:
    - A run's id is ours, known before MLflow is asked; MLflow knows it as the tag `posernn.run_id`.
    - Sending a file again does no harm, so nobody keeps account of what was sent: a file is there, or it is gone.
    - Whoever holds a run's lock writes its file, or ends it: sends the rest and removes it.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

from filelock import FileLock

RUN_ID_TAG = "posernn.run_id"
ENVIRONMENT_TAGS = ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE")
FINISH_SECONDS = 10.0
"""How long a stage waits for the sender at its end; after that the sender goes on alone."""

# user:password@ of an address, and values like ?token=...
_SECRETS = re.compile(r"""(?<=://)[^/\s"]+(?=@)|(?<=[?&])(\w*(?:token|secret|password|key|sig)\w*=)[^&\s"]+""", re.I)

Status = Literal["FINISHED", "FAILED", "KILLED"]


def project_root() -> Path:
    """The project's folder: the repository itself, also where DVC runs a stage in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def backend_uri() -> str:
    """Where runs are recorded: MLFLOW_TRACKING_URI, else a database in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(project_root() / 'mlflow.db').as_posix()}"


def pending_folder() -> Path:
    """Where lines wait that were not sent yet."""
    return project_root() / "mlflow-pending"


def start_run(name: str, *, parameters: dict[str, object], tags: dict[str, str], run_id: str | None = None) -> "Run":
    """Record a training, or the rest of one. Use it in a `with`, or call `finish`.

    Args:
        name: for people to read; the DVC experiment's name is added.
        parameters: flat, with dotted keys.
        tags: on top of DVC's names and the Git commit, which are added.
        run_id: of the run to resume; None: a new one.
    """
    from_environment = {key: os.environ[key] for key in ENVIRONMENT_TAGS if os.environ.get(key)}
    experiment = from_environment.get("DVC_EXP_NAME")
    run = Run(run_id or uuid.uuid4().hex)
    run.append(
        "start",
        name=f"{name} ({experiment})" if experiment else name,
        parameters={
            key: value if isinstance(value, str) else json.dumps(value, default=str)
            for key, value in parameters.items()
        },
        tags=from_environment | _git_commit() | tags,
    )
    return run


def add_results(run_id: str | None, metrics: dict[str, float], files: Path) -> None:
    """Add scores and files to a run, finished or not; its status and end time stay.

    Args:
        run_id: `Run.run_id`; None: the training was not recorded, and neither is this.
        metrics: final scores.
        files: folder of pictures and tables.
    """
    run = Run(run_id)
    if run.run_id is None:
        return
    run.log(0, metrics)
    try:
        # A copy: the folder may be gone when it is sent, as that of `dvc exp run --temp` is.
        shutil.copytree(files, attachments(spool_of(run.run_id)), dirs_exist_ok=True)
        run.append("files")
    except OSError as error:
        say(f"{files}: cannot be copied ({reason(error)}); not recorded")
    run.close()


class Run:
    """A run that is being recorded. Its methods neither raise nor wait for MLflow; only `finish` does, a little.

    Attributes:
        run_id: None: nothing is recorded.
    """

    def __init__(self, run_id: str | None) -> None:
        self.run_id: str | None = None
        self._file: IO[bytes] | None = None
        self._sender: subprocess.Popen[str] | None = None
        self._relay: threading.Thread | None = None
        if run_id is None or os.environ.get("POSERNN_TRACKING") == "off":
            return
        if not re.fullmatch("[0-9a-f]{32}", run_id):  # it becomes a file's name
            say(f"expected a run's id, got {run_id!r}; not recorded")
            return
        spool = spool_of(run_id)
        self._lock = lock_of(spool)
        try:
            spool.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=FINISH_SECONDS)  # a sender may still be at what was recorded before
            self._file = spool.open("ab", buffering=0)  # a line is one write, and stays when this process is killed
            self._file.write(b"\n")  # ends a line that a kill cut short
        except OSError as error:
            self._lock.release()
            say(f"{spool}: cannot be written ({reason(error)}); not recorded")
            return
        self.run_id = run_id
        self._sender = _start_sender(spool)
        if self._sender is not None:
            self._relay = threading.Thread(target=_repeat, args=(self._sender,), daemon=True)
            self._relay.start()

    def append(self, event: str, **values: Any) -> None:
        """Write one line for the sender."""
        if self._file is None:
            return
        line = json.dumps({"event": event, "time": time.time_ns() // 1_000_000, **values}, default=str)
        try:
            self._file.write(without_secrets(line).encode() + b"\n")
        except OSError as error:
            say(f"{self._file.name}: cannot be written ({reason(error)}); not recorded from here on")
            self._file.close()
            self._file = None
            self._lock.release()

    def log(self, iteration: int, metrics: dict[str, float]) -> None:
        """Record one point of each curve."""
        self.append("metrics", iteration=iteration, metrics={name: float(value) for name, value in metrics.items()})

    def finish(self, status: Status = "FINISHED") -> None:
        """Record how the run ended, and wait up to FINISH_SECONDS until all is sent."""
        self.append("finish", status=status)
        self.close()

    def close(self) -> None:
        """Wait up to FINISH_SECONDS until all is sent; the run's status stays."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._lock.release()
        if self._sender is not None:
            _wait_for(self._sender)
            self._sender = None
        if self._relay is not None:
            self._relay.join(1.0)  # the sender's last words

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish("FINISHED")
        else:
            self.finish("FAILED" if issubclass(kind, Exception) else "KILLED")


def _start_sender(spool: Path) -> subprocess.Popen[str] | None:
    if importlib.util.find_spec("mlflow") is None:
        say(f"MLflow is not installed; {kept(spool)}")
        return None
    try:
        sender = subprocess.Popen(
            [sys.executable, "-m", "posernn.runtime.mlflow_sender", str(spool)],
            stdin=subprocess.PIPE,  # never written to: its end tells the sender that this process has ended
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the training
        )
    except OSError as error:
        say(f"no sender ({reason(error)}); {kept(spool)}")
        return None
    return sender


def _repeat(sender: subprocess.Popen[str]) -> None:
    """Print what the sender says here, where a progress bar makes room for it; leave out what MLflow says."""
    for line in sender.stderr or ():
        if line.startswith("tracking: "):
            print(line, end="", file=sys.stderr, flush=True)


def _wait_for(sender: subprocess.Popen[str]) -> None:
    with suppress(OSError):
        sender.stdin.close()  # type: ignore[union-attr]
    try:
        code = sender.wait(FINISH_SECONDS)
    except subprocess.TimeoutExpired:
        # Never killed: a database that is being created would be left in pieces.
        say("MLflow takes its time; the rest is sent in the background")
        return
    if code != 0:
        say(f"the sender ended with code {code}; {kept(pending_folder())}")


def _git_commit() -> dict[str, str]:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"mlflow.source.git.commit": found.stdout.strip()}


def spool_of(run_id: str) -> Path:
    """The file of a run's lines."""
    return pending_folder() / f"{run_id}.jsonl"


def attachments(spool: Path) -> Path:
    """The folder of the files that belong to a run's lines."""
    return spool.with_suffix(".files")


def lock_of(spool: Path) -> FileLock:
    """The lock of a run's lines."""
    return FileLock(spool.with_suffix(".lock"))


def say(message: str) -> None:
    """Print one line; tracking never does more about its own troubles."""
    with suppress(OSError):  # nobody listens any more
        print(f"tracking: {message}", file=sys.stderr, flush=True)


def kept(where: Path) -> str:
    """What a message says of lines that were not sent."""
    return f"not recorded in MLflow for now, kept in {where}; work goes on, the next stage or `posernn sync` sends it"


def reason(error: Exception) -> str:
    """An error in a few words."""
    return textwrap.shorten(without_secrets(str(error)) or type(error).__name__, 160, placeholder="...")


def without_secrets(text: str) -> str:
    """Put *** for passwords and tokens in addresses."""
    return _SECRETS.sub(lambda found: f"{found[1] or ''}***", text)
