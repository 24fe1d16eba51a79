"""Progress bars on a terminal, lines in a log file."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, runtime_checkable

SECONDS_BETWEEN_LINES = 10.0


@runtime_checkable
class Advance(Protocol):
    """A callback that library functions report their progress to; they never print."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` units are done; `note` is shown beside the bar."""


def silent(done: int, total: int, note: str = "") -> None:
    """Show nothing: the default."""


@contextmanager
def progress_bar(description: str, unit: str) -> Iterator[Advance]:
    """Show a bar with the time left on a terminal; elsewhere print a line every ten seconds and one at the end."""
    if sys.stderr.isatty():
        with _rich_bar(description, unit) as advance:
            yield advance
    else:
        yield _line_printer(description, unit)


@contextmanager
def _rich_bar(description: str, unit: str) -> Iterator[Advance]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        progress.TextColumn(unit),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        progress.TextColumn("{task.fields[note]}"),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield advance


def _line_printer(description: str, unit: str) -> Advance:
    start = last = time.monotonic()
    first_done: int | None = None  # a resumed training does not start from 0

    def advance(done: int, total: int, note: str = "") -> None:
        nonlocal last, first_done
        now = time.monotonic()
        if first_done is None:
            first_done = done
        if done == total or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            rate = (done - first_done) / max(now - start, 1e-9)
            left = f"{(total - done) / rate:.0f} s left" if rate > 0 and done < total else f"{now - start:.0f} s"
            with suppress(OSError):  # a full disk or a closed terminal must not stop the work
                print(f"{description}: {done}/{total} {unit}, {left}  {note}".rstrip(), file=sys.stderr, flush=True)

    return advance
