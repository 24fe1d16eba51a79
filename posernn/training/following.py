"""Runs a training: logs, checkpoints, stops cleanly."""

import time
from collections.abc import Callable
from dataclasses import asdict

from posernn.runtime.interrupts import deferred
from posernn.runtime.progress import Advance, silent
from posernn.training import loop
from posernn.training.processes import Group

AGREE_EVERY = 10
"""Iterations between two times that several processes ask each other whether to stop: a message each."""


def follow(
    steps: loop.Steps,
    iterations: int,
    log: Callable[[int, dict[str, float]], None] = lambda iteration, metrics: None,
    save: Callable[[], None] = lambda: None,
    save_every: int = 1,
    advance: Advance = silent,
    group: Group = loop.ALONE,
) -> None:
    """Run a training to its end, or until Ctrl-C or SIGTERM.

    Args:
        steps: of `loop.train`.
        iterations: batches in all.
        log: records a history row: its iteration, and its other values by name.
        save: writes a checkpoint; called when the training is stopped, too.
        save_every: iterations between two checkpoints.
        advance: shows the progress.
        group: the processes of the training; each of them has to call this.
    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the current step is done and saved.
    """
    shown, seen, errors, speed = time.monotonic(), None, "", ""
    with deferred() as stop_requested:
        for step in steps:
            if step.row:
                metrics = asdict(step.row)
                log(metrics.pop("iteration"), metrics)
                errors = f", train RMSE {step.row.train_rmse:.1f} px, val RMSE {step.row.val_rmse:.1f} px"
            # All processes stop after the same step, or the others would wait for the one that stopped.
            stop = (group.size == 1 or step.iteration % AGREE_EVERY == 0) and group.any(stop_requested())
            if step.iteration % save_every == 0 or stop:
                save()
            if stop:
                raise KeyboardInterrupt
            elapsed = time.monotonic() - shown
            if elapsed >= 1 or step.iteration == iterations:
                if seen is not None and elapsed >= 1:
                    speed = f", {(step.num_people - seen) / elapsed:.0f} images/s"
                advance(step.iteration, iterations, f"loss {step.loss.item():.4g}{errors}{speed}")
                shown, seen = time.monotonic(), step.num_people
