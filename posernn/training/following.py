"""Somebody who watches a training: shows and records how it goes, saves it now and then and when it is to stop."""

import time
from collections.abc import Callable
from dataclasses import asdict

from posernn.runtime.interrupts import deferred
from posernn.runtime.progress import Advance, silent
from posernn.training import loop
from posernn.training.processes import Group

AGREE_EVERY = 10
"""Batches between two questions of the processes to each other whether somebody wants them to stop."""


def follow(
    steps: loop.Steps,
    iterations: int,
    log: Callable[[int, dict[str, float]], None] = lambda iteration, metrics: None,
    save: Callable[[], None] = lambda: None,
    save_every: int = 1,
    advance: Advance = silent,
    group: Group = loop.ALONE,
) -> None:
    """Run the training to its end, or until somebody stops it.

    Args:
        steps: of `loop.train`.
        iterations: batches in all.
        log: records a point of each curve: iteration, and the rest of a history row by name.
        save: writes a checkpoint.
        save_every: batches; the training is saved when it is stopped, too.
        advance: shows how far it is.
        group: the processes that train together; all of them have to follow.
    Raises:
        KeyboardInterrupt: somebody stopped it, with Ctrl-C or SIGTERM.
    """
    shown, seen, errors, speed = time.monotonic(), None, "", ""
    with deferred() as stop_requested:
        for step in steps:
            if step.row:
                log(
                    step.iteration,
                    {key: value for key, value in asdict(step.row).items() if key != "iteration"},
                )
                errors = f", train RMSE {step.row.train_rmse:.1f} px, val RMSE {step.row.val_rmse:.1f} px"
            # Several processes have to agree when to stop, which takes a moment.
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
