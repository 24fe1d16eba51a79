"""Crops and rendered people with two processes, over one: 2 would be perfect."""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from timing import release, report

from posernn.data import crops, mpii
from posernn.data.synthetic import synthesize
from posernn.runtime.parallel import processes

ROUNDS = 3


def start(executor: Executor) -> None:
    """Have the processes import what they need, which is no part of the work."""
    for future in [executor.submit(time.sleep, 0.5) for _ in range(8)]:
        future.result()


def speed_ups(work: Callable[[Executor], object]) -> list[float]:
    found = []
    with processes(1) as one, processes(2) as two:
        for executor in (one, two):
            start(executor)
            work(executor)  # imports and page cache
        for _ in range(ROUNDS):
            seconds = []
            for executor in (one, two):
                begin = time.perf_counter()
                work(executor)
                seconds.append(time.perf_counter() - begin)
            found.append(seconds[0] / seconds[1])
    return found


def main() -> None:
    root = release()
    people, *_ = mpii.parse_release(mpii.read_release(root / "mpii_human_pose_v1_u12_1.mat"))
    settings = {"box": "joints", "padding": 20, "keep_aspect": False, "side": 224, "jpeg_quality": 90}
    with tempfile.TemporaryDirectory() as folder:
        cut = speed_ups(
            lambda executor: crops.write_crops(
                people, root / "images", Path(folder) / "crops", executor=executor, **settings
            )
        )
        report("crops, 2 processes over 1", cut, ">= 1.85")
        rendered = speed_ups(
            lambda executor: synthesize(Path(folder) / "people", num_people=300, seed=0, executor=executor)
        )
        report("rendered people, 2 processes over 1", rendered, ">= 1.85")


if __name__ == "__main__":  # processes import this file again
    main()
