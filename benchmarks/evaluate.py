"""Scores, 10,000 bootstrap draws and curves of 2,958 people: seconds."""

import statistics

import numpy as np
from timing import seconds_of

from posernn.evaluation import metrics

rng = np.random.default_rng(0)
truth = rng.uniform(0, 700, (2958, 16, 2))
annotated = rng.random((2958, 16)) < 0.94
head = rng.uniform(15, 300, 2958)
guesses = [truth + rng.normal(0, 40, truth.shape) for _ in range(2)]


def evaluate() -> None:
    errors = [metrics.normalized_errors(guess, truth, annotated, head) for guess in guesses]
    for one in errors:
        metrics.pckh_groups(one)
        metrics.pckh_total(one, 0.1)
        metrics.pckh_curve(one)
    metrics.bootstrap_difference(*errors, draws=10_000, seed=0)


evaluate()
print(f"evaluate 2,958 people: {statistics.median(seconds_of(evaluate) for _ in range(5)):.2f} s (goal < 1 s)")
