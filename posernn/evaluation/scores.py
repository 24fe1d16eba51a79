"""Scores predictions for the held-out people: all metrics and diagnostics of one model, in percent and px."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from posernn.data import schemas
from posernn.evaluation import diagnostics, metrics
from posernn.evaluation.measure import Measure, choose
from posernn.pose import geometry
from posernn.pose.skeleton import DECODE_ORDERS, NUM_JOINTS, Joint
from posernn.runtime.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class People:
    """Ground truth of the people that are scored.

    Attributes:
        joints_crop: crop px, (N, 16, 2) xy; NaN where not annotated.
        joints_image: image px, (N, 16, 2) xy; NaN where not annotated.
        annotated: (N, 16).
        head_size: image px, (N,); NaN: no head box.
        crop_to_image: (N, 2, 3) affines, crop px -> image px.
    """

    joints_crop: Float[np.ndarray, "N 16 2"]
    joints_image: Float[np.ndarray, "N 16 2"]
    annotated: Bool[np.ndarray, "N 16"]
    head_size: Float[np.ndarray, "N"]
    crop_to_image: Float[np.ndarray, "N 2 3"]

    def __len__(self) -> int:
        return len(self.joints_crop)

    def to_image(self, pred_crop: Float[np.ndarray, "N 16 2"]) -> Float[np.ndarray, "N 16 2"]:
        """Move each person's predictions by the affine of that person: crop px -> image px."""
        return geometry.transform(pred_crop.astype(np.float64), self.crop_to_image)

    @property
    def measure(self) -> Measure:
        """Return the score that is defined for these people: PCKh, or PCK of the torso where nobody has a head box."""
        return choose(self.head_size, self.joints_image, self.annotated)[0]

    @property
    def size(self) -> Float[np.ndarray, "N"]:
        """Return the sizes of the measure (heads or torsos), image px; NaN: the person is not scored."""
        return choose(self.head_size, self.joints_image, self.annotated)[1]

    def errors(self, pred_crop: Float[np.ndarray, "N 16 2"]) -> Float[np.ndarray, "N 16"]:
        """Compute distances from the truth in the measure's sizes; see `metrics.normalized_errors`."""
        return metrics.normalized_errors(self.to_image(pred_crop), self.joints_image, self.annotated, self.size)


def visible_of(crops: pa.Table, people: pa.Table) -> Float[np.ndarray, "N 16"]:
    """Look up MPII's visible flags of the people of crops, row by row: 1, 0, and NaN where there is no flag.

    Args:
        crops: with image_index and person_index.
        people: with these and visible; see `schemas.PEOPLE`.
    """
    keys = ("image_index", "person_index")
    columns = (people[name].to_pylist() for name in (*keys, "visible"))
    flags = {(image, person): of_person for image, person, of_person in zip(*columns, strict=True)}
    of_crops = zip(*(crops[name].to_pylist() for name in keys), strict=True)
    return np.array([flags[key] for key in of_crops], dtype=float).reshape(-1, NUM_JOINTS)


def people_of(crops: pa.Table) -> People:
    """Read the ground truth from a table of crops, row by row.

    Raises:
        InputError: nobody can be scored.
    """
    people = People(
        joints_crop=schemas.to_numpy(crops, "joints_crop"),
        joints_image=schemas.to_numpy(crops, "joints_image"),
        annotated=schemas.to_numpy(crops, "annotated"),
        head_size=schemas.to_numpy(crops, "head_size"),
        crop_to_image=schemas.to_numpy(crops, "crop_to_image").reshape(-1, 2, 3),
    )
    if metrics.num_without_score(people.errors(people.joints_crop)) == len(people):
        raise InputError(
            "held-out people: expected somebody with a head box, or with shoulders and hips, and a joint to score, got "
            f"none of {len(people)}; nobody can be scored: annotate them"
        )
    return people


def jpegs_of(crops: pa.Table) -> list[bytes]:
    """Read the JPEG files from a table of crops, row by row."""
    return pc.struct_field(crops["image"], "bytes").to_pylist()


def sample(people: People, num: int, seed: int) -> Int[np.ndarray, "P"]:
    """Draw `num` random scored people (or all, if there are fewer) for figures; the same for every model."""
    candidates = np.flatnonzero(~np.isnan(people.errors(people.joints_crop)).all(axis=1))
    drawn = np.random.default_rng(seed).choice(candidates, size=min(num, len(candidates)), replace=False)
    return np.sort(drawn)


def score(pred_crop: Float[np.ndarray, "N 16 2"], people: People) -> dict[str, float]:
    """Compute all scores of one set of predictions.

    Args:
        pred_crop: predicted joints, crop px, (N, 16, 2) xy.
        people: the truth.
    Returns:
        pckh_* (@0.5; for PCK of the torso torso_pck_*, @0.2), pckh10_total (@0.10) and auc_total in percent; rmse_image
        and rmse_crop in px; counts. Groups without a scored joint are left out.
    """
    errors, measure = people.errors(pred_crop), people.measure
    groups = metrics.pckh_groups(errors, measure.threshold)
    groups["head_top"] = metrics.pckh_groups(errors, measure.threshold, head="head_top")["Head"]
    scored = {f"{measure.key}_{group.lower()}": 100 * value for group, value in groups.items() if not math.isnan(value)}
    thresholds = measure.thresholds
    return scored | {
        f"{measure.key}10_total": 100 * metrics.pckh_total(errors, 0.1),
        "auc_total": 100 * metrics.area_under_curve(metrics.pckh_curve(errors, thresholds), thresholds),
        "rmse_image": metrics.rmse(people.to_image(pred_crop), people.joints_image, people.annotated),
        "rmse_crop": metrics.rmse(pred_crop, people.joints_crop, people.annotated),
        "num_people": len(people),
        "num_people_not_scored": metrics.num_without_score(errors),
        "num_joints_scored": int((~np.isnan(errors[:, metrics.SCORED_JOINTS])).sum()),
        "num_joints_not_finite": int(np.isinf(errors).sum()),
    }


def diagnose(pred_crop: Float[np.ndarray, "N 16 2"], people: People, seed: int) -> dict[str, float]:
    """Measure whether a model uses the image; see `posernn.evaluation.diagnostics`.

    The model does not run again on the crop of another person: its prediction for that crop is known, and is placed
    into this person's box.

    Args:
        pred_crop: predicted joints, crop px, (N, 16, 2) xy.
        people: the truth.
        seed: seed of the exchange of crops between people.
    Returns:
        spread_ratio: mean over joints; pckh_total_other_crop (torso_pck_...): percent, NaN for a single person.
    """
    ratios = diagnostics.spread_ratio(pred_crop, people.joints_crop, people.annotated)
    other = float("nan")
    if len(people) > 1:
        swapped = pred_crop[diagnostics.somebody_else(len(people), seed)]
        other = 100 * metrics.pckh_total(people.errors(swapped), people.measure.threshold)
    known = ratios[~np.isnan(ratios)]
    return {
        "spread_ratio": float(known.mean()) if known.size else float("nan"),
        f"{people.measure.key}_total_other_crop": other,
    }


def per_joint(
    pred_crop: Float[np.ndarray, "N 16 2"], people: People, joint_order: str | None
) -> list[dict[str, str | int | float | None]]:
    """Score each joint: one row per joint, in decode order.

    Args:
        pred_crop: predicted joints, crop px, (N, 16, 2) xy.
        people: the truth.
        joint_order: a key of DECODE_ORDERS; None: all joints at once, rows in MPII's order and `step` None.
    Returns:
        joint, step (from 1), num_scored, pckh or torso_pck (percent), median_error, mean_error (head or torso sizes),
        spread_ratio.
    """
    found = diagnostics.joint_errors(people.errors(pred_crop), people.measure.threshold)
    ratios = diagnostics.spread_ratio(pred_crop, people.joints_crop, people.annotated)
    return [
        {
            "joint": joint.label,
            "step": step if joint_order else None,
            "num_scored": int(found.num_scored[joint]),
            people.measure.key: 100 * float(found.pckh[joint]),
            "median_error": float(found.median[joint]),
            "mean_error": float(found.mean[joint]),
            "spread_ratio": float(ratios[joint]),
        }
        for step, joint in enumerate(DECODE_ORDERS[joint_order] if joint_order else Joint, start=1)
    ]


def num_right(pred_crop: Float[np.ndarray, "N 16 2"], people: People, who: Int[np.ndarray, "P"]) -> list[str]:
    """Count the correct joints of the people in rows `who`, as text for figures: "9/14" of the scored joints."""
    errors = people.errors(pred_crop)[who][:, metrics.SCORED_JOINTS]
    threshold = people.measure.threshold
    return [f"{(person <= threshold).sum()}/{(~np.isnan(person)).sum()}" for person in errors]


def rounded(values: dict, digits: int = 4) -> dict:
    """Round for JSON and CSV files; NaN and infinity, which JSON does not have, become None."""

    def plain(value):
        if isinstance(value, dict):
            return rounded(value, digits)
        if isinstance(value, float):
            return round(value, digits) if math.isfinite(value) else None
        return value

    return {key: plain(value) for key, value in values.items()}


def predict_in_chunks(
    predict: Callable[[Sequence[bytes]], Float[np.ndarray, "B 16 2"]],
    jpegs: Sequence[bytes],
    chunk: int,
    progress: Callable[[int, int], None],
) -> Float[np.ndarray, "N 16 2"]:
    """Predict `chunk` crops at a time, to limit the memory of decoded images.

    Args:
        predict: JPEG files -> joints in any frame.
        jpegs: one per person.
        chunk: crops at a time.
        progress: called with (crops done, all crops) after each chunk.
    """
    parts = []
    for start in range(0, len(jpegs), chunk):
        parts.append(predict(jpegs[start : start + chunk]))
        progress(min(start + chunk, len(jpegs)), len(jpegs))
    return np.concatenate(parts)
