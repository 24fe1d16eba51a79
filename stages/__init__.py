"""One thin command per stage of dvc.yaml: arguments -> library call -> files."""

import errno
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from posernn.runtime.errors import InputError
from posernn.runtime.interrupts import end_with_parent, exit_code

if TYPE_CHECKING:
    import pyarrow as pa

if not {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    # PyTorch's threads spin while they wait, which slows down everything else on the same cores, another training most
    # of all. Let them sleep soon. PyTorch reads this when it is imported, so it has to be set before.
    os.environ["GOMP_SPINCOUNT"] = "1000"

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""PyTorch's RuntimeErrors on CUDA and MPS, on Linux, and on other systems."""

DISK_ERRORS = (errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def run(main: Callable[..., None]) -> None:
    """Run a stage; exit with code 1 and one line for an error that a user can fix, with 130 for Ctrl-C and SIGTERM.

    Args:
        main: the stage's function; its arguments are those of the command.
    """
    try:
        with exit_code():
            if "DVC_STAGE" in os.environ:  # run by hand, a stage may outlive its terminal: nohup
                end_with_parent()
            import typer

            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command()(main)
            app()
    except Exception as error:
        reason = explain(error)
        print(f"error: {reason}" if reason else traceback.format_exc(), file=sys.stderr)
        sys.exit(1)


def told_rejects(rejected: "pa.Table", path: Path) -> str:
    """Say how many people and images were rejected, where they are listed, and the most frequent reasons."""
    reasons = Counter(rejected["reason"].to_pylist()).most_common(5)
    counts = "".join(f"; {count}: {reason}" for reason, count in reasons)
    return f"{len(rejected)} rejected, see {path}{counts}"


def explain(error: Exception) -> str | None:
    """Return the line for an error that surely is one that a user can fix; None for any other: show its traceback."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.errno in DISK_ERRORS:
        return f"{error.filename}: {error.strerror}; run the stage again when that is fixed"
    out_of_memory = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    if out_of_memory or isinstance(error, MemoryError):
        return "memory: expected enough, got none left; close other programs or take smaller batches, and run it again"
    return None
