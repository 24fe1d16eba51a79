"""A file that crashes its reader, keeps it busy or fills the memory is one line about the file."""

import ctypes
import os
import resource

import pytest

from posernn.runtime import confined
from posernn.runtime.confined import read_confined
from posernn.runtime.errors import InputError


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


def lower_limit_and_read(path):
    """Read in a process that has a lower limit already, as a cluster may set it."""
    resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9))
    return confined._limited(first_word, path, 100, 2 * 10**9), resource.getrlimit(resource.RLIMIT_DATA)


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
        (crash, "within 0.5 GB of memory and 120 s of processor time, got one that ends the reader; fetch it again"),
        (leave, "within 0.5 GB of memory and 120 s of processor time, got one that ends the reader; fetch it again"),
        (fill_memory, "within 0.5 GB of memory and 120 s of processor time, got more; fetch it again"),
    ],
)
def test_a_file_that_ends_the_reader_is_one_line(file, monkeypatch, work, message):
    monkeypatch.setattr(confined, "BYTES", 500_000_000)
    with pytest.raises(InputError) as caught:
        read_confined(work, file)
    assert str(caught.value) == f"{file}: expected a file that can be read {message}"


def test_a_file_that_is_read_for_ever_is_one_line(file, monkeypatch):
    monkeypatch.setattr(confined, "SECONDS", 1)
    with pytest.raises(InputError, match="and 1 s of processor time, got one that ends the reader"):
        read_confined(run_for_ever, file)


def test_what_the_reader_says_of_the_file_is_raised_here(file):
    with pytest.raises(InputError, match=r"expected something else$"):
        read_confined(find_a_mistake, file)


def test_a_mistake_in_the_reader_is_not_blamed_on_the_file(file):
    with pytest.raises(ZeroDivisionError, match="in the reader"):
        read_confined(make_a_mistake, file)


def test_limits_that_are_there_already_stay(file):
    assert read_confined(lower_limit_and_read, file) == ("hello", (10**9, 10**9))


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe"])
def test_what_is_no_file_is_not_opened(tmp_path, kind):
    path = tmp_path / "file"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    there = "nothing" if kind == "nothing" else "something else"
    with pytest.raises(InputError, match=f"expected a file, got {there}"):
        read_confined(first_word, path)
