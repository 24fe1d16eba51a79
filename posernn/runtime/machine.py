"""What this machine has for us."""

import os


def require_room(size: int) -> None:
    """Ask for memory and give it back, so that the want of it is an error here and not somewhere in native code.

    Args:
        size: bytes. They are not touched, which takes no time.
    Raises:
        MemoryError: a limit leaves less.
    """
    bytearray(size)


def num_cores() -> int:
    """Cores that this process may use, which can be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
