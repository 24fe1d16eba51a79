"""Work shared among processes: results in order, the same whatever the number of processes, and nothing left behind.

Any `concurrent.futures` executor will do: `workers` gives one of this machine, or of a Dask cluster.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from posernn.runtime.errors import InputError
from posernn.runtime.machine import num_cores, require_room

TASKS_IN_FLIGHT = 128
"""Handed out ahead of the one that is waited for: bounds the memory, and keeps up to so many cores busy."""
ROOM = 32 << 20
"""Bytes that a process must be able to get before it starts threads. One that finds none left as it begins is waited
for for ever, by Python itself."""

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
def workers(pictures: Path | None = None) -> Iterator[Executor]:
    """One process per core of this machine; or the Dask cluster whose scheduler DASK_SCHEDULER_ADDRESS names.

    Args:
        pictures: folder that all of a cluster's machines must see as it is here.
    Raises:
        InputError: they cannot be started, the cluster does not answer, or it lost its workers.
    """
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        with processes() as executor:
            yield executor
        return
    from posernn.runtime.cluster import connect

    with connect(address, pictures) as executor:
        yield executor


@contextmanager
def processes(count: int | None = None) -> Iterator[Executor]:
    """Processes on this machine, one thread each.

    They end with the process that started them, however it ends.

    Args:
        count: None: one per core.
    Raises:
        InputError: the system does not give what they need to talk to each other.
        MemoryError: there is not enough to start them.
    """
    require_room(ROOM)
    # "spawn" is safe whatever threads the caller has, and the same on all platforms.
    context = multiprocessing.get_context("spawn")
    try:
        executor = _Processes(count or num_cores(), context, initializer=follow_parent)
    except OSError as error:
        raise InputError(f"processes: cannot be started ({error}); see that there is room in /dev/shm") from error
    others = set(multiprocessing.active_children())
    with one_thread_each(), executor.watched():
        try:
            yield executor
        except BaseException:
            # Nobody wants their results any more. A broken executor asks its processes to end and waits for them, which
            # may be for ever: one that it was just starting was not asked, one that is stopped does not listen.
            started = set(multiprocessing.active_children()) - others
            for process in started:
                process.kill()
            with suppress(RuntimeError):  # its thread was never started
                executor.shutdown()
            for process in started:
                process.join()
            raise
        executor.shutdown()


class _Processes(ProcessPoolExecutor):
    """Fails what was handed out when its own thread dies, where the standard library's would leave it waiting for ever.

    That thread starts another one as the first work is handed out, which takes more memory than there may be.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._handed_out: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._died = False

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future = super().submit(work, *arguments, **options)
        self._handed_out.add(future)
        if self._died:
            raise BrokenProcessPool("its thread died")
        return future

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take every thread that dies inside for the executor's own."""

        def died(_: threading.ExceptHookArgs) -> None:
            self._died = True
            for future in self._handed_out:
                if not future.done():
                    future.set_exception(BrokenProcessPool("its thread died"))

        before, threading.excepthook = threading.excepthook, died
        try:
            yield
        finally:
            threading.excepthook = before


def follow_parent() -> None:
    """Make this new process leave Ctrl-C to its parent, and end when its parent is gone.

    A parent that was killed tells nobody, and a process that waits for tasks would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    require_room(ROOM)
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
