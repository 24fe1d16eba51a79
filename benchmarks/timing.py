"""Two ways of doing the same, timed in turns: the machine is shared, so only ratios within one run count."""

import gc
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent


Clock = Callable[[], float]


def seconds_of(work: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Wall time of one call; with time.process_time the time of all cores together."""
    gc.collect()
    start = clock()
    work()
    return clock() - start


def in_turns(
    floor: Callable[[], object], ours: Callable[[], object], rounds: int, clock: Clock = time.perf_counter
) -> list[tuple[float, float]]:
    """Seconds of both, `rounds` times, after one call of each that does not count."""
    floor()
    ours()
    return [(seconds_of(floor, clock), seconds_of(ours, clock)) for _ in range(rounds)]


def report(what: str, ratios: list[float], goal: str, *, note: str = "") -> None:
    """Print one line: the median ratio, the others, and the goal."""
    shown = " ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
    print(
        f"{what}: {statistics.median(ratios):.2f} (goal {goal}; all: {shown}){'; ' + note if note else ''}", flush=True
    )


def release() -> Path:
    """The release to measure with: MPII_ROOT, else the rendered one of `make demo`."""
    root = Path(os.environ.get("MPII_ROOT", ROOT / "data/synthetic"))
    if not root.is_dir():
        raise SystemExit("run `make demo` first, or set MPII_ROOT to the folder of the real release")
    return root
