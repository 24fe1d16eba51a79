"""`dvc repro` with nothing to do, over `dvc status`; and seconds of `posernn --help`."""

import statistics
import subprocess
import sys
from pathlib import Path

from timing import ROOT, in_turns, report, seconds_of

BIN = Path(sys.executable).parent


def run(*command: str) -> None:
    subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, check=True)


status = subprocess.run([BIN / "dvc", "status"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
if "up to date" not in status:
    raise SystemExit(f"expected a pipeline that is up to date, got\n{status}\nrun `dvc repro` first")
times = in_turns(lambda: run("dvc", "status"), lambda: run("dvc", "repro"), rounds=5)
report("dvc repro with nothing to do / dvc status", [ours / floor for floor, ours in times], "<= 1.3")

help_seconds = statistics.median(seconds_of(lambda: run("posernn", "--help")) for _ in range(7))
python_seconds = statistics.median(seconds_of(lambda: run("python", "-c", "0")) for _ in range(7))
print(f"posernn --help: {help_seconds:.2f} s (goal <= 0.3 s; python -c 0 takes {python_seconds:.2f} s)")
