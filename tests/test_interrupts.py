"""Being asked to stop: once is a question, again is an order."""

import signal

import pytest

from posernn import interrupts


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
