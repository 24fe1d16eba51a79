"""The report of a study: variants x scores with intervals, and an answer to each question."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from posernn.evaluation.metrics import Difference
from posernn.study.measures import Counts, averaged, over_people, over_seeds
from posernn.study.settings import Question, Study

LESS_IS_BETTER = ("bits", "swapped", "impossible")

SCORES = ("pckh", "pckh@0.1", "auc", "pckh not visible", "all right", "pcp", "swapped", "impossible")
BITS = ("bits hidden", "bits true", "bits other")

Runs = Mapping[str, list[dict[str, dict[str, Counts]]]]
"""By variant, a run for each seed: by decoding (and "bits"), by score."""


class Answer(NamedTuple):
    """The difference that answers a question: the variant minus what it is held against."""

    question: str
    one: str
    other: str
    score: str
    people: Difference
    seeds: Difference


def answer(name: str, question: Question, runs: Runs, draws: int) -> Answer:
    """Compare a variant with another variant or, `reference: hidden`, with itself without history.

    Raises:
        KeyError: a variant or score is not there.
    """
    decoding = "bits" if question.score.startswith("bits") else "greedy"
    one = [run[decoding][question.score] for run in runs[question.variant]]
    if question.reference in runs:
        other = [run[decoding][_score_of(question, run[decoding])] for run in runs[question.reference]]
    else:
        other = [run[decoding][f"bits {question.reference}"] for run in runs[question.variant]]
    return Answer(
        name,
        question.variant,
        question.reference,
        question.score,
        over_people(one, other, draws),
        over_seeds(one, other),
    )


def _score_of(question: Question, found: Mapping[str, Counts]) -> str:
    """A variant without history has bits without history alone."""
    return question.score if question.score in found else "bits hidden"


def verdict(found: Answer) -> str:
    """Say in a sentence whether the variant is better, with both intervals."""
    gain = -1 if found.score.startswith(LESS_IS_BETTER) else 1
    both = (found.people, found.seeds) if not math.isnan(found.seeds.low) else (found.people,)
    if all(gain * part.low > 0 and gain * part.high > 0 for part in both):
        says = "better"
    elif all(gain * part.low < 0 and gain * part.high < 0 for part in both):
        says = "worse"
    else:
        says = "no significant difference"
    unit = "bits a joint" if found.score.startswith("bits") else "points"
    return (
        f"{found.question}: {found.one} against {found.other}, {found.score}: **{says}**, {found.people.value:+.2f} "
        f"{unit} ({_interval(found.people)} over people, {_interval(found.seeds)} over seeds)"
    )


def _interval(found: Difference) -> str:
    return "one seed" if math.isnan(found.low) else f"[{found.low:+.2f}, {found.high:+.2f}]"


def table(runs: Runs, calibration: Mapping[str, list[float]], draws: int) -> str:
    """Format variants x scores, means over seeds; `all right` also as a difference from the first variant."""
    first = next(iter(runs))
    columns = ["variant", *BITS, *SCORES, "ECE", f"all right - {first}"]
    rows = []
    for variant, of_seeds in runs.items():
        cells = [variant]
        cells += [_mean([run["bits"].get(name) for run in of_seeds], 3) for name in BITS]
        cells += [_mean([run["greedy"][name] for run in of_seeds], 1) for name in SCORES]
        cells.append(f"{np.mean(calibration[variant]):.1f}")
        if variant == first:
            cells.append("")
        else:
            one, other = ([run["greedy"]["all right"] for run in some] for some in (of_seeds, runs[first]))
            cells.append(f"{(d := over_people(one, other, draws)).value:+.1f} {_interval(d)}")
        rows.append(cells)
    return _markdown(columns, rows)


def decodings(runs: Runs, variant: str) -> str:
    """Format decodings x scores of one variant."""
    ways = sorted((way for way in runs[variant][0] if way != "bits"), key=lambda way: way.startswith("given"))
    rows = [[way, *(_mean([run[way][name] for run in runs[variant]], 1) for name in SCORES)] for way in ways]
    return _markdown(["decoding", *SCORES], rows)


def cost(abouts: Mapping[str, list[dict[str, Any]]]) -> str:
    """Format weights, speed of training and of decoding: medians over seeds, from features."""
    ways = list(dict.fromkeys(way for runs in abouts.values() for run in runs for way in run["milliseconds"]))
    rows = []
    for variant, runs in abouts.items():
        times = [[run["milliseconds"].get(way) for run in runs] for way in ways]
        rows.append(
            [
                variant,
                f"{runs[0]['weights']:,}",
                f"{np.median([run['people_per_second'] for run in runs]):.0f}",
                *("" if None in some else f"{np.median(some):.2f}" for some in times),
            ]
        )
    return _markdown(["variant", "weights", "people/s in training", *(f"{way}, ms a person" for way in ways)], rows)


def page(
    study: Study,
    runs: Runs,
    abouts: Mapping[str, list[dict[str, Any]]],
    calibration: Mapping[str, list[float]],
    about: str,
) -> tuple[str, dict[str, Any]]:
    """Write the report.

    Args:
        study: its settings.
        runs: scores.
        abouts: costs, a dictionary for each variant and seed.
        calibration: expected calibration errors, one for each variant and seed.
        about: a sentence on the data.

    Returns:
        Markdown, and the same numbers for JSON.
    """
    draws = study.evaluate.bootstrap_draws
    answers = [answer(name, question, runs, draws) for name, question in study.questions.items()]
    chains = [variant for variant in runs if len(runs[variant][0]) > 3]
    parts = [
        "# Does it help to predict joints one after another?",
        about,
        "## Answers",
        "The comparisons that were named before the study ran; negative bits are a gain.",
        "\n".join(f"- {verdict(found)}" for found in answers),
        "## Variants",
        "Means over seeds. Bits a joint without history, given the true joints before it, and given somebody else's; "
        "all other columns in percent, with joints fed back as they were predicted; the difference with its interval "
        "over people. ECE: expected calibration error of the confidence.",
        table(runs, calibration, draws),
        "## Decodings",
        "hidden, true, other: told nothing, the true joints before, somebody else's. given K: K true joints come "
        "first, random ones or the least certain; scores are those of the other joints, and *not told* of the same "
        "joints as they are predicted without them.",
        *(f"### {variant}\n\n{decodings(runs, variant)}" for variant in chains),
        "## Cost",
        "Decoders alone, from features that are there.",
        cost(abouts),
    ]
    numbers = {
        "answers": [found._asdict() | {"people": list(found.people), "seeds": list(found.seeds)} for found in answers],
        "variants": {
            variant: {
                way: {name: round(averaged([run[way][name] for run in of_seeds]).value, 4) for name in of_seeds[0][way]}
                for way in of_seeds[0]
            }
            for variant, of_seeds in runs.items()
        },
        "calibration": {variant: [round(error, 3) for error in of_seeds] for variant, of_seeds in calibration.items()},
        "cost": dict(abouts),
    }
    return "\n\n".join(parts) + "\n", numbers


def _mean(counts: list[Counts | None], digits: int) -> str:
    known = [found for found in counts if found is not None]
    return f"{averaged(known).value:.{digits}f}" if known else ""


def _markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
