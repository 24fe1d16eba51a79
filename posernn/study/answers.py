"""Answers to the questions of a study: differences between variants, with intervals over people and over seeds."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from posernn.evaluation.metrics import Difference
from posernn.study.decodings import HISTORIES
from posernn.study.measures import Counts, over_people, over_seeds
from posernn.study.settings import Question

LESS_IS_BETTER = ("bits", "swapped", "impossible")

DIFFERENCES = ("pckh", "pckh not visible", "all right")
"""Scores in which each variant is compared with the first."""


class Run(NamedTuple):
    """Scores of a training.

    Attributes:
        decodings: by decoding, by score.
        bits: by history.
        clicks: told and not told, of `measures.of_clicks`.
        bins: of greedy decoding's confidence, as `calibration.binned` counts.
    """

    decodings: dict[str, dict[str, Counts]]
    bits: dict[str, Counts]
    clicks: dict[str, Counts]
    bins: Float[np.ndarray, "10 3"]


Runs = Mapping[str, list[Run]]
"""By variant, a run for each seed; a variant may have the first few seeds alone."""


class Answer(NamedTuple):
    """The difference that answers a question: the variant minus what it is held against."""

    question: str
    one: str
    other: str
    score: str
    people: Difference
    seeds: Difference

    @property
    def says(self) -> str:
        """Whether the variant is better: where both intervals, or the one over people if there is one seed, say so."""
        gain = -1 if self.score.startswith(LESS_IS_BETTER) else 1
        both = (self.people, self.seeds) if not math.isnan(self.seeds.low) else (self.people,)
        if all(gain * part.low > 0 and gain * part.high > 0 for part in both):
            return "better"
        if all(gain * part.low < 0 and gain * part.high < 0 for part in both):
            return "worse"
        return "no significant difference"


def answer(name: str, question: Question, runs: Runs, draws: int) -> Answer | None:
    """Compare a variant with another variant or, `reference: hidden`, with itself without history.

    Returns:
        None: one of the two was not trained.

    Raises:
        KeyError: there is no such score.
    """
    if question.variant not in runs or question.reference not in (*runs, *HISTORIES):
        return None
    of_itself = question.reference in HISTORIES
    other_runs = runs[question.variant if of_itself else question.reference]
    other_score = f"bits {question.reference}" if of_itself else question.score
    one, other = _in_common(runs[question.variant], question.score, other_runs, other_score)
    return Answer(
        name,
        question.variant,
        question.reference,
        question.score,
        over_people(one, other, draws),
        over_seeds(one, other),
    )


def _in_common(one: list[Run], one_score: str, other: list[Run], other_score: str) -> tuple[list[Counts], list[Counts]]:
    """Look up the scores of two variants in the seeds that both have."""
    num = min(len(one), len(other))
    return [_score(run, one_score) for run in one[:num]], [_score(run, other_score) for run in other[:num]]


def _score(run: Run, name: str) -> Counts:
    """Look up a score of greedy decoding, or bits; a decoder without history has bits without history alone."""
    if not name.startswith("bits"):
        return run.decodings["greedy"][name]
    return run.bits[name] if name in run.bits else run.bits["bits hidden"]


def differences(runs: Runs, draws: int) -> dict[str, dict[str, Difference]]:
    """Subtract the first variant's scores in DIFFERENCES from those of each other one, with intervals over people."""
    first, *others = runs

    def difference(variant: str, name: str) -> Difference:
        one, other = _in_common(runs[variant], name, runs[first], name)
        return over_people(one, other, draws)

    return {variant: {name: difference(variant, name) for name in DIFFERENCES} for variant in others}
