"""Scores predictions of any source against the ground truth, exactly as MPII's evaluation does."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from posernn.data import schemas
from posernn.data.splits import read_list
from posernn.evaluation import metrics
from posernn.evaluation.measure import Measure, choose
from posernn.evaluation.metrics import Difference, HeadConvention
from posernn.runtime import files
from posernn.runtime.errors import InputError
from posernn.submissions import formats
from posernn.submissions.formats import Key, Submission

Base = Literal[0, 1]
"""The number of the first pixel."""
NEAR = 0.3
"""The base is read off the data where the median offset from the truth is this near to that of one base, px."""

Predictions = str | os.PathLike[str] | np.ndarray
"""A file, or an array of (N, 16, 2) with a row for each row of the list."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of one file.

    Attributes:
        name: of the file.
        measure: PCKh, or PCK of the torso where nobody has a head box.
        scores: as `score` returns them.
        keys: the people.
        errors: (N, 16) head or torso sizes; see `metrics.normalized_errors`.
        base: the number of the first pixel that was assumed.
        reason: why; None: the format leaves no other base.
    """

    name: str
    measure: Measure
    scores: dict[str, float]
    keys: list[Key]
    errors: Float[np.ndarray, "N 16"]
    base: Base
    reason: str | None


def score(
    predictions: Predictions,
    people: str | os.PathLike[str] | pa.Table = "data/people.parquet",
    *,
    val_list: str | os.PathLike[str] | None = None,
    head: HeadConvention = "official",
    base: Base | None = None,
) -> dict[str, float]:
    """Score predictions as MPII's evaluation does.

    Args:
        predictions: a file (see `formats.read`), or an array of image px, (N, 16, 2) xy.
        people: the ground truth: people.parquet, or its table.
        val_list: CSV that names the person of each row; needed where the file does not name them.
        head: joints of the group Head; see `metrics.HEAD_CONVENTIONS`.
        base: number of the first pixel; None: found from the data, or the format's convention.
    Returns:
        pckh_* (@0.5), pckh10_total (@0.10) and auc_total in percent; num_people, num_people_not_scored. Where nobody
        has a head box, the score is PCK of the torso: torso_pck_* (@0.2) and torso_pck10_total.
    Raises:
        InputError: a file is missing or malformed, its people are not those of the truth, or nobody is scored.

    >>> import posernn
    >>> scores = posernn.score("results/model/predictions.parquet", "data/people.parquet")
    >>> f"PCKh@0.5: {scores['pckh_total']:.1f} percent of {scores['num_people']} people"
    'PCKh@0.5: 100.0 percent of 2 people'
    """
    return score_file(predictions, _table(people), _listed(val_list), head=head, base=base).scores


def score_file(
    predictions: Predictions,
    people: pa.Table,
    listed: list[Key] | None,
    *,
    head: HeadConvention = "official",
    base: Base | None = None,
) -> Scored:
    """Score predictions as `score` does, and keep what a comparison needs.

    Args:
        predictions, head, base: as in `score`.
        people: `schemas.PEOPLE`.
        listed: the people of the rows, where the file does not name them.
    """
    num_people = len(listed) if listed else None
    if isinstance(predictions, np.ndarray):
        name, submission = "array", Submission(formats.joints_of("predictions", predictions, num_people), None, 1)
    else:
        name, submission = Path(predictions).stem, formats.read(Path(predictions), num_people)
    where = name if isinstance(predictions, np.ndarray) else str(predictions)
    keys = _people_of_rows(where, submission, listed)
    truth = _truth_of(where, keys, people)
    joints_image = schemas.to_numpy(truth, "joints_image").astype(np.float64)
    annotated = schemas.to_numpy(truth, "annotated")
    measure, size = choose(schemas.to_numpy(truth, "head_size"), joints_image, annotated)
    found, reason = (base, None) if base is not None else _base_of(submission, joints_image, annotated, size)
    errors = metrics.normalized_errors(submission.joints - found, joints_image, annotated, size)
    not_scored = metrics.num_without_score(errors)
    if not_scored == len(keys):
        raise InputError(f"{where}: expected people with a head box or a torso, got none; nobody can be scored")
    groups, thresholds = metrics.pckh_groups(errors, measure.threshold, head=head), measure.thresholds
    scores = {f"{measure.key}_{group.lower()}": 100 * value for group, value in groups.items() if np.isfinite(value)}
    scores |= {
        f"{measure.key}10_total": 100 * metrics.pckh_total(errors, 0.1),
        "auc_total": 100 * metrics.area_under_curve(metrics.pckh_curve(errors, thresholds), thresholds),
        "num_people": len(keys),
        "num_people_not_scored": not_scored,
    }
    return Scored(name, measure, scores, keys, errors, found, reason)


def differences(scored: Sequence[Scored], *, draws: int = 10_000, seed: int = 0) -> list[Difference]:
    """Subtract the Total PCKh of the first from that of each other, in points, with paired 95% intervals.

    Args:
        scored: of the same people, in any order.
        draws: bootstrap resamples of people.
        seed: of the resampling.
    Raises:
        InputError: the people are not the same.
    """
    first, *others = scored
    found = []
    for other in others:
        row_of = {key: row for row, key in enumerate(other.keys)}
        if row_of.keys() != set(first.keys):
            raise InputError(
                f"{other.name}: expected the {len(first.keys)} people of {first.name}, got {len(other.keys)} people of "
                "which some are others; score them one by one"
            )
        errors = other.errors[[row_of[key] for key in first.keys]]
        threshold = first.measure.threshold
        of_share = metrics.bootstrap_difference(errors, first.errors, threshold, draws=draws, seed=seed)
        found.append(Difference(*(100 * part for part in of_share)))
    return found


def listed_people(path: Path) -> list[Key]:
    """Read the people of a validation list, in the order of its lines; see `splits.read_list`."""
    return [(listed.image, *listed.key) for listed in read_list(path)]


def _people_of_rows(where: str, submission: Submission, listed: list[Key] | None) -> list[Key]:
    if submission.keys is not None:
        return submission.keys
    if listed is None:
        raise InputError(
            f"{where}: expected --val-list with an array, got none; add the CSV that names the person of each row"
        )
    if len(submission.joints) != len(listed):
        raise InputError(
            f"{where}: expected {len(listed)} people, one for each row of the list, got {len(submission.joints)}; "
            "give the list of this file's people"
        )
    return listed


def _truth_of(where: str, keys: list[Key], people: pa.Table) -> pa.Table:
    """Return the rows of the people; a structure of another length than the release's has its own image_index."""
    row_of = {key: row for row, key in enumerate(formats.keys_of(people))}
    row_of_name = {(image, person): row for (image, _, person), row in row_of.items()}
    rows = [row_of.get(key, row_of_name.get((key[0], key[2]))) for key in keys]
    unknown = [key for key, row in zip(keys, rows, strict=True) if row is None]
    if unknown:
        image, image_index, person_index = unknown[0]
        raise InputError(
            f"{where}: expected people of the ground truth, got {len(unknown)} others, first {image} (image "
            f"{image_index}, person {person_index}); use the people.parquet of the same release"
        )
    return people.take(pa.array(rows, pa.int64()))


def _base_of(
    submission: Submission, joints_image: np.ndarray, annotated: np.ndarray, size: np.ndarray
) -> tuple[Base, str | None]:
    """Find the number of the first pixel, and say why.

    The median offset from the truth tells it where the predictions have no offset of their own; the published ones of
    the first hourglass networks lie 3 px off.
    """
    offset = submission.joints - joints_image  # (N, 16, 2); 1 where the file counts from 1
    with np.errstate(invalid="ignore"):
        near = annotated & (np.hypot(offset[..., 0], offset[..., 1]) <= 0.5 * size[:, None])
    assert submission.base in (0, 1)
    convention: Base = 1 if submission.base else 0
    if submission.certain:
        return convention, None
    if not near.any():
        return convention, "the format's convention"
    median = np.median(offset[near], axis=0)  # (2,)
    shown = f"median offset from the truth {median[0]:+.1f}, {median[1]:+.1f} px"
    for base in (0, 1):
        if (np.abs(median - base) <= NEAR).all():
            return (1 if base else 0), f"found from the data: {shown}"
    return convention, f"the format's convention; the data do not tell: {shown}"


def _table(people: str | os.PathLike[str] | pa.Table) -> pa.Table:
    return people if isinstance(people, pa.Table) else files.read_table(Path(people), schemas.PEOPLE)


def _listed(val_list: str | os.PathLike[str] | None) -> list[Key] | None:
    return None if val_list is None else listed_people(Path(val_list))
