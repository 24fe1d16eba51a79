"""How a stage ends: one line for an error that a user can fix, a traceback for a mistake, 130 when interrupted."""

import os
import subprocess
import sys

import pytest
from small_project import ROOT, environment

FAILS = """
import errno, signal
from posernn.runtime.errors import InputError
from stages import run
def main():
    {line}
if __name__ == "__main__":
    run(main)
"""


def end_of(tmp_path, line):
    """Return the exit code and stderr of a stage of one line."""
    script = tmp_path / "stage.py"
    script.write_text(FAILS.format(line=line))
    ended = subprocess.run([sys.executable, script], env=environment(), capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise InputError('a.csv: expected a table, got nothing')", "a.csv: expected a table, got nothing"),
        ("open('/nowhere/a.csv')", "/nowhere/a.csv: No such file or directory; run the stage again when that is fixed"),
        ("raise OSError(errno.ENOSPC, 'No space left on device', 'a.csv')", "a.csv: No space left on device"),
        ("raise MemoryError", "memory: expected enough, got none left"),
        ("raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')", "memory: expected enough, got none left"),
        ("bytearray(1 << 60)", "memory: expected enough, got none left"),
    ],
)
def test_an_error_that_a_user_can_fix_is_one_line(tmp_path, line, said):
    code, err = end_of(tmp_path, line)
    assert code == 1
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise RuntimeError('could not create a primitive descriptor for a convolution')", "RuntimeError: could not"),
        ("raise OSError('encoder error -2')", "OSError: encoder error -2"),
        ("raise ConnectionResetError(errno.ECONNRESET, 'Connection reset by peer')", "ConnectionResetError: [Errno"),
        ("raise ValueError('a mistake')", "ValueError: a mistake"),
    ],
)
def test_any_other_error_shows_its_traceback(tmp_path, line, said):
    code, err = end_of(tmp_path, line)
    assert code == 1
    assert "Traceback" in err
    assert said in err


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stage_that_is_interrupted_exits_with_130_and_says_nothing(tmp_path, name):
    line = f"signal.signal(signal.{name}, signal.getsignal(signal.SIGTERM)); signal.raise_signal(signal.{name})"
    assert end_of(tmp_path, line) == (130, "")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, "1000"),
        ({"OMP_NUM_THREADS": "4"}, "None"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
    ],
)
def test_pytorchs_threads_spin_briefly_unless_the_user_set_something(user, expected):
    code = "import sys, os, stages; assert 'torch' not in sys.modules; print(os.environ.get('GOMP_SPINCOUNT'))"
    ours = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    env = {key: value for key, value in os.environ.items() if key not in ours} | {"PYTHONPATH": str(ROOT)} | user
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{expected}\n"
