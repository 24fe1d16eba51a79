"""Compares the entries with each other and with the constant poses: results -> report, with figures."""

from pathlib import Path

from posernn import params
from posernn.data import crops as crops_of
from posernn.data.shards import read_crops
from posernn.evaluation import comparison, results, scores
from posernn.report import page
from posernn.report.figures import draw_comparison
from posernn.report.style import save as save_figure
from posernn.runtime.files import read_json, replacing_folder
from stages import run


def main(crops: str, runs: Path, results_dir: Path, out: Path, entries: list[str]) -> None:
    """Compare ENTRIES, of RUNS and RESULTS_DIR, on the val split of CROPS; write the report to OUT.

    The other entries are held against the first; all are held against the better constant pose.
    """
    settings = params.load()
    table, train = read_crops(crops, "val"), read_crops(crops, "train", ["joints_crop", "annotated"])
    people = scores.people_of(table)
    border = crops_of.border(settings.crops.margin, settings.data.crop_size)
    predictions = comparison.constant_predictions(train, len(people), border) | {
        entry: results.read_predictions(results_dir / entry / "predictions.parquet", table) for entry in entries
    }
    models = {entry: read_json(runs / entry / "model.json") for entry in entries}
    draws, seed = settings.evaluate.bootstrap_draws, settings.evaluate.seed
    found = comparison.compare(predictions, people, models, draws=draws, seed=seed)
    setting = page.Setting(
        dataset=settings.dataset,
        **settings.crops.model_dump(include={"box", "padding", "keep_aspect"}),
        crop_size=settings.data.crop_size,
        num_train=len(train),
    )
    figures = draw_comparison(
        found,
        people,
        predictions,
        scores.jpegs_of(table),
        scores.sample(people, settings.evaluate.pictures, seed),
        histories={entry: results.read_history(runs / entry / "history.csv") for entry in entries},
        maps={entry: results.read_maps(results_dir / entry / "maps.npz") for entry in entries},
    )
    with replacing_folder(out) as folder:
        for name, figure in figures.items():
            save_figure(figure, folder / f"{name}.png")
        page.write(folder, found, setting, list(figures))
    print(f"{page.for_terminal(found, setting)}\n\nReport: {out / 'table.md'}; figures: {out}/*.png")


if __name__ == "__main__":
    run(main)
