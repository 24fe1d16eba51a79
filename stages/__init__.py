"""One thin command per stage of dvc.yaml: arguments -> library call -> files."""

import os
import sys
from collections.abc import Callable

from posernn.runtime.errors import InputError
from posernn.runtime.interrupts import exit_code, when_asked_to_stop
from posernn.runtime.machine import require_room

OUT_OF_MEMORY = (
    "out of memory",  # CUDA, MPS
    "can't allocate memory",  # PyTorch on Linux
    "not enough memory",  # PyTorch on other systems
    "could not create a",  # oneDNN: a primitive, a memory object
    "can't start new thread",  # Python
    "without exception set",  # an extension of Python that got no memory and did not say so
    "without setting an exception",
)
"""What a RuntimeError or SystemError says that is one."""

ROOM = 64 << 20
"""Bytes that a stage must be able to get. With less, Arrow and its allocator may abort or wait for ever."""


if sys.argv[0] == "-m":  # `python -m stages.x` goes on to import for seconds, and leaves nothing to tidy up
    when_asked_to_stop(lambda number, frame: os._exit(130))


def run(main: Callable[..., None], *, room: int = ROOM) -> None:
    """Run a stage: exit code 1 and one line for what somebody can mend, 130 for Ctrl-C and SIGTERM.

    Args:
        main: its function; what it takes is what the command takes.
        room: bytes that it must be able to get.
    """
    try:
        with exit_code():
            import typer  # not above: it takes a while, too

            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command()(main)
            require_room(room)
            app()
    except Exception as error:
        reason = explain(error)
        if reason is None:
            raise
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(1)


def explain(error: Exception) -> str | None:
    """The line for somebody who can mend it; None for a mistake in the program."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):
        what = error.strerror or " ".join(str(error).split())
        return f"{error.filename or 'system'}: {what}; run the stage again when that is mended"
    no_memory = isinstance(error, RuntimeError | SystemError) and any(words in str(error) for words in OUT_OF_MEMORY)
    if no_memory or isinstance(error, MemoryError):
        return "memory: expected enough, got none left; close other programs or take smaller batches, and run it again"
    return None
