"""Ctrl-C and SIGTERM (clusters send it) exit with code 130, or finish the current step first."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SAME_REQUEST_SECONDS = 1.0
PARENT_SECONDS = 1.0
"""Between two looks whether the parent is alive."""
SHELLS = ("sh", "ash", "bash", "dash", "fish", "ksh", "zsh")


@contextmanager
def exit_code() -> Iterator[None]:
    """Exit with code 130 when Ctrl-C or SIGTERM interrupts the block.

    Native code that calls Python may raise another exception instead of KeyboardInterrupt: matplotlib's a ValueError.
    """
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a shell's background jobs ignore Ctrl-C
            signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        if interrupted:
            sys.exit(130)
        raise


def end_with_parent() -> None:
    """Send SIGTERM to this process as soon as the program that started it has died.

    DVC that is killed leaves the stage that it runs behind, which would go on writing into the working directory. DVC
    starts a stage in a shell: bash makes way for the command, but dash stays its parent, and stays alive.
    """
    import psutil

    parent = psutil.Process().parent()
    while parent and parent.name() in SHELLS and "-c" in parent.cmdline():
        parent = parent.parent()

    def is_alive() -> bool:
        try:
            return parent is not None and parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def watch() -> None:
        while is_alive():
            time.sleep(PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Hold back the first Ctrl-C or SIGTERM; another one, a second or more later, interrupts at once.

    A request to stop often arrives twice within that second: from the terminal, and from the parent process.

    Gives a function that tells whether a signal has arrived. Works in the main thread only.
    """
    first: float | None = None

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first is not None and now - first >= SAME_REQUEST_SECONDS:
            raise KeyboardInterrupt
        first = now if first is None else first

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: first is not None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
