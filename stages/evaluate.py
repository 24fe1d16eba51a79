"""Evaluates an entry on the held-out set: run and crops -> predictions, scores, diagnostics, figures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posernn import models, params
from posernn.data import batches
from posernn.data.shards import read_crops
from posernn.evaluation import results, scores
from posernn.evaluation.predict import predict
from posernn.report.people import joint_maps, read_pictures, sample_people
from posernn.report.style import save as save_figure
from posernn.runtime import tracking
from posernn.runtime.device import choose_device
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json
from posernn.runtime.progress import progress_bar
from stages import run

MAPS_OF_PEOPLE = 3
"""People whose 16 maps are kept and drawn, where the model has maps."""


def main(name: str, crops: str, run_dir: Path, out: Path) -> None:
    """Predict the val split of CROPS with the entry NAME of RUN_DIR; write predictions, scores and figures to OUT."""
    settings = params.load()
    seed, batch_size = settings.evaluate.seed, settings.evaluate.batch_size
    device = choose_device(settings.train.device)
    model, architecture = models.load(run_dir), read_json(run_dir / "model.json")
    table = read_crops(crops, "val")
    people, jpegs = scores.people_of(table), scores.jpegs_of(table)
    side = batches.decode(jpegs[:1]).shape[-1]
    if side != architecture["crop_size"]:
        raise InputError(
            f"{run_dir}: expected a model for crops of {side} px, got {architecture['crop_size']}; train it"
        )

    confidences: list[np.ndarray] = []

    def joints_of(part: Sequence[bytes]) -> np.ndarray:
        found = predict(model, batches.decode(part), batch_size=batch_size, device=device)
        if found.confidence is not None:
            confidences.append(found.confidence.numpy())
        return found.joints_unit.numpy()

    with progress_bar(f"evaluate {name}", "crops") as advance:
        pred_crop = side * scores.predict_in_chunks(joints_of, jpegs, 10 * batch_size, advance)
    joint_order = architecture.get("joint_order")
    confidence = np.concatenate(confidences) if confidences else None
    found = results.write_scores(
        out, table, people, pred_crop, joint_order=joint_order, seed=seed, confidence=confidence
    )

    for stale in [*out.glob("*.png"), *out.glob("*.npz")]:
        stale.unlink()
    who = scores.sample(people, settings.evaluate.pictures, seed)
    if len(who):
        pictures, affines = read_pictures([jpegs[i] for i in who]), people.crop_to_image[who]
        poses = {"truth": people.joints_crop[who], name: pred_crop[who]}
        notes = {name: scores.num_right(pred_crop, people, who)}
        figure = sample_people(pictures, affines, poses, people.annotated[who], notes, people.measure.threshold)
        save_figure(figure, out / "samples.png")
    few = who[:MAPS_OF_PEOPLE]
    maps = predict(model, batches.decode([jpegs[i] for i in few]), device=device).maps if len(few) else None
    if maps is not None:
        results.write_maps(out / "maps.npz", few, maps.numpy())
        figure = joint_maps(pictures[: len(few)], affines[: len(few)], maps.numpy(), pred_crop[few], joint_order)
        save_figure(figure, out / "maps.png")
    tracking.publish_results(run_dir, out)
    total = found[f"{people.measure.key}_total"]
    print(f"evaluate: {name}: {people.measure.title} {total} percent over {len(people):,} people; see {out}")


if __name__ == "__main__":
    run(main)
