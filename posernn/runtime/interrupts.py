"""Ctrl-C and SIGTERM (clusters send it): they end a program with exit code 130, or are a question to the work."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TWICE_SECONDS = 1.0


def when_asked_to_stop(handler: Callable[[int, FrameType | None], object]) -> None:
    """Have Ctrl-C and SIGTERM call `handler`; what a shell runs in the background ignores Ctrl-C still."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def exit_code() -> Iterator[None]:
    """Interrupt the block, and the program with exit code 130, when it is asked to stop.

    Native code that calls Python may make another exception of the interruption: matplotlib's gives a ValueError.
    """
    asked = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    try:
        when_asked_to_stop(interrupt)
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        if asked:
            sys.exit(130)
        raise


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Hold back the first Ctrl-C or SIGTERM; another, a second or more later, interrupts at once.

    Who stops several processes often tells each of them twice: the terminal does, and the process that started them.

    Gives a function that says whether one has come. Works in the main thread only, where signals arrive.
    """
    asked: float | None = None

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        now = time.monotonic()
        if asked is not None and now - asked >= TWICE_SECONDS:
            raise KeyboardInterrupt
        asked = now if asked is None else asked

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked is not None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM interrupt what comes after the block, not the block itself.

    For native code that calls Python: an interruption there may abort the process, or be taken for another error.
    """
    if threading.current_thread() is not threading.main_thread():  # signals do not arrive here
        yield
        return
    with deferred() as stop_requested:
        yield
    if stop_requested():
        raise KeyboardInterrupt
