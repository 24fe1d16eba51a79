"""Processes share work without losing its order, and end with the one that started them."""

import multiprocessing
import multiprocessing.queues
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import _ExecutorManagerThread
from contextlib import suppress
from pathlib import Path

import pytest

from posernn.runtime.errors import InputError
from posernn.runtime.parallel import in_order, processes

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
        time.sleep(60)
"""


def doubled(numbers):
    time.sleep(0.01 * (numbers[0] % 3))  # so that tasks end in another order than they began
    return [2 * number for number in numbers]


def killed(numbers):
    if numbers[0] >= 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbers


def out_of_memory(numbers):
    resource.setrlimit(resource.RLIMIT_DATA, (300_000_000, 300_000_000))
    return list(range(100_000_000))


def stopped_or_killed(numbers):
    if numbers[0] == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def is_alive(process):
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]
    return False


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
        results = in_order(doubled, (taken.append(n) or n for n in range(10_000)), per_task=2, executor=executor)
        next(results)
        assert len(taken) < 1000
        results.close()


@pytest.mark.timeout(60)  # stdlib would wait for ever for the process that is stopped
@pytest.mark.parametrize("work", [killed, out_of_memory, stopped_or_killed])
def test_a_process_that_dies_is_one_line(work):
    with pytest.raises(InputError, match="got one that died"), processes(2) as executor:
        list(in_order(work, range(50), per_task=2, executor=executor))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("method", ["_start_thread", "put"])
def test_the_executors_own_thread_that_dies_is_one_line(monkeypatch, method):
    """What happens where the system gives no further thread; the standard library would wait for ever."""

    def fail(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(multiprocessing.queues.Queue, method, fail)
    hook = threading.excepthook
    with pytest.raises(InputError, match=r"processes: .* got one that died"), processes(2) as executor:
        list(in_order(doubled, range(10), per_task=2, executor=executor))
    assert threading.excepthook is hook


@pytest.mark.timeout(60)
def test_an_executor_whose_thread_cannot_start_ends(monkeypatch):
    def fail(self):
        if isinstance(self, _ExecutorManagerThread):
            raise RuntimeError("can't start new thread")
        start(self)

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="new thread"), processes(2) as executor:
        list(in_order(doubled, range(10), per_task=2, executor=executor))
    assert not multiprocessing.active_children()


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(STARTS_TWO_PROCESSES)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        children = [int(word) for word in parent.stdout.readline().split()]
        assert all(is_alive(child) for child in children)
        assert len(children) == 2
        parent.kill()
    deadline = time.monotonic() + 10
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline, "still there after ten seconds"
        time.sleep(0.05)


def test_numpy_gets_one_thread_in_each_process_and_the_caller_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with processes(1) as executor:
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
        assert executor.submit(os.getenv, "MKL_NUM_THREADS").result() == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
