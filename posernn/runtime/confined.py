"""Read an untrusted file in a process of its own, with limits.

scipy's reader of .mat files is native code. A damaged file of a few kB can crash it, or keep it busy until the memory
is full. In a process of its own that is one line about the file.
"""

from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from posernn.runtime.errors import InputError
from posernn.runtime.parallel import processes

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

SECONDS, SECONDS_PER_MB = 120, 60
"""Limit of processor time: far above what reading takes, it ends endless loops only. MPII's file: 7.4 MB, 9 s."""
BYTES, BYTES_PER_BYTE = 1_500_000_000, 300
"""Limit of memory, where the system can set one (Linux). MPII's file: 1.2 GB."""

Result = TypeVar("Result")


def read_confined(work: Callable[[Path], Result], path: Path, *, start: str = "spawn") -> Result:
    """Return `work(path)`, computed in another process.

    Args:
        work: reads the file; it and its result can be pickled.
        path: the file.
        start: see `processes`.
    Raises:
        InputError: no such file; `work` raised it; the process crashed or exceeded its limits.
    """
    if not path.is_file():
        there = "something else" if path.exists() else "nothing; put it there, see data/README.md"
        raise InputError(f"{path}: expected a file, got {there}")
    size = path.stat().st_size
    seconds, memory = SECONDS + SECONDS_PER_MB * size // 1_000_000, BYTES + BYTES_PER_BYTE * size
    limits = f"{memory / 1e9:.1f} GB of memory and {seconds} s of processor time"
    try:
        with processes(1, start=start) as executor:
            return executor.submit(_limited, work, path, seconds, memory).result()
    except MemoryError as error:
        raise InputError(
            f"{path}: expected a file that can be read within {limits}, got more; fetch it again"
        ) from error
    except BrokenProcessPool as error:
        raise InputError(
            f"{path}: expected a file that can be read within {limits}, got one that ends the reader; fetch it again"
        ) from error


def _limited(work: Callable[[Path], Result], path: Path, seconds: int, memory: int) -> Result:
    """Return `work(path)`, with limits on this process."""
    if resource is not None:
        for kind, limit in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, memory)):
            _, hard = resource.getrlimit(kind)  # a cluster may have set a lower one, which cannot be raised
            resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    return work(path)
