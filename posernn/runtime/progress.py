"""Progress bars on a terminal, lines in a log file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, runtime_checkable

SECONDS_BETWEEN_LINES = 10.0
LONG_SECONDS = 86400.0
"""A day: who starts work that takes longer should know at once."""
ESTIMATE_SECONDS = 20.0
"""Work that is timed before its duration is said."""


@runtime_checkable
class Advance(Protocol):
    """A callback that library functions report their progress to; they never print."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` units are done; `note` is shown beside the bar."""


def silent(done: int, total: int, note: str = "") -> None:
    """Show nothing: the default."""


def duration(seconds: float) -> str:
    """Format a time in its two largest units: 12 s, 3 min 5 s, 7 h 2 min, 7 d 14 h."""
    parts, left = [], round(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts[:2]) or "0 s"


@contextmanager
def progress_bar(description: str, unit: str, *, if_long: str = "") -> Iterator[Advance]:
    """Show a bar with the time left on a terminal; elsewhere print a line every ten seconds and one at the end.

    Args:
        description: of the work.
        unit: what is counted.
        if_long: printed once, with the estimate, where the work takes more than a day.
    """
    if sys.stderr.isatty():
        with _rich_bar(description, unit) as (advance, say):
            yield _say_if_long(advance, say, description, if_long) if if_long else advance
    else:
        advance = _line_printer(description, unit)
        yield _say_if_long(advance, _print_line, description, if_long) if if_long else advance


def _say_if_long(advance: Advance, say: Callable[[str], None], description: str, advice: str) -> Advance:
    """Return `advance` that also estimates the time left, once, and says it if it is more than a day."""
    start, first_done, told = 0.0, None, False

    def advance_and_estimate(done: int, total: int, note: str = "") -> None:
        nonlocal start, first_done, told
        advance(done, total, note)
        now = time.monotonic()
        if first_done is None:
            start, first_done = now, done
        elif not told and done > first_done and now - start >= ESTIMATE_SECONDS:
            told = True
            left = (total - done) / (done - first_done) * (now - start)
            if left > LONG_SECONDS:
                say(f"{description}: about {duration(left)} on this machine; {advice}")

    return advance_and_estimate


def _print_line(text: str) -> None:
    with suppress(OSError):  # a full disk or a closed terminal must not stop the work
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _rich_bar(description: str, unit: str) -> Iterator[tuple[Advance, Callable[[str], None]]]:
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class TimeLeft(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            if task.finished:
                return Text(duration(task.finished_time or 0))
            return Text("" if task.time_remaining is None else f"{duration(task.time_remaining)} left")

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        progress.TextColumn(unit),
        TimeLeft(),
        progress.TextColumn("{task.fields[note]}"),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        def say(text: str) -> None:
            bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

        yield advance, say


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
            left = f"{duration((total - done) / rate)} left" if rate > 0 and done < total else duration(now - start)
            _print_line(f"{description}: {done}/{total} {unit}, {left}  {note}".rstrip())

    return advance
