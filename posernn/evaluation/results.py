"""Reads and writes the files of results/<entry> (evaluate writes them, compare reads them) and reads history.csv."""

import csv
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from posernn.data import schemas
from posernn.evaluation import metrics, scores
from posernn.evaluation.scores import People
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_table, replacing, write_csv, write_json, write_table

HISTORY = ("iteration", "train_rmse", "val_rmse")
"""Columns of history.csv that the report draws."""


def write_scores(
    out: Path,
    crops: pa.Table,
    people: People,
    pred_crop: Float[np.ndarray, "N 16 2"],
    *,
    joint_order: str | None,
    seed: int,
    confidence: Float[np.ndarray, "N 16"] | None = None,
) -> dict[str, float | None]:
    """Write predictions.parquet, metrics.json, per_joint.csv and curve.csv.

    Args:
        out: folder.
        crops: crops of the people, with their keys.
        people: the truth.
        pred_crop: predicted joints, crop px, (N, 16, 2) xy.
        joint_order: a key of DECODE_ORDERS; None: all joints at once.
        seed: seed of the exchange of crops between people.
        confidence: of each joint, in [0, 1]; becomes a column of predictions.parquet where the model gives one.
    Returns:
        The content of metrics.json; percent and px, None for NaN and infinity.
    """
    found = scores.rounded(scores.score(pred_crop, people) | scores.diagnose(pred_crop, people, seed))
    keys = pc.struct_field(crops["image"], "path"), crops["image_index"], crops["person_index"]
    predictions = schemas.predictions_table(*keys, people.to_image(pred_crop), pred_crop)
    if confidence is not None:
        column = schemas.from_numpy(confidence.astype(np.float32), schemas.CONFIDENCE)
        predictions = predictions.append_column("confidence", column)
    write_table(out / "predictions.parquet", predictions)
    write_json(out / "metrics.json", found)
    rows = scores.per_joint(pred_crop, people, joint_order)
    write_csv(out / "per_joint.csv", [scores.rounded(row) for row in rows])
    thresholds = people.measure.thresholds
    curve = zip(thresholds, 100 * metrics.pckh_curve(people.errors(pred_crop), thresholds), strict=True)
    write_csv(out / "curve.csv", [{"threshold": f"{x:.2f}", "percent": f"{y:.4f}"} for x, y in curve])
    return found


def read_predictions(path: Path, crops: pa.Table) -> Float[np.ndarray, "N 16 2"]:
    """Read the predicted joints of these crops, crop px.

    Raises:
        InputError: the file is missing, or has predictions for other people or in another order.
    """
    table = read_table(path, schemas.PREDICTIONS, schemas.PREDICTIONS.names)
    keys = ["image_index", "person_index"]
    if not table.select(keys).combine_chunks().equals(crops.select(keys).combine_chunks()):
        raise InputError(
            f"{path}: expected predictions for the {len(crops)} held-out people, got {len(table)} predictions for other"
            " people; run the evaluate stage"
        )
    return schemas.to_numpy(table, "joints_crop")


def read_confidence(path: Path) -> Float[np.ndarray, "N 16"] | None:
    """Read the column `confidence` of a predictions.parquet; None where the model gives none."""
    table = pq.read_table(path)
    return schemas.to_numpy(table, "confidence") if "confidence" in table.column_names else None


def read_history(path: Path) -> dict[str, Float[np.ndarray, "K"]]:
    """Read the columns HISTORY of a training's history.csv.

    Raises:
        InputError: the file is missing, or lacks a number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise ValueError("no rows")
        return {name: np.array([float(row[name]) for row in rows]) for name in HISTORY}
    except OSError as error:
        raise InputError(f"{path}: expected a training history, got {error.strerror}; run the train stage") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: expected numbers in columns {', '.join(HISTORY)}, got {error}; run the train stage"
        ) from error


def write_maps(path: Path, who: Int[np.ndarray, "P"], maps: Float[np.ndarray, "P 16 H W"]) -> None:
    """Write the maps of a few people (attention, heat maps).

    Args:
        path: .npz file.
        who: rows of the people among the held-out crops.
        maps: one per joint in skeleton order, each summing to 1.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, who=who, maps=maps)


def read_maps(path: Path) -> tuple[Int[np.ndarray, "P"], Float[np.ndarray, "P 16 H W"]] | None:
    """Read rows of people and their maps; None where there is no such file: the model has no maps.

    Raises:
        InputError: the file was not written by `write_maps`.
    """
    try:
        with np.load(path) as arrays:
            return arrays["who"], arrays["maps"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: expected maps of joints, got {error}; run the evaluate stage") from error
