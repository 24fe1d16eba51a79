"""Work shared among processes: results in order, the same whatever the number of processes, and nothing left behind.

Any `concurrent.futures` executor will do. `processes` gives one for this machine.
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

from posernn.errors import InputError

TASKS_IN_FLIGHT = 32
"""Handed out ahead of the one that is waited for: bounds the memory, and keeps up to so many cores busy."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[list[Item]], list[Result]], items: Iterable[Item], *, per_task: int, executor: Executor | None
) -> Iterator[Result]:
    """What comes of all items, in their order.

    Args:
        work: what a process does with a few items; it can be pickled.
        items: taken as they are needed.
        per_task: items that one process gets at a time.
        executor: None: here, one task after another.
    Raises:
        InputError: a process died or ran out of memory.
    """
    items = iter(items)
    tasks = iter(lambda: list(islice(items, per_task)), [])
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for task in tasks:
            if executor is None:
                yield from work(task)
                continue
            waiting.append(executor.submit(work, task))
            if len(waiting) == TASKS_IN_FLIGHT:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except GeneratorExit:  # nobody wants the rest
        for future in waiting:
            future.cancel()
        raise
    except (BrokenExecutor, MemoryError) as error:
        raise InputError(
            "processes: expected all of them to finish, got one that died, most likely for want of memory; "
            "close other programs and run the stage again"
        ) from error


@contextmanager
def processes(count: int | None = None) -> Iterator[Executor]:
    """Processes on this machine, one thread each.

    They end with the process that started them, however it ends.

    Args:
        count: None: one per core.
    Raises:
        InputError: the system does not give what they need to talk to each other.
    """
    # "spawn" is safe whatever threads the caller has, and the same on all platforms.
    context = multiprocessing.get_context("spawn")
    try:
        executor = ProcessPoolExecutor(count or os.cpu_count() or 1, context, initializer=follow_parent)
    except OSError as error:
        raise InputError(f"processes: cannot be started ({error}); see that there is room in /dev/shm") from error
    others = set(multiprocessing.active_children())
    with one_thread_each(), executor:
        try:
            yield executor
        except BaseException:
            # Nobody wants their results any more. A broken executor asks its processes to end and waits for them, which
            # may be for ever: one that it was just starting was not asked, one that is stopped does not listen.
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise


def follow_parent() -> None:
    """Make this new process leave Ctrl-C to its parent, and end when its parent is gone.

    A parent that was killed tells nobody, and a process that waits for tasks would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that start inside keep numpy to one thread: there is a process for each core."""
    names = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL")]
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))  # numpy reads them when a new process imports it
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
