"""Ctrl-C and SIGTERM as a question that the work answers when it is whole."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TWICE_SECONDS = 1.0


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Hold back the first Ctrl-C or SIGTERM (clusters send it); another, a second or more later, interrupts at once.

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
