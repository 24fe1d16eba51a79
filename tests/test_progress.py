"""Progress: lines without a terminal, a bar on one, and a word where the work takes days."""

import os
import pty
import subprocess
import sys

import pytest
from small_project import environment

from posernn.runtime import progress


@pytest.fixture
def clock(monkeypatch):
    """Give a clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def report(clock, seconds_per_batch, *, total=10_000, batches=30, **options):
    with progress.progress_bar("train model", "batches", **options) as advance:
        for done in range(1, batches + 1):
            clock[0] += seconds_per_batch
            advance(done, total)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (25_320, "7 h 2 min"),
        (655_492, "7 d 14 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_times_are_in_their_two_largest_units(seconds, text):
    assert progress.duration(seconds) == text


def test_without_a_terminal_there_is_a_line_every_ten_seconds_and_one_at_the_end(clock, capsys):
    report(clock, 4.0, total=6, batches=6)
    assert capsys.readouterr().err.splitlines() == [
        "train model: 3/6 batches, 18 s left",
        "train model: 6/6 batches, 24 s",
    ]


def test_work_of_more_than_a_day_is_announced_once_in_its_first_minute(clock, capsys):
    report(clock, 60.0, if_long="Ctrl-C stops it")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "Ctrl-C" in line] == [
        "train model: about 6 d 22 h on this machine; Ctrl-C stops it"
    ]
    assert lines.index("train model: about 6 d 22 h on this machine; Ctrl-C stops it") == 2  # after the second batch


def test_work_of_less_than_a_day_is_not(clock, capsys):
    report(clock, 8.0, if_long="Ctrl-C stops it")
    assert "Ctrl-C" not in capsys.readouterr().err


BAR = """
from posernn.runtime.progress import progress_bar
with progress_bar("train", "batches") as advance:
    for done in range(1, 6):
        advance(done, 5, "loss 0.1")
"""


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_bar_with_colours_unless_no_color_is_set(no_color):
    parent, child = pty.openpty()
    variables = environment(TERM="xterm-256color", COLUMNS="100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        variables.pop(name, None)
    variables |= {"NO_COLOR": "1"} if no_color else {}
    subprocess.run([sys.executable, "-c", BAR], stderr=child, env=variables, check=True)
    os.close(child)
    shown = b""
    try:
        while part := os.read(parent, 65536):
            shown += part
    except OSError:  # Linux: the other end is closed
        pass
    finally:
        os.close(parent)
    assert b"5/5" in shown
    assert b"loss 0.1" in shown
    assert (b"\x1b[38;" in shown or b"\x1b[3" in shown.replace(b"\x1b[39", b"")) != no_color
