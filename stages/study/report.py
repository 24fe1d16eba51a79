"""Scores all runs of the study and writes its report."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from posernn import params
from posernn.data.shards import read_crops
from posernn.evaluation.calibration import calibration_error
from posernn.runtime.files import read_json, replacing, write_json
from posernn.study import measures, settings, summary
from stages import run


def main(crops: str, people: Path, decoders: Path, out: Path) -> None:
    """Score the runs in DECODERS on the val split of CROPS and write study.md and study.json to OUT."""
    study, all_settings = settings.load(), params.load()
    side = all_settings.data.crop_size
    val, train = read_crops(crops, "val"), read_crops(crops, "train", ["joints_image", "head_size"])
    judges = measures.judges(val, train, pq.read_table(people))
    runs: dict[str, list[dict[str, dict[str, measures.Counts]]]] = {}
    abouts: dict[str, list[dict]] = {}
    calibration: dict[str, list[float]] = {}
    for variant in study.variants:
        for seed in study.seeds:
            folder = decoders / f"{variant}-{seed}"
            runs.setdefault(variant, []).append(scores_of(folder / "decoded.npz", judges, side))
            abouts.setdefault(variant, []).append(read_json(folder / "about.json"))
            calibration.setdefault(variant, []).append(calibration_of(folder / "decoded.npz", judges, side))
    about = (
        f"{len(judges.people):,} held-out people of `{all_settings.dataset}`, `{all_settings.crops.box}` box, {side} "
        f"px; {len(study.trunks)} trunks, each trained on half of the other people, and {len(study.seeds)} seeds of "
        f"each decoder on the features of the other half. Size `{study.size}`."
    )
    text, numbers = summary.page(study, runs, abouts, calibration, about)
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "study.md") as partial:
        partial.write_text(text, encoding="utf-8")
    write_json(out / "study.json", numbers)
    print(text)


def scores_of(path: Path, judges: measures.Judges, side: int) -> dict[str, dict[str, measures.Counts]]:
    """Score all decodings of a run, and its bits."""
    with np.load(path) as arrays:
        poses = {name.removeprefix("pose "): side * arrays[name] for name in arrays if name.startswith("pose ")}
        given = {name.removeprefix("given "): arrays[name] for name in arrays if name.startswith("given ")}
        bits = {name.removeprefix("bits "): arrays[name] for name in arrays if name.startswith("bits ")}
    found = {name: measures.of_pose(pose, judges, given.get(name)) for name, pose in poses.items()}
    # The joints that were not given, as the same decoder predicts them without being told.
    found |= {f"{name}, not told": measures.of_pose(poses["greedy"], judges, told) for name, told in given.items()}
    return found | {"bits": measures.of_bits(bits, judges)}


def calibration_of(path: Path, judges: measures.Judges, side: int) -> float:
    """Compute the expected calibration error of greedy decoding, percent."""
    with np.load(path) as arrays:
        errors = judges.people.errors(side * arrays["pose greedy"])
        return 100 * calibration_error(arrays["confidence"], errors, judges.people.measure.threshold)


if __name__ == "__main__":
    run(main)
