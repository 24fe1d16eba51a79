"""Ctrl-C and SIGTERM: deferred once, at once the second time; exit code 130."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from small_project import environment

from posernn.runtime import interrupts


def test_a_second_signal_interrupts_at_once_unless_it_is_the_first_one_again(monkeypatch):
    now = 0.0
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with interrupts.deferred() as stop_requested:
        assert not stop_requested()
        signal.raise_signal(signal.SIGTERM)
        assert stop_requested()
        now = 0.9  # the same request, from the parent process
        signal.raise_signal(signal.SIGINT)
        now = 1.1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.fixture
def heeded():
    """Set the default signal handlers: tests that run in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def stop_here(number, *, turned_into=None):
    with interrupts.exit_code():
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if turned_into is not None:
                raise turned_into from None  # as matplotlib's native code does
            raise


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("turned_into", [None, ValueError("Invalid bounding box"), OSError("nothing")])
def test_a_program_that_is_interrupted_exits_with_130(number, turned_into):
    with pytest.raises(SystemExit, match="130"):
        stop_here(number, turned_into=turned_into)


@pytest.mark.usefixtures("heeded")
def test_an_error_without_a_signal_is_raised():
    with pytest.raises(ValueError, match="by itself"), interrupts.exit_code():
        raise ValueError("by itself")


@pytest.mark.usefixtures("heeded")
def test_a_program_in_the_background_ignores_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts.exit_code():
        signal.raise_signal(signal.SIGINT)


PARENT = """
import subprocess, sys
child = subprocess.Popen([*sys.argv[2:], sys.executable, "-c", sys.argv[1]], stdout=sys.stdout)
child.wait()
"""
CHILD = """
import os, time
from posernn.runtime import interrupts
interrupts.PARENT_SECONDS = 0.05
with interrupts.exit_code():
    interrupts.end_with_parent()
    try:
        print(os.getpid(), flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the parent's number")
@pytest.mark.parametrize("shell", [[], ["sh", "-c", '"$@"; true', "sh"]], ids=["direct", "shell"])
def test_a_stage_whose_parent_is_killed_is_interrupted(shell):
    command = [sys.executable, "-c", PARENT, CHILD, *shell]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as parent:
        number = int(parent.stdout.readline())
        parent.kill()
        try:
            assert parent.stdout.readline() == "interrupted\n"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
