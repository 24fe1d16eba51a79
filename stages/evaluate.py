"""Score one of the two compared models on the held-out people: run and crops -> predictions, scores, pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posernn import dataset, evaluation, figures, models, params, prediction, results, tracking
from posernn.device import choose_device
from posernn.errors import InputError
from posernn.files import read_json
from posernn.progress import progress_bar
from posernn.shards import read_crops
from stages import run

ATTENTION_PEOPLE = 3
"""People whose 16 attention maps are kept and drawn."""


def main(name: str, crops: str, run_dir: Path, out: Path) -> None:
    """Let NAME (baseline or model) of RUN_DIR predict the val split of CROPS; write what comes of it to OUT."""
    settings = params.load()
    seed, batch_size = settings.evaluate.seed, settings.evaluate.batch_size
    device = choose_device(settings.train.device)
    model, architecture = models.load(run_dir), read_json(run_dir / "model.json")
    table = read_crops(crops, "val")
    people, jpegs = evaluation.people_of(table), evaluation.jpegs_of(table)
    side = dataset.decode(jpegs[:1]).shape[-1]
    if side != architecture["crop_size"]:
        raise InputError(
            f"{run_dir}: expected a model for crops of {side} px, got {architecture['crop_size']}; train it"
        )

    def predict(part: Sequence[bytes]) -> np.ndarray:
        return prediction.predict(model, dataset.decode(part), batch_size=batch_size, device=device)

    with progress_bar(f"evaluate {name}", "crops") as advance:
        pred_crop = side * evaluation.predict_in_chunks(predict, jpegs, 10 * batch_size, advance)
    joint_order = architecture.get("joint_order")
    scores = results.write_scores(out, table, people, pred_crop, joint_order=joint_order, seed=seed)

    for stale in [*out.glob("*.png"), *out.glob("*.npz")]:
        stale.unlink()
    who = evaluation.sample(people, settings.evaluate.pictures, seed)
    if len(who):
        pictures, affines = figures.read_pictures([jpegs[i] for i in who]), people.crop_to_image[who]
        poses = {"truth": people.joints_crop[who], name: pred_crop[who]}
        notes = {name: evaluation.num_right(pred_crop, people, who)}
        figure = figures.sample_people(pictures, affines, poses, people.annotated[who], notes)
        figures.save(figure, out / "samples.png")
    if len(who) and hasattr(model, "attention_maps"):
        few = who[:ATTENTION_PEOPLE]
        maps = prediction.attention_maps(model, dataset.decode([jpegs[i] for i in few]), device=device)
        results.write_attention(out / "attention.npz", few, maps)
        figure = figures.attention(pictures[: len(few)], affines[: len(few)], maps, pred_crop[few], joint_order)
        figures.save(figure, out / "attention.png")
    finite = {key: float(value) for key, value in scores.items() if value is not None}
    tracking.add_results(read_json(run_dir / "run.json")["run_id"], finite, out)
    print(f"evaluate: {name}: PCKh@0.5 {scores['pckh_total']} percent over {len(people):,} people; see {out}")


if __name__ == "__main__":
    run(main)
