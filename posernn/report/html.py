"""Writes the report as one HTML page: tables, curves, and a gallery of all held-out people."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from posernn.evaluation.calibration import binned, reliability
from posernn.evaluation.comparison import Comparison
from posernn.evaluation.scores import People
from posernn.pose.skeleton import DECODE_ORDERS, LIMBS, Joint
from posernn.report import page, tables
from posernn.report.people import aspects, side_of
from posernn.runtime.files import replacing

TEMPLATE = Path(__file__).parent / "template"

THUMBNAIL = 96
"""Maximum side of a crop on the page, px: the report is kept in Git."""

SECTIONS = {
    "verdict": "Verdict",
    "curves": "Curves",
    "people": "People",
    "steps": "Joint by joint",
    "diagnostics": "Diagnostics",
    "calibration": "Calibration",
    "parameters": "Parameters",
}


class Entry(NamedTuple):
    """The results of one entry that the page shows.

    Attributes:
        pred_crop: predicted joints, crop px, (N, 16, 2) xy.
        confidence: (N, 16) in [0, 1]; None: the model gives none.
        history: result of `results.read_history`.
        maps: result of `results.read_maps`.
        parameters: flat, by their names in params.yaml, as run.json has them.
    """

    pred_crop: Float[np.ndarray, "N 16 2"]
    confidence: Float[np.ndarray, "N 16"] | None
    history: Mapping[str, Float[np.ndarray, "K"]]
    maps: tuple[Int[np.ndarray, "Q"], Float[np.ndarray, "Q 16 H W"]] | None
    parameters: Mapping[str, str]


class HeldOut(NamedTuple):
    """The held-out people as the page shows them.

    Attributes:
        people: the truth.
        names: of each person: image and number.
        visible: MPII's flags: 1, 0, or None where it does not say. None: not known of anybody.
        jpegs: the crops; None: the page shows no pictures.
        side: of a crop, px.
        sample: rows of the people whose joints are shown one by one.
    """

    people: People
    names: Sequence[str]
    visible: Sequence[Sequence[int | None]] | None
    jpegs: Sequence[bytes] | None
    side: int
    sample: Sequence[int]


def write(
    path: Path,
    comparison: Comparison,
    setting: page.Setting,
    held_out: HeldOut,
    entries: Mapping[str, Entry],
    origin: Mapping[str, str],
) -> None:
    """Write the page: one file that loads nothing from elsewhere.

    Args:
        path: of the page.
        comparison: the scores.
        setting: the data and the crops.
        held_out: the people of the gallery.
        entries: entry -> its results, in the order of the comparison.
        origin: what the last section says of commit and machine.
    """
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATE)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    keys = dict.fromkeys(key for entry in entries.values() for key in entry.parameters)
    published = page.published_rows(comparison.measure)
    text = environment.get_template("page.html").render(
        css=(TEMPLATE / "page.css").read_text(encoding="utf-8"),
        js=(TEMPLATE / "page.js").read_text(encoding="utf-8"),
        sections=SECTIONS.items(),
        labels=[comparison.labels[name] for name in entries],
        setting=setting.sentence(len(held_out.people)).replace("`", ""),
        headline=page.headline(comparison.measure),
        intervals=page.intervals(comparison.measure),
        verdict=comparison.verdict(),
        scores=(tables.HEADER, tables.score_rows(comparison) + published),
        published_note=page.PUBLISHED_NOTE if published else None,
        diagnostics=tables.diagnostics_table(comparison),
        joints=tables.joints_table(comparison),
        pictures=held_out.jpegs is not None,
        calibrated=any(entry.confidence is not None for entry in entries.values()),
        parameters=(
            ["", *(comparison.labels[name] for name in entries)],
            [[key, *(entry.parameters.get(key, "") for entry in entries.values())] for key in keys],
        ),
        origin=origin,
        measure=comparison.measure,
        data=_data(comparison, held_out, entries),
    )
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _data(comparison: Comparison, held_out: HeldOut, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Collect what page.js draws; joints are in crop px, errors in sizes of head or torso."""
    people = held_out.people
    known = np.concatenate([entry.history["val_rmse"] for entry in entries.values()])
    known = known[np.isfinite(known)]
    return {
        "side": held_out.side,
        "measure": {"name": comparison.measure.name, "unit": comparison.measure.unit},
        "joints": [joint.label for joint in Joint],
        "limbs": [[*limb, side_of(limb)] for limb in LIMBS],
        "curves": [
            {
                "name": name,
                "label": comparison.labels[name],
                "points": list(zip(comparison.measure.thresholds.tolist(), _plain(100 * curve, 2), strict=True)),
            }
            for name, curve in comparison.curves.items()
        ],
        "rmse_top": 1.1 * float(np.quantile(known, 0.95)) if known.size else None,
        "entries": [_entry(name, entry, people, comparison) for name, entry in entries.items()],
        "disagreement": _plain(disagreement([entry.pred_crop for entry in entries.values()], people), 2),
        "people": _people(held_out),
        "sample": list(held_out.sample),
    }


def _people(held_out: HeldOut) -> list[dict[str, Any]]:
    people = held_out.people
    ratios = np.clip(1 / aspects(people.crop_to_image), 0.4, 1.6)
    truth = _plain(np.where(people.annotated[..., None], people.joints_crop, np.nan), 1)
    return [
        {
            "name": held_out.names[row],
            "ratio": round(float(ratios[row]), 3),
            "truth": [_point(point) for point in truth[row]],
            "visible": None if held_out.visible is None else list(held_out.visible[row]),
            "picture": None if held_out.jpegs is None else thumbnail(held_out.jpegs[row]),
        }
        for row in range(len(people))
    ]


def _entry(name: str, entry: Entry, people: People, comparison: Comparison) -> dict[str, Any]:
    errors, history, joint_order = people.errors(entry.pred_crop), entry.history, comparison.joint_orders[name]
    threshold = comparison.measure.threshold
    maps = None
    if entry.maps is not None:
        who, weights = entry.maps
        # One scale per person: a uniform map must not look like a peaked one.
        of_255 = np.rint(255 * weights / weights.max(axis=(1, 2, 3), keepdims=True)).astype(int)
        height, width = weights.shape[2:]
        maps = {
            "who": who.tolist(),
            "height": height,
            "width": width,
            "values": of_255.reshape(len(who), 16, -1).tolist(),
        }
    train, val = (_plain(history[key], 2) for key in ("train_rmse", "val_rmse"))
    return {
        "name": name,
        "label": comparison.labels[name],
        "order": [int(joint) for joint in DECODE_ORDERS[joint_order]] if joint_order else None,
        "joints": [[_point(point) for point in joints] for joints in _plain(entry.pred_crop, 1)],
        "errors": _plain(np.minimum(errors, 99.0), 2),
        "confidence": None if entry.confidence is None else _plain(entry.confidence, 2),
        "calibration": None if entry.confidence is None else reliability(binned(entry.confidence, errors, threshold)),
        "history": list(zip(history["iteration"].tolist(), train, val, strict=True)),
        "maps": maps,
    }


def disagreement(predictions: Sequence[Float[np.ndarray, "N 16 2"]], people: People) -> Float[np.ndarray, "N 16"]:
    """Compute the largest distance between two models' predictions of a joint, in sizes of head or torso.

    Args:
        predictions: joints, crop px; one array for each model.
        people: gives the affines and the sizes; NaN where there is none.
    """
    placed = [people.to_image(pred_crop) for pred_crop in predictions]
    found = np.zeros(placed[0].shape[:2])
    for i, one in enumerate(placed):
        for other in placed[:i]:
            found = np.maximum(found, np.linalg.norm(one - other, axis=-1))
    return found / people.size[:, None]


def thumbnail(jpeg: bytes) -> str:
    """Encode a crop as a data URI, at most THUMBNAIL px wide."""
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=70, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plain(values: np.ndarray, digits: int) -> Any:
    """Round to nested lists; NaN and infinity become None."""
    rounded = np.round(values.astype(float), digits)
    plain = rounded.astype(object)
    plain[~np.isfinite(rounded)] = None
    return plain.tolist()


def _point(point: list[float | None]) -> list[float | None] | None:
    return None if None in point else point
