"""Being asked to stop: once is a question, again is an order."""

import signal
import threading

import pytest

from posernn.runtime import interrupts


def test_a_second_signal_interrupts_at_once_unless_it_is_the_first_one_again(monkeypatch):
    now = 0.0
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with interrupts.deferred() as stop_requested:
        assert not stop_requested()
        signal.raise_signal(signal.SIGTERM)
        assert stop_requested()
        now = 0.9  # from the process that started this one, which was told, too
        signal.raise_signal(signal.SIGINT)
        now = 1.1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.fixture
def heeded():
    """Ctrl-C and SIGTERM as a program finds them; whoever runs the tests in the background ignores the first."""
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
def test_a_program_that_is_asked_to_stop_ends_with_130(number, turned_into):
    with pytest.raises(SystemExit, match="130"):
        stop_here(number, turned_into=turned_into)


@pytest.mark.usefixtures("heeded")
def test_what_goes_wrong_by_itself_is_no_stop():
    with pytest.raises(ValueError, match="by itself"), interrupts.exit_code():
        raise ValueError("by itself")


@pytest.mark.usefixtures("heeded")
def test_a_program_in_the_background_ignores_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts.exit_code():
        signal.raise_signal(signal.SIGINT)


def work_and_be_interrupted(number, done):
    with interrupts.held_back():
        signal.raise_signal(number)
        done.append(number)
        if number == signal.SIGTERM:
            raise ValueError("damaged")


def test_a_block_is_whole_before_it_is_interrupted():
    done = []
    with pytest.raises(KeyboardInterrupt):
        work_and_be_interrupted(signal.SIGINT, done)
    assert done == [signal.SIGINT]


def test_what_goes_wrong_in_a_block_is_said_also_where_somebody_interrupts_it():
    with pytest.raises(ValueError, match="damaged"):
        work_and_be_interrupted(signal.SIGTERM, [])


def test_other_threads_do_without():
    done = []

    def work():
        with interrupts.held_back():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
