"""Read a file that nobody vouches for: in a process of its own, with limits.

scipy's reader of .mat files is native code. There are files of a few kB that crash it, or that keep it busy until the
memory is full. In a process of its own that is one line about the file.
"""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from posernn.runtime.errors import InputError
from posernn.runtime.parallel import follow_parent, one_thread_each

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

SECONDS, SECONDS_PER_MB = 8, 10
"""Processor time that reading may take. MPII's annotation file: 7.4 MB, 9 s."""
BYTES, BYTES_PER_BYTE = 1_500_000_000, 300
"""Memory that reading may take, where the system can hold a process to it (Linux). MPII's annotation file: 1.2 GB."""

Result = TypeVar("Result")


def read_confined(work: Callable[[Path], Result], path: Path, *, start: str = "spawn") -> Result:
    """What `work(path)` returns.

    Args:
        work: reads the file; it and what it returns can be pickled.
        path: of the file.
        start: how the process starts; "fork" is quicker, and safe only where there are no threads.
    Raises:
        InputError: what `work` raises; the process died, or went beyond its limits; no such file.
    """
    if not path.is_file():
        there = "something else" if path.exists() else "nothing; put it there, see data/README.md"
        raise InputError(f"{path}: expected a file, got {there}")
    limits = limits_of(path.stat().st_size)
    context: Any = multiprocessing.get_context(start)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, work, path, limits), daemon=True)
    try:
        with one_thread_each():
            process.start()
        sender.close()  # so that the process's end is the end of the pipe
        outcome = receiver.recv()
    except EOFError:
        process.join()
        raise InputError(f"{path}: {_end_of(process.exitcode, *limits)}; fetch it again") from None
    finally:
        if process.pid is not None:
            process.kill()  # it has said all it had to, or nobody waits for it any more
            process.join()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def limits_of(size: int) -> tuple[int, int]:
    """Seconds of the processor and bytes of memory that reading a file of `size` bytes may take."""
    return SECONDS + SECONDS_PER_MB * size // 1_000_000, BYTES + BYTES_PER_BYTE * size


def _work(sender: Connection, work: Callable[[Path], object], path: Path, limits: tuple[int, int]) -> None:
    """What the process does: send what comes of it, be it an error."""
    follow_parent()
    if resource is not None:
        seconds, memory = limits
        for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, memory)):
            _, already = resource.getrlimit(kind)  # a cluster may have set less, which cannot be raised
            resource.setrlimit(kind, (most if already == resource.RLIM_INFINITY else min(most, already), already))
    try:
        sender.send(work(path))
    except MemoryError:
        sender.send(InputError(f"{path}: expected to be read within {limits[1] / 1e9:.1f} GB of memory, took more"))
    except Exception as error:
        sender.send(error)


def _end_of(code: int, seconds: int, memory: int) -> str:
    """Why the process ended without a word."""
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"expected to be read within {seconds} s, took longer"
    if code in (-signal.SIGABRT, -getattr(signal, "SIGKILL", 9)):
        return f"expected to be read within {memory / 1e9:.1f} GB of memory, got a process that died (code {code})"
    return f"expected a file that can be read, got one that ends the reader (code {code})"
