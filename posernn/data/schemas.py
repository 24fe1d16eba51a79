"""Schemas of the Parquet files, and conversion between their columns and numpy arrays.

Each field's metadata states its unit and frame. Values that MPII does not give are null in plain columns and NaN inside
fixed-size lists: pyarrow can write null lists but, up to version 25, not read them back (apache/arrow#35692).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from posernn.pose.geometry import head_size
from posernn.pose.skeleton import NUM_JOINTS


def _field(name: str, type_: pa.DataType, about: str, nullable: bool = True) -> pa.Field:
    return pa.field(name, type_, nullable=nullable, metadata={"about": about})


XY = pa.list_(pa.float32(), 2)
JOINTS = pa.list_(XY, NUM_JOINTS)
FLAGS = pa.list_(pa.bool_(), NUM_JOINTS)
CONFIDENCE = pa.list_(pa.float32(), NUM_JOINTS)

_KEYS = [
    _field("image", pa.string(), "file name inside the images folder", nullable=False),
    _field("image_index", pa.int32(), "position in the file's list of images (MPII: annolist), from 0", False),
    _field("person_index", pa.int32(), "position among the image's people (MPII: annorect), from 0", False),
]

PEOPLE = pa.schema(
    [
        *_KEYS,
        _field("split", pa.string(), "train | val | test; test people have no joints", nullable=False),
        _field("single_person", pa.bool_(), "stands apart from other people, by MPII's own list", nullable=False),
        _field("activity", pa.string(), "null where MPII does not say"),
        _field("category", pa.string(), "of the activity; null where MPII does not say"),
        _field("video", pa.int32(), "position in RELEASE.video_list, from 0; null where MPII does not say"),
        _field("frame_sec", pa.float32(), "seconds into the video"),
        _field("center_image", XY, "image px, 0-based; rough centre of the person; NaN where MPII does not say", False),
        _field("scale", pa.float32(), "person height / 200 px"),
        _field(
            "head_box_image", pa.list_(pa.float32(), 4), "image px, 0-based, xyxy; NaN where MPII does not say", False
        ),
        _field("head_size", pa.float32(), "image px; 0.6 x diagonal of the head box"),
        _field("joints_image", JOINTS, "image px, 0-based, xy; NaN where not annotated", nullable=False),
        _field("annotated", FLAGS, "whether MPII gives the joint", nullable=False),
        _field("visible", FLAGS, "MPII's flag; null where MPII does not say", nullable=False),
    ]
)
"""people.parquet: one row per annotated person, and the people of the test half with their centres and scales."""

REJECTED = pa.schema(
    [
        _field("image", pa.string(), "file name inside the images folder", nullable=False),
        _field(
            "image_index", pa.int32(), "position in the file's list of images, from 0; -1: no image of the list", False
        ),
        _field("person_index", pa.int32(), "position among the image's people, from 0; null: the whole image"),
        _field("reason", pa.string(), "why it was left out", nullable=False),
    ]
)
"""rejected.parquet, crops-rejected.parquet: people and images that were left out, each with its reason."""

Reject = tuple[str, int, int | None, str]
"""One row of REJECTED."""

CROPS = pa.schema(
    [
        *_KEYS,
        _field("split", pa.string(), "train | val", nullable=False),
        _field(
            "image",
            pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())]),
            "the crop as JPEG, and the name of the image it was cut from; never null, but Hugging Face has it nullable",
        ),
        _field(
            "crop_to_image",
            pa.list_(pa.float64(), 6),
            "a b c d e f: x = a u + b v + c, y = d u + e v + f",
            False,
        ),
        _field("joints_crop", JOINTS, "crop px, 0-based, xy; NaN where not annotated", nullable=False),
        _field("joints_image", JOINTS, "image px, 0-based, xy; NaN where not annotated", nullable=False),
        _field("annotated", FLAGS, "whether MPII gives the joint", nullable=False),
        _field("head_size", pa.float32(), "image px; null: the person is not scored"),
    ][1:]  # here `image` is the picture, and `image.path` its file name
)
"""crops/*.parquet: one row per person. Hugging Face `datasets` reads the column `image` as pictures."""

PREDICTIONS = pa.schema(
    [
        *_KEYS,
        _field("joints_image", JOINTS, "predicted joints, image px, 0-based, xy", nullable=False),
        _field("joints_crop", JOINTS, "predicted joints, crop px, 0-based, xy", nullable=False),
    ]
)
"""predictions.parquet: one row per crop, in the order of the crops; `confidence` is added if the model gives it."""


def rejected_table(rejected: Iterable[Reject]) -> pa.Table:
    """Return rejects as a table (`REJECTED`), ordered by image and person."""
    rows = sorted(rejected, key=lambda row: (row[1], -1 if row[2] is None else row[2], row[3]))
    columns = [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(REJECTED)]
    return pa.table(columns, schema=REJECTED)


def people_table(
    images: list[str],
    *,
    image_index: Int[np.ndarray, "N"],
    person_index: Int[np.ndarray, "N"],
    split: list[str],
    single_person: Bool[np.ndarray, "N"],
    center_image: Float[np.ndarray, "N 2"],
    scale: Float[np.ndarray, "N"],
    head_box_image: Float[np.ndarray, "N 4"],
    joints_image: Float[np.ndarray, "N 16 2"],
    visible: Float[np.ndarray, "N 16"],
    video: Float[np.ndarray, "N"] | None = None,
    frame_sec: Float[np.ndarray, "N"] | None = None,
    activity: list[str | None] | None = None,
    category: list[str | None] | None = None,
) -> pa.Table:
    """Return people as a table (`PEOPLE`); NaN and None: not known; joints of NaN are not annotated.

    Args:
        images: N names; the other arguments are the columns of `PEOPLE`, with one row for each.
    """
    unknown = np.full(len(images), np.nan)
    values: dict[str, np.ndarray] = {
        "image_index": image_index,
        "person_index": person_index,
        "single_person": single_person,
        "video": unknown if video is None else video,
        "frame_sec": unknown if frame_sec is None else frame_sec,
        "center_image": center_image,
        "scale": scale,
        "head_box_image": head_box_image,
        "head_size": head_size(head_box_image),
        "joints_image": joints_image,
        "annotated": np.isfinite(joints_image).all(axis=-1),
        "visible": visible,
    }
    texts = {"image": images, "split": split, "activity": activity, "category": category}
    columns = []
    for field in PEOPLE:
        if field.name in texts:
            columns.append(pa.array(texts[field.name] or [None] * len(images), field.type))
            continue
        array = values[field.name]
        null = ~np.isfinite(array) if field.nullable or field.name == "visible" else None
        if field.name == "visible":
            array = array == 1
        elif field.name == "video":
            array = np.nan_to_num(array).astype(np.int32)
        columns.append(from_numpy(array, field.type, null))
    return pa.table(columns, schema=PEOPLE)


def predictions_table(
    images: Any,
    image_index: Any,
    person_index: Any,
    joints_image: Float[np.ndarray, "N 16 2"],
    joints_crop: Float[np.ndarray, "N 16 2"],
) -> pa.Table:
    """Return predictions as a table (`PREDICTIONS`).

    Args:
        images, image_index, person_index: N values each, as lists or Arrow columns; indices count from 0.
        joints_image: image px, xy.
        joints_crop: crop px, xy.
    """
    joints = (from_numpy(of.astype(np.float32), JOINTS) for of in (joints_image, joints_crop))
    return pa.table([images, image_index, person_index, *joints], schema=PREDICTIONS)


def to_numpy(table: pa.Table, name: str) -> np.ndarray:
    """Convert one column to an array; fixed-size lists become axes: `JOINTS` (N, 16, 2), `XY` (N, 2).

    Args:
        table: has the column.
        name: of a column of numbers, flags or strings, or of fixed-size lists of them.
    Returns:
        (N, ...) in the column's own type; NaN where a float or the list around it is null; strings as objects.
    Raises:
        ValueError: integers or flags are null, for which numpy has no value; use pyarrow's `is_null` for such columns.
    """
    column = table.column(name).combine_chunks()
    shape = [len(column)]
    missing = np.zeros(len(column), dtype=bool)  # (N, ...), one axis more for each list that is opened
    while pa.types.is_fixed_size_list(column.type):
        missing |= column.is_null().to_numpy(zero_copy_only=False).reshape(shape)
        size = column.type.list_size
        # `values` includes those below null lists, so that rows stay aligned.
        column = column.values.slice(column.offset * size, len(column) * size)
        shape.append(size)
        missing = np.repeat(missing[..., None], size, axis=-1)
    missing |= column.is_null().to_numpy(zero_copy_only=False).reshape(shape)
    if pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False).reshape(shape)
        return np.where(missing, values.dtype.type(np.nan), values)
    if pa.types.is_string(column.type):
        return column.to_numpy(zero_copy_only=False).reshape(shape)
    if missing.any():
        raise ValueError(f"to_numpy: expected no nulls in {name} ({column.type}), got {missing.sum()}")
    return column.to_numpy(zero_copy_only=False).reshape(shape)


def from_numpy(array: np.ndarray, type_: pa.DataType, null: np.ndarray | None = None) -> pa.Array:
    """Convert an array to a column, the inverse of `to_numpy`: axes after the first become fixed-size lists.

    Args:
        array: (N, ...), with one axis more than `type_` has nested lists.
        type_: of the column: `JOINTS` for (N, 16, 2), `pa.float32()` for (N,).
        null: mask of null entries; (N,) for whole rows, (N, 16) for entries of each row's list, and so on. NaN stays
            NaN.
    Raises:
        ValueError: the array's shape does not fit the type.
    """
    sizes = []
    types = [type_]
    while pa.types.is_fixed_size_list(types[-1]):
        sizes.append(types[-1].list_size)
        types.append(types[-1].value_type)
    if array.shape[1:] != tuple(sizes) or array.ndim == 0:
        raise ValueError(f"from_numpy: expected an array of (N, *{sizes}) for {type_}, got {array.shape}")
    null_axes = 0 if null is None else null.ndim
    column = pa.array(
        np.ascontiguousarray(array).reshape(-1),
        type=types[-1],
        mask=null.reshape(-1) if null is not None and null_axes == array.ndim else None,
    )
    for depth in range(len(sizes), 0, -1):
        mask = pa.array(null.reshape(-1)) if null is not None and null_axes == depth else None
        column = pa.FixedSizeListArray.from_arrays(column, type=types[depth - 1], mask=mask)
    return column
