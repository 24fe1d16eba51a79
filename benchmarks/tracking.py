"""Processor time that recording a training in MLflow takes, over all that the machine has in that time: at most 2%.

An upper bound of the loss of a training on two cores: a process beside it, at low priority, feeds MLflow.
Timing trainings with and without would not see 2%: two equal ones differ by more on a shared machine.
"""

import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

from posernn.runtime import tracking

CORES, SECONDS, POINTS = 2, 110, 8
"""The demo's shorter training."""


def processor_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def share(folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Return the shares of the machine that recording takes in the training's process and in the process beside it."""
    os.environ.update(environment)
    before = processor_seconds(resource.RUSAGE_SELF), processor_seconds(resource.RUSAGE_CHILDREN)
    rows = []
    with tracking.record(folder, name="bench", parameters={"lr": 0.001}, tags={}) as run:
        for iteration in range(POINTS):
            time.sleep(SECONDS / POINTS)
            rows.append({"iteration": iteration, "loss": 1.0, "train_rmse": 1.0, "val_rmse": 1.0, "lr": 1.0})
            run.log(rows)
    own = processor_seconds(resource.RUSAGE_SELF) - before[0]
    beside = processor_seconds(resource.RUSAGE_CHILDREN) - before[1]
    for name in environment:
        del os.environ[name]
    return own / (CORES * SECONDS), beside / (CORES * SECONDS)


def main() -> None:
    tracking.FINISH_SECONDS = 60.0  # to its end, so that all of it is counted
    with tempfile.TemporaryDirectory() as root, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        os.environ["DVC_ROOT"] = root
        ways = {"creates its database": {}, "is there": {}, "is down": {"MLFLOW_TRACKING_URI": down}}
        for way, environment in ways.items():
            own, beside = share(Path(root) / "run", environment)
            parts = f"{100 * own:.3f}% in the training itself"
            print(f"MLflow {way}: {100 * (own + beside):.2f}% of the machine (goal <= 2%; {parts})")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
