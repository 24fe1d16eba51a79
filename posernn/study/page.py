"""The report of a study as a page, study.md: a verdict for each question, and tables of variants x scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posernn.models.parts.readouts import WINDOW
from posernn.report.tables import markdown_table
from posernn.study.answers import DIFFERENCES
from posernn.study.decodings import HISTORIES
from posernn.study.measures import SHARE_RIGHT

SCORES = ("pckh", "pckh@0.1", "auc", "pckh not visible", "all right", "pcp", "swapped", "impossible")
BITS = tuple(f"bits {history}" for history in HISTORIES)

Numbers = Mapping[str, Any]


def markdown(numbers: Numbers) -> str:
    """Format the report.

    Args:
        numbers: as in study.json.
    """
    variants, end_to_end = numbers["variants"], numbers["end to end"]
    everything = variants | named_end_to_end(numbers)
    num_seeds = max(scores["seeds"] for scores in end_to_end.values())
    parts = [
        "# Does it help to predict joints one after another?",
        numbers["about"],
        "## Answers",
        "The comparisons that were named before the study ran; negative bits are a gain.",
        verdicts(numbers["answers"]),
        "Other comparisons; of so many, one or the other differs by chance.",
        verdicts(numbers["further answers"]),
        "## Variants",
        "Means over seeds. Bits a joint without history, given the true joints before it, and given somebody else's; "
        "all other columns in percent, with joints fed back as they were predicted; differences with intervals over "
        "people. ECE: expected calibration error of the confidence, where a joint is right within half a head; the "
        f"confidence is the probability of {2 * WINDOW + 1} x {2 * WINDOW + 1} cells, which are more than that.",
        table(variants),
        "![Bits under each history, and what a chain gains that reads its own joints](answer.png)",
        "![Share of correct joints over confidence](reliability.png)",
        "## End to end",
        f"Trunk and decoder trained together on nine tenths of all people; seeds: {num_seeds}.",
        verdicts(numbers["answers end to end"]),
        table(end_to_end),
        "## Decodings",
        "hidden, true, other: told nothing, the true joints before, somebody else's. given K: K true joints are "
        "given, random ones or the least certain; scores are those of the other joints, and *not told* of the same "
        "joints as they are predicted without them.",
        *(
            f"### {variant}\n\n{decodings(scores['decodings'])}"
            for variant, scores in everything.items()
            if len(scores["decodings"]) > 2
        ),
        "## Clicks",
        "Joints that must be corrected, the least certain first, until "
        f"{SHARE_RIGHT:.0%} of a person's joints are right: where the decoder is told and predicts the others "
        "anew, and where they stay as they were. Intervals over people.",
        clicks(everything),
        "## Cost",
        "Decoders alone, from features that are there.",
        cost(numbers["cost"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def named_end_to_end(numbers: Numbers) -> dict[str, Any]:
    """Return the models that were trained end to end, by names that tell them from the decoders."""
    return {f"{variant}, end to end": scores for variant, scores in numbers["end to end"].items()}


def verdicts(answers: Sequence[Numbers]) -> str:
    """Format a line for each answer: whether the variant is better, with both intervals."""
    lines = []
    for found in answers:
        unit = "bits a joint" if found["score"].startswith("bits") else "points"
        over_seeds = "one seed" if found["seeds"][1] is None else f"{interval(found['seeds'])} over seeds"
        lines.append(
            f"- {found['question']}: {found['one']} against {found['other']}, {found['score']}: **{found['says']}**, "
            f"{number(found['people'][0], '+.2f')} {unit} ({interval(found['people'])} over people, {over_seeds})"
        )
    return "\n".join(lines)


def table(variants: Numbers) -> str:
    """Format variants x scores, means over seeds, and differences from the first variant."""
    columns = ["variant", "seeds", *BITS, *SCORES, "ECE", *(f"{name} - {next(iter(variants))}" for name in DIFFERENCES)]
    rows = []
    for variant, scores in variants.items():
        found = scores["differences"]
        rows.append(
            [
                variant,
                str(scores["seeds"]),
                *(number(scores["bits"].get(name), ".3f") for name in BITS),
                *(number(scores["decodings"]["greedy"][name], ".1f") for name in SCORES),
                number(np.mean(scores["calibration error"]), ".1f"),
                *(difference(found[name], 1) if found else "" for name in DIFFERENCES),
            ]
        )
    return markdown_table(columns, rows)


def decodings(ways: Mapping[str, Numbers]) -> str:
    """Format decodings x scores of one variant, given joints last."""
    names = sorted(ways, key=lambda way: way.startswith("given"))
    rows = [[way, *(number(ways[way][name], ".1f") for name in SCORES)] for way in names]
    return markdown_table(["decoding", *SCORES], rows)


def clicks(variants: Numbers) -> str:
    """Format the joints that must be corrected, by variant."""
    rows = []
    for variant, scores in variants.items():
        counts = [number(scores["clicks"][name], ".2f") for name in ("not told", "told")]
        rows.append([variant, *counts, difference(scores["clicks saved"], 2)])
    return markdown_table(["variant", "not told", "told", "difference"], rows)


def cost(abouts: Mapping[str, Sequence[Numbers]]) -> str:
    """Format weights, speed of training and of decoding: medians over seeds, from features."""
    ways = list(dict.fromkeys(way for runs in abouts.values() for run in runs for way in run["milliseconds"]))
    rows = []
    for variant, runs in abouts.items():
        times = [[run["milliseconds"].get(way) for run in runs] for way in ways]
        rows.append(
            [
                variant,
                f"{runs[0]['weights']:,}",
                number(np.median([run["people_per_second"] for run in runs]), ".0f"),
                *(number(None if None in some else np.median(some), ".2f") for some in times),
            ]
        )
    return markdown_table(
        ["variant", "weights", "people/s in training", *(f"{way}, ms a person" for way in ways)], rows
    )


def number(value: float | None, form: str) -> str:
    """Format a number; None: nothing was counted."""
    return "" if value is None else format(value, form)


def interval(found: Sequence[float | None]) -> str:
    """Format the interval of a difference, which is (value, low, high)."""
    _, low, high = found
    return "no interval" if low is None or high is None else f"[{low:+.2f}, {high:+.2f}]"


def difference(found: Sequence[float | None], digits: int) -> str:
    """Format a difference and its interval."""
    return f"{number(found[0], f'+.{digits}f')} {interval(found)}"
