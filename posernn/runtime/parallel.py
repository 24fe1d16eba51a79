"""Work on several processes: results in order, the same for any number of processes.

Any `concurrent.futures` executor will do: `workers` gives one of this machine, or of a Dask cluster.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from posernn.runtime.errors import InputError
from posernn.runtime.machine import num_cores

TASKS_IN_FLIGHT = 128
"""Tasks submitted ahead of the one whose result is awaited: bounds the memory, and keeps up to so many cores busy."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[list[Item]], list[Result]], items: Iterable[Item], *, per_task: int, executor: Executor | None
) -> Iterator[Result]:
    """Yield the results of all items, in the order of the items.

    Args:
        work: computes the results of a few items in a worker; it can be pickled.
        items: taken as they are needed.
        per_task: items that a worker gets at a time.
        executor: None: work in this process, one task after another.
    Raises:
        InputError: a worker died.
    """
    items = iter(items)
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for task in iter(lambda: list(islice(items, per_task)), []):
            if executor is None:
                yield from work(task)
                continue
            waiting.append(executor.submit(work, task))
            if len(waiting) == TASKS_IN_FLIGHT:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenExecutor as error:
        raise InputError(
            "workers: expected all of them to finish, got one that died, most likely out of memory; "
            "close other programs and run the stage again"
        ) from error


@contextmanager
def workers() -> Iterator[Executor]:
    """Give an executor: one process per core, or the Dask cluster whose scheduler DASK_SCHEDULER_ADDRESS names.

    Raises:
        InputError: the cluster does not answer, or lost its workers.
    """
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        with processes() as executor:
            yield executor
        return
    from posernn.runtime.cluster import connect

    with connect(address) as executor:
        yield executor


@contextmanager
def processes(count: int | None = None, *, start: str = "spawn") -> Iterator[Executor]:
    """Give an executor of processes on this machine, one thread each; they end when the parent is killed.

    Args:
        count: None: one per core.
        start: "spawn" is safe whatever threads the parent has; "fork" is quicker, and safe without threads only.
    """
    context = multiprocessing.get_context(start)
    others = set(multiprocessing.active_children())
    with (
        one_thread_each(),
        ProcessPoolExecutor(count or num_cores(), context, initializer=_follow_parent) as executor,
    ):
        try:
            yield executor
        except BaseException:  # do not wait for tasks whose results are not needed any more
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise


def _follow_parent() -> None:
    """Let a new worker leave Ctrl-C to its parent, and end when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Limit numpy to one thread in the processes that start inside: there is a process for each core."""
    names = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL")]
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(names, "1"))  # numpy reads them when a new process imports it
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        os.environ.update(before)
