"""Hold both models against each other and against the constant poses: results -> report, with figures."""

from pathlib import Path

from posernn import params
from posernn.data.shards import read_crops
from posernn.evaluation import comparison, results, scores
from posernn.evaluation.comparison import MODELS
from posernn.report import tables
from posernn.report.figures import draw_comparison
from posernn.report.style import save as save_figure
from posernn.runtime.files import read_json
from stages import run


def main(crops: str, runs: Path, results_dir: Path, out: Path) -> None:
    """Compare the models of RUNS by their RESULTS_DIR on the val split of CROPS; write the report to OUT."""
    settings = params.load()
    table, train = read_crops(crops, "val"), read_crops(crops, "train", ["joints_crop", "annotated"])
    people = scores.people_of(table)
    predictions = comparison.constant_predictions(train, len(people)) | {
        name: results.read_predictions(results_dir / name / "predictions.parquet", table) for name in MODELS
    }
    architectures = {name: read_json(runs / name / "model.json") for name in MODELS}
    draws, seed = settings.evaluate.bootstrap_draws, settings.evaluate.seed
    found = comparison.compare(predictions, people, architectures, draws=draws, seed=seed)
    setting = tables.Setting(
        dataset=settings.dataset,
        **settings.crops.model_dump(include={"box", "padding", "keep_aspect"}),
        crop_size=settings.data.crop_size,
        num_train=len(train),
    )

    drawn = draw_comparison(
        found,
        people,
        predictions,
        scores.jpegs_of(table),
        scores.sample(people, settings.evaluate.pictures, seed),
        histories={name: results.read_history(runs / name / "history.csv") for name in MODELS},
        attention={name: results.read_attention(results_dir / name / "attention.npz") for name in MODELS},
    )

    for stale in out.glob("*.png"):
        stale.unlink()
    for title, figure in drawn.items():
        save_figure(figure, out / f"{title}.png")
    tables.write(out, found, setting, list(drawn))
    print(f"{tables.for_terminal(found, setting)}\n\nReport: {out / 'table.md'}; pictures: {out}/*.png")


if __name__ == "__main__":
    run(main)
