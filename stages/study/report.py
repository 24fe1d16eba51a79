"""Scores all runs of the study and writes its report."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from posernn import params
from posernn.data.shards import read_crops
from posernn.evaluation.calibration import binned
from posernn.report import study as figures
from posernn.report.style import save
from posernn.runtime.files import read_json, replacing, write_json
from posernn.study import answers, measures, page, settings, summary
from stages import run


def main(crops: str, people: Path, decoders: Path, end_to_end: Path, out: Path) -> None:
    """Score the runs in DECODERS and END_TO_END on the val split of CROPS and write the report to OUT."""
    study, all_settings = settings.load(), params.load()
    side = all_settings.data.crop_size
    val, train = read_crops(crops, "val"), read_crops(crops, "train", ["joints_image", "head_size"])
    judges = measures.judges(val, train, pq.read_table(people))
    about = (
        f"{len(judges.people):,} held-out people of `{all_settings.dataset}`, `{all_settings.crops.box}` box, {side} "
        f"px; {len(study.trunks)} trunks, each trained on half of the other people, and {len(study.seeds)} seeds of "
        f"each decoder on the features of the other half. Size `{study.size}`."
    )
    found = summary.Found(
        decoders=runs_in(decoders, list(study.variants), study.seeds, judges, side),
        end_to_end=runs_in(end_to_end, study.end_to_end, study.trunks, judges, side),
        costs={
            variant: [read_json(decoders / f"{variant}-{seed}/about.json") for seed in study.seeds]
            for variant in study.variants
        },
    )
    out.mkdir(parents=True, exist_ok=True)
    write(summary.numbers(study, found, about), study.figures, out)


def write(numbers: dict[str, Any], variants: list[str], out: Path) -> None:
    """Write study.json, the page and the figures, which show these variants, to OUT."""
    write_json(out / "study.json", numbers)
    text = page.markdown(numbers)
    with replacing(out / "study.md") as partial:
        partial.write_text(text, encoding="utf-8")
    chosen = {name: numbers["variants"][name] for name in variants if name in numbers["variants"]}
    save(figures.answer(chosen | page.named_end_to_end(numbers)), out / "answer.png")
    save(figures.reliability(chosen), out / "reliability.png")
    print(text)


def runs_in(
    folder: Path, variants: list[str], seeds: list[int], judges: measures.Judges, side: int
) -> dict[str, list[answers.Run]]:
    """Score all runs of a folder, by variant."""
    return {
        variant: [scores_of(folder / f"{variant}-{seed}/decoded.npz", judges, side) for seed in seeds]
        for variant in variants
    }


def scores_of(path: Path, judges: measures.Judges, side: int) -> answers.Run:
    """Score all decodings of a run, its bits, and its confidence."""
    with np.load(path) as arrays:
        poses = {name.removeprefix("pose "): side * arrays[name] for name in arrays if name.startswith("pose ")}
        given = {name.removeprefix("given "): arrays[name] for name in arrays if name.startswith("given ")}
        bits = {name.removeprefix("bits "): arrays[name] for name in arrays if name.startswith("bits ")}
        confidence = arrays["confidence"]
        clicked, clicks = side * arrays["clicked pose"], arrays["clicked given"]
    found = {name: measures.of_pose(pose, judges, given.get(name)) for name, pose in poses.items()}
    # The joints that were not given, as the same decoder predicts them without being told.
    found |= {f"{name}, not told": measures.of_pose(poses["greedy"], judges, told) for name, told in given.items()}
    people = judges.people
    return answers.Run(
        found,
        measures.of_bits(bits, judges),
        measures.of_clicks(poses["greedy"], clicked, clicks, judges),
        binned(confidence, people.errors(poses["greedy"]), people.measure.threshold),
    )


if __name__ == "__main__":
    run(main)
