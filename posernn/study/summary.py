"""The report of a study: variants x scores with intervals, and an answer to each question."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from posernn.evaluation.calibration import calibration_error, reliability
from posernn.evaluation.metrics import Difference
from posernn.models.parts.readouts import WINDOW
from posernn.study import measures
from posernn.study.answers import DIFFERENCES, Answer, Run, Runs, answer, differences, interval, verdict
from posernn.study.decodings import HISTORIES
from posernn.study.measures import Counts, averaged, over_people
from posernn.study.settings import Study

SCORES = ("pckh", "pckh@0.1", "auc", "pckh not visible", "all right", "pcp", "swapped", "impossible")
BITS = tuple(f"bits {history}" for history in HISTORIES)


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


def table(runs: Runs, from_first: Mapping[str, Mapping[str, Difference]]) -> str:
    """Format variants x scores, means over seeds; with `differences` from the first variant."""
    first = next(iter(runs))
    columns = ["variant", "seeds", *BITS, *SCORES, "ECE", *(f"{name} - {first}" for name in DIFFERENCES)]
    rows = []
    for variant, of_seeds in runs.items():
        cells = [variant, str(len(of_seeds))]
        cells += [_mean([run.bits.get(name) for run in of_seeds], 3) for name in BITS]
        cells += [_mean([run.decodings["greedy"][name] for run in of_seeds], 1) for name in SCORES]
        cells.append(f"{100 * np.mean([calibration_error(run.bins) for run in of_seeds]):.1f}")
        found = from_first.get(variant, {})
        cells += [f"{found[name].value:+.1f} {interval(found[name])}" if found else "" for name in DIFFERENCES]
        rows.append(cells)
    return _markdown(columns, rows)


def decodings(runs: list[Run]) -> str:
    """Format decodings x scores of one variant."""
    ways = sorted(runs[0].decodings, key=lambda way: way.startswith("given"))
    rows = [[way, *(_mean([run.decodings[way][name] for run in runs], 1) for name in SCORES)] for way in ways]
    return _markdown(["decoding", *SCORES], rows)


def clicks(runs: Runs, draws: int) -> str:
    """Format the joints that must be corrected, by variant."""
    rows = []
    for variant, of_seeds in runs.items():
        told, not_told = ([run.clicks[name] for run in of_seeds] for name in ("told", "not told"))
        saved = over_people(told, not_told, draws)
        rows.append([variant, _mean(not_told, 2), _mean(told, 2), f"{saved.value:+.2f} {interval(saved)}"])
    return _markdown(["variant", "not told", "told", "difference"], rows)


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


def page(study: Study, found: Found, about: str) -> tuple[str, dict[str, Any]]:
    """Write the report.

    Args:
        study: its settings.
        found: what was measured.
        about: a sentence on the data.

    Returns:
        Markdown, and the same numbers for JSON.
    """
    draws = study.evaluate.bootstrap_draws
    answers, further, end_to_end = (
        [known for name, question in questions.items() if (known := answer(name, question, runs, draws))]
        for questions, runs in (
            (study.questions, found.decoders),
            (study.further_questions, found.decoders),
            (study.questions, found.end_to_end),
        )
    )
    from_first = [differences(runs, draws) for runs in (found.decoders, found.end_to_end)]
    parts = [
        "# Does it help to predict joints one after another?",
        about,
        "## Answers",
        "The comparisons that were named before the study ran; negative bits are a gain.",
        "\n".join(f"- {verdict(one)}" for one in answers),
        "Other comparisons; of so many, one or the other differs by chance.",
        "\n".join(f"- {verdict(one)}" for one in further),
        "## Variants",
        "Means over seeds. Bits a joint without history, given the true joints before it, and given somebody else's; "
        "all other columns in percent, with joints fed back as they were predicted; differences with intervals over "
        "people. ECE: expected calibration error of the confidence, where a joint is right within half a head; the "
        f"confidence is the probability of {2 * WINDOW + 1} x {2 * WINDOW + 1} cells, which are more than that.",
        table(found.decoders, from_first[0]),
        "![Bits under each history, and what a chain gains that reads its own joints](answer.png)",
        "![Share of correct joints over confidence](reliability.png)",
        "## End to end",
        f"Trunk and decoder trained together on nine tenths of all people; seeds {', '.join(map(str, study.trunks))}.",
        "\n".join(f"- {verdict(one)}" for one in end_to_end),
        table(found.end_to_end, from_first[1]),
        "## Decodings",
        "hidden, true, other: told nothing, the true joints before, somebody else's. given K: K true joints are "
        "given, random ones or the least certain; scores are those of the other joints, and *not told* of the same "
        "joints as they are predicted without them.",
        *(
            f"### {variant}\n\n{decodings(runs)}"
            for variant, runs in found.decoders.items()
            if len(runs[0].decodings) > 2
        ),
        "## Clicks",
        "Joints that must be corrected, the least certain first, until "
        f"{measures.SHARE_RIGHT:.0%} of a person's joints are right: where the decoder is told and predicts the others "
        "anew, and where they stay as they were. Intervals over people.",
        clicks(found.decoders, draws),
        "## Cost",
        "Decoders alone, from features that are there.",
        cost(found.costs),
    ]
    numbers = {
        "answers": _plain(answers),
        "further answers": _plain(further),
        "answers end to end": _plain(end_to_end),
        "variants": _numbers(found.decoders, from_first[0]),
        "end to end": _numbers(found.end_to_end, from_first[1]),
        "cost": dict(found.costs),
    }
    return "\n\n".join(part for part in parts if part) + "\n", numbers


def _plain(answers: list[Answer]) -> list[dict[str, Any]]:
    return [found._asdict() | {"people": list(found.people), "seeds": list(found.seeds)} for found in answers]


def _numbers(runs: Runs, from_first: Mapping[str, Mapping[str, Difference]]) -> dict[str, Any]:
    """Return the means over seeds: by variant, by decoding or bits, by score; and `differences`."""
    found = {}
    for variant, of_seeds in runs.items():
        groups = {way: [run.decodings[way] for run in of_seeds] for way in of_seeds[0].decodings}
        groups |= {"bits": [run.bits for run in of_seeds], "clicks": [run.clicks for run in of_seeds]}
        found[variant] = {
            way: {name: round(averaged([one[name] for one in some]).value, 4) for name in some[0]}
            for way, some in groups.items()
        } | {
            "calibration error": [round(100 * calibration_error(run.bins), 3) for run in of_seeds],
            "reliability": reliability(np.sum([run.bins for run in of_seeds], axis=0)),
            "differences": {name: list(one) for name, one in from_first.get(variant, {}).items()},
        }
    return found


def _mean(counts: Sequence[Counts | None], digits: int) -> str:
    known = [found for found in counts if found is not None]
    return f"{averaged(known).value:.{digits}f}" if known else ""


def _markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
