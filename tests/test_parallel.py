"""Workers share work without losing its order, and end with the process that started them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from posernn.runtime.errors import InputError
from posernn.runtime.parallel import in_order, processes, workers

STARTS_TWO_PROCESSES = """
import os, time
from posernn.runtime.parallel import processes
if __name__ == "__main__":
    with processes(2) as executor:
        tasks = [executor.submit(time.sleep, 0.3) for _ in range(2)]
        ids = set()
        while len(ids) < 2:
            ids.add(executor.submit(os.getpid).result())
        print(*ids, flush=True)
        time.sleep(1000)
"""


def doubled(numbers):
    time.sleep(0.01 * (numbers[0] % 3))  # so that tasks end in another order than they began
    return [2 * number for number in numbers]


def killed(numbers):
    if numbers[0] >= 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbers


def out_of_memory(numbers):
    raise MemoryError


def wait_for_ever(numbers):
    time.sleep(1000)


@pytest.mark.parametrize("count", [None, 1, 2])
def test_results_come_in_the_order_of_the_items(count):
    if count is None:
        assert list(in_order(doubled, range(100), per_task=3, executor=None)) == list(range(0, 200, 2))
        return
    with processes(count) as executor:
        assert list(in_order(doubled, range(200), per_task=3, executor=executor)) == list(range(0, 400, 2))


def test_items_are_taken_as_they_are_needed():
    taken = []
    results = in_order(doubled, (taken.append(n) or n for n in range(10_000)), per_task=2, executor=None)
    assert next(results) == 0
    assert len(taken) == 2
    with processes(1) as executor:
        results = in_order(list, (taken.append(n) or n for n in range(10_000)), per_task=2, executor=executor)
        next(results)
        assert len(taken) < 1000


def test_a_worker_that_dies_is_one_line():
    with pytest.raises(InputError, match=r"workers: .* got one that died"), processes(2) as executor:
        list(in_order(killed, range(50), per_task=2, executor=executor))


def test_an_error_in_a_worker_is_raised_here():
    with pytest.raises(MemoryError), processes(2) as executor:
        list(in_order(out_of_memory, range(50), per_task=2, executor=executor))


def test_an_error_here_does_not_wait_for_the_workers():
    with pytest.raises(ZeroDivisionError), processes(1) as executor:  # noqa: PT012 -- the block is what is tested
        executor.submit(wait_for_ever, [0])
        1 / 0  # noqa: B018


def test_an_error_in_an_unrelated_thread_is_shown_and_leaves_the_workers_alone(monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    with workers() as executor:
        thread = threading.Thread(target=int, args=["unrelated"])
        thread.start()
        thread.join()
        assert list(in_order(doubled, range(10), per_task=2, executor=executor)) == list(range(0, 20, 2))
    assert [error.exc_type for error in shown] == [ValueError]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(STARTS_TWO_PROCESSES)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        children = [Path("/proc", word) for word in parent.stdout.readline().split()]
        assert [child.exists() for child in children] == [True, True]
        parent.kill()
    while any(child.exists() and "Z" not in (child / "stat").read_text().split()[2] for child in children):
        time.sleep(0.05)


def test_numpy_gets_one_thread_in_each_worker_and_the_caller_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with processes(1) as executor:
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
        assert executor.submit(os.getenv, "MKL_NUM_THREADS").result() == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
