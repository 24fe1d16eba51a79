"""Hold both models against each other and against the constant poses: results -> report, with figures."""

from pathlib import Path

from posernn import comparison, evaluation, figures, params, report, results
from posernn.comparison import MODELS
from posernn.files import read_json
from posernn.shards import read_crops
from stages import run


def main(crops: str, runs: Path, results_dir: Path, out: Path) -> None:
    """Compare the models of RUNS by their RESULTS_DIR on the val split of CROPS; write the report to OUT."""
    settings = params.load()
    table, train = read_crops(crops, "val"), read_crops(crops, "train", ["joints_crop", "annotated"])
    people = evaluation.people_of(table)
    predictions = comparison.constant_predictions(train, len(people)) | {
        name: results.read_predictions(results_dir / name / "predictions.parquet", table) for name in MODELS
    }
    architectures = {name: read_json(runs / name / "model.json") for name in MODELS}
    draws, seed = settings.evaluate.bootstrap_draws, settings.evaluate.seed
    found = comparison.compare(predictions, people, architectures, draws=draws, seed=seed)
    setting = report.Setting(
        dataset=settings.dataset,
        **settings.crops.model_dump(include={"box", "padding", "keep_aspect"}),
        crop_size=settings.data.crop_size,
        num_train=len(train),
    )

    drawn = figures.draw_comparison(
        found,
        people,
        predictions,
        evaluation.jpegs_of(table),
        evaluation.sample(people, settings.evaluate.pictures, seed),
        histories={name: results.read_history(runs / name / "history.csv") for name in MODELS},
        attention={name: results.read_attention(results_dir / name / "attention.npz") for name in MODELS},
    )

    for stale in out.glob("*.png"):
        stale.unlink()
    for title, figure in drawn.items():
        figures.save(figure, out / f"{title}.png")
    report.write(out, found, setting, list(drawn))
    print(f"{report.for_terminal(found, setting)}\n\nReport: {out / 'table.md'}; pictures: {out}/*.png")


if __name__ == "__main__":
    run(main)
