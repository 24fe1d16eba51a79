"""Compares the entries with each other and with the constant poses: results -> report, with figures."""

import math
import os
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer
from jaxtyping import Float

from posernn import params
from posernn.data import crops as crops_of
from posernn.data import schemas
from posernn.data.shards import read_crops
from posernn.evaluation import comparison, results, scores
from posernn.report import html, page
from posernn.report.figures import draw_comparison
from posernn.report.style import save as save_figure
from posernn.runtime import git, machine
from posernn.runtime.files import read_json, read_table, replacing_folder
from stages import run


def main(
    crops: str,
    runs: Path,
    results_dir: Path,
    out: Path,
    entries: list[str],
    people_file: Annotated[Path | None, typer.Option("--people", help="people.parquet, for hidden joints")] = None,
) -> None:
    """Compare ENTRIES, of RUNS and RESULTS_DIR, on the val split of CROPS; write the report to OUT.

    The other entries are held against the first; all are held against the better constant pose.
    """
    settings = params.load()
    draws, seed = settings.evaluate.bootstrap_draws, settings.evaluate.seed
    table, train = read_crops(crops, "val"), read_crops(crops, "train", ["joints_crop", "annotated"])
    people, jpegs = scores.people_of(table), scores.jpegs_of(table)
    border = crops_of.border(settings.crops.margin, settings.data.crop_size)
    predictions = comparison.constant_predictions(train, len(people), border) | {
        entry: results.read_predictions(_predictions_file(results_dir, entry), table) for entry in entries
    }
    models = {entry: read_json(runs / entry / "model.json") for entry in entries}
    found = comparison.compare(predictions, people, models, draws=draws, seed=seed)

    setting = _setting(settings, num_train=len(train))
    of_entries = {entry: _read_entry(entry, runs, results_dir, predictions[entry]) for entry in entries}
    sample = scores.sample(people, settings.evaluate.pictures, seed)
    pictures = settings.report.pictures or settings.dataset == "synthetic"
    held_out = html.HeldOut(
        people=people,
        names=_names(table),
        visible=None if people_file is None else _flags(table, people_file),
        jpegs=jpegs if pictures else None,
        side=settings.data.crop_size,
        sample=sample.tolist(),
    )
    figures = draw_comparison(
        found,
        people,
        predictions,
        jpegs,
        sample,
        histories={name: entry.history for name, entry in of_entries.items()},
        maps={name: entry.maps for name, entry in of_entries.items()},
    )
    with replacing_folder(out) as folder:
        for name, figure in figures.items():
            save_figure(figure, folder / "figures" / f"{name}.png")
        page.write(folder, found, setting, list(figures))
        html.write(folder / "index.html", found, setting, held_out, of_entries, _origin())
    print(f"{page.for_terminal(found, setting)}\n\nReport: {out / 'index.html'} and {out / 'table.md'}")


def _predictions_file(results_dir: Path, entry: str) -> Path:
    return results_dir / entry / "predictions.parquet"


def _setting(settings: params.Params, num_train: int) -> page.Setting:
    """Describe the data and the crops that the scores were measured with."""
    return page.Setting(
        dataset=settings.dataset,
        **settings.crops.model_dump(include={"box", "padding", "keep_aspect"}),
        crop_size=settings.data.crop_size,
        num_train=num_train,
    )


def _read_entry(entry: str, runs: Path, results_dir: Path, pred_crop: Float[np.ndarray, "N 16 2"]) -> html.Entry:
    """Read what the page shows of an entry beside its predictions."""
    return html.Entry(
        pred_crop=pred_crop,
        confidence=results.read_confidence(_predictions_file(results_dir, entry)),
        history=results.read_history(runs / entry / "history.csv"),
        maps=results.read_maps(results_dir / entry / "maps.npz"),
        parameters=read_json(runs / entry / "run.json").get("parameters", {}),
    )


def _names(crops: pa.Table) -> list[str]:
    """Name each person by image and number in the image."""
    images = pc.struct_field(crops["image"], "path").to_pylist()
    numbers = crops["person_index"].to_pylist()
    return [f"{image}, person {number}" for image, number in zip(images, numbers, strict=True)]


def _flags(crops: pa.Table, people_file: Path) -> list[list[int | None]]:
    """Look up MPII's visible flags of the people of crops, 16 for each; None where there is no flag."""
    people = read_table(people_file, schemas.PEOPLE, ["image_index", "person_index", "visible"])
    found = scores.visible_of(crops, people)
    return [[None if math.isnan(flag) else int(flag) for flag in flags] for flags in found.tolist()]


def _origin() -> dict[str, str]:
    """Describe where the report comes from."""
    found = {"Commit": git.commit(), "DVC experiment": os.environ.get("DVC_EXP_NAME")}
    return {name: text for name, text in found.items() if text} | {"Machine": machine.description()}


if __name__ == "__main__":
    run(main)
