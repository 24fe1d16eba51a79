"""The numbers of a study, as study.json has them: scores of all variants with intervals, answers, cost."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from posernn.evaluation.calibration import calibration_error, reliability
from posernn.evaluation.metrics import Difference
from posernn.evaluation.scores import rounded
from posernn.study.answers import Runs, answer, differences
from posernn.study.measures import averaged, over_people
from posernn.study.settings import Question, Study


class Found(NamedTuple):
    """All that was measured.

    Attributes:
        decoders: trained on features.
        end_to_end: trained from the picture on.
        costs: of the decoders, a dictionary for each variant and seed.
    """

    decoders: Runs
    end_to_end: Runs
    costs: Mapping[str, list[dict[str, Any]]]


def numbers(study: Study, found: Found, about: str) -> dict[str, Any]:
    """Summarise a study for JSON.

    Args:
        study: its settings.
        found: what was measured.
        about: a sentence on the data and on what was trained.

    Returns:
        Percent, bits and points; a difference is [value, low, high], whose interval over one seed is None.
    """
    draws = study.evaluate.bootstrap_draws
    return {
        "about": about,
        "answers": _answers(study.questions, found.decoders, draws),
        "further answers": _answers(study.further_questions, found.decoders, draws),
        "answers end to end": _answers(study.questions, found.end_to_end, draws),
        "variants": _variants(found.decoders, draws),
        "end to end": _variants(found.end_to_end, draws),
        "cost": dict(found.costs),
    }


def _answers(questions: Mapping[str, Question], runs: Runs, draws: int) -> list[dict[str, Any]]:
    known = [found for name, question in questions.items() if (found := answer(name, question, runs, draws))]
    return [
        found._asdict() | {"people": _difference(found.people), "seeds": _difference(found.seeds), "says": found.says}
        for found in known
    ]


def _variants(runs: Runs, draws: int) -> dict[str, Any]:
    """Summarise runs by variant: means over seeds, and differences from the first variant."""
    from_first = differences(runs, draws)
    found = {}
    for variant, of_seeds in runs.items():
        told, not_told = ([run.clicks[name] for run in of_seeds] for name in ("told", "not told"))
        found[variant] = {
            "seeds": len(of_seeds),
            "decodings": {way: _means([run.decodings[way] for run in of_seeds]) for way in of_seeds[0].decodings},
            "bits": _means([run.bits for run in of_seeds]),
            "clicks": _means([run.clicks for run in of_seeds]),
            "clicks saved": _difference(over_people(told, not_told, draws)),
            "calibration error": [round(100 * calibration_error(run.bins), 3) for run in of_seeds],
            "reliability": reliability(np.sum([run.bins for run in of_seeds], axis=0)),
            "differences": {name: _difference(one) for name, one in from_first.get(variant, {}).items()},
        }
    return found


def _means(scores: list[dict[str, Any]]) -> dict[str, float | None]:
    return rounded({name: averaged([one[name] for one in scores]).value for name in scores[0]})


def _difference(found: Difference) -> list[float | None]:
    """Return value, low and high for JSON, which has no NaN."""
    return [None if np.isnan(value) else value for value in found]
