"""A file that crashes its reader, keeps it busy or fills the memory is one line about the file."""

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from posernn.runtime import confined
from posernn.runtime.confined import read_confined
from posernn.runtime.errors import InputError

STARTS_A_READER = """
import time
from pathlib import Path
from posernn.runtime.confined import read_confined
def read(path):
    print(__import__("os").getpid(), flush=True)
    while True:
        time.sleep(0.05)
if __name__ == "__main__":
    read_confined(read, Path(__file__))
"""


def first_word(path):
    return path.read_text().split()[0]


def crash(path):
    ctypes.string_at(0)


def leave(path):
    os._exit(0)


def run_for_ever(path):
    while True:
        pass


def fill_memory(path):
    kept = []
    while True:
        kept.append(bytearray(50_000_000))


def find_a_mistake(path):
    raise InputError(f"{path}: expected something else")


def make_a_mistake(path):
    raise ZeroDivisionError("in the reader")


@pytest.fixture
def file(tmp_path):
    """Make a file with two words."""
    path = tmp_path / "file.mat"
    path.write_text("hello world")
    return path


def test_what_was_read_comes_back(file):
    assert read_confined(first_word, file) == "hello"


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (crash, "expected a file that can be read, got one that ends the reader (code -11); fetch it again"),
        (leave, "expected a file that can be read, got one that ends the reader (code 0); fetch it again"),
        (run_for_ever, "expected to be read within 1 s, took longer; fetch it again"),
        (fill_memory, "expected to be read within 0.5 GB of memory, took more"),
        (find_a_mistake, "expected something else"),
    ],
)
def test_what_ends_the_reader_is_one_line(file, monkeypatch, work, message):
    monkeypatch.setattr(confined, "SECONDS", 1)
    monkeypatch.setattr(confined, "BYTES", 500_000_000)
    with pytest.raises(InputError) as caught:
        read_confined(work, file)
    assert str(caught.value) == f"{file}: {message}"


def test_a_mistake_in_the_reader_is_not_blamed_on_the_file(file):
    with pytest.raises(ZeroDivisionError, match="in the reader"):
        read_confined(make_a_mistake, file)


def test_a_larger_file_may_take_longer_and_more():
    assert confined.limits_of(0) == (8, 1_500_000_000)
    assert confined.limits_of(7_363_015) == (81, 3_708_904_500), "MPII's annotation file"


def test_limits_that_are_there_already_stay(file):
    script = (
        "import resource, sys; from pathlib import Path; from posernn.runtime.confined import read_confined\n"
        "if __name__ == '__main__':\n"
        "    resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9))\n"
        "    print(read_confined(Path.read_text, Path(sys.argv[1])))\n"
    )
    (file.parent / "script.py").write_text(script)
    command = [sys.executable, file.parent / "script.py", file]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "hello world\n"


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe"])
def test_what_is_no_file_is_not_opened(tmp_path, kind):
    path = tmp_path / "file"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(
        InputError, match=f"expected a file, got {'nothing' if kind == 'nothing' else 'something else'}"
    ):
        read_confined(first_word, path)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_the_reader_ends_with_the_one_that_started_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(STARTS_A_READER)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        reader = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{reader}").exists() and "Z" not in Path(f"/proc/{reader}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "still there after ten seconds"
        time.sleep(0.05)
