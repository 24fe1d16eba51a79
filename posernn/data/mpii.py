"""MPII's RELEASE .mat -> tables of people and rejects. The only module that converts 1-based to 0-based pixels.

Every image and every rectangle of the release yields one row: a person, or a reject with its reason.
- Train half: a rectangle with at least one annotated joint is a person. Centre, scale and head box may be missing;
  people without a head box are trained on but not scored.
- Test half: a rectangle with a centre and a scale (or joints, which MPII withholds) is a person.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from posernn.data import missing_joints, schemas
from posernn.data.cells import FIRST_PIXEL, Cells, collect, image_name
from posernn.data.matlab import NO_CELL, as_struct, fields_of, numbers_of, read_variable, text_of
from posernn.pose.skeleton import NUM_JOINTS
from posernn.runtime.errors import InputError
from posernn.runtime.progress import Advance, silent

FARTHEST_PIXEL = 65535.0
"""The largest side of a JPEG. Coordinates beyond it are errors, not joints outside of the image."""


def read_release(path: Path, progress: Advance = silent) -> np.void:
    """Read the RELEASE structure of an annotation file.

    Args:
        path: `mpii_human_pose_v1_u12_1.mat`, or a file of the same structure.
        progress: called with the kB read so far and the kB in all.
    Returns:
        the RELEASE record; its annolist, img_train and single_person have the same number of images.
    Raises:
        InputError: the file is missing, scipy cannot read it, or RELEASE or one of its fields is missing.
    """
    release = as_struct(read_variable(path, "RELEASE", progress))
    missing = {"annolist", "img_train", "single_person"} - set(fields_of(release))
    if missing or release.size != 1:
        raise InputError(
            f"{path}: expected RELEASE with {', '.join(sorted(missing)) or 'one entry'}, got none; "
            "fetch MPII's annotation file again"
        )
    record = release.ravel()[0]
    record["annolist"] = as_struct(record["annolist"])
    num_images = np.size(record["annolist"])
    missing = {"image", "annorect"} - set(fields_of(record["annolist"]))
    if missing or num_images == 0:
        raise InputError(
            f"{path}: expected images in RELEASE.annolist with {', '.join(sorted(missing)) or 'entries'}, got none; "
            "fetch MPII's annotation file again"
        )
    for name in ("img_train", "single_person"):
        column = record[name]
        if not isinstance(column, np.ndarray) or column.size != num_images or column.dtype.kind not in "biufUO":
            raise InputError(
                f"{path}: expected RELEASE.{name} for {num_images} images, got {np.size(column)} of type "
                f"{getattr(column, 'dtype', type(column).__name__)}; fetch MPII's annotation file again"
            )
    return record


def parse_release(release: np.void, progress: Advance = silent) -> tuple[pa.Table, pa.Table, list[str]]:
    """Convert the RELEASE record to tables.

    Args:
        release: as `read_release` returns it.
        progress: called with the number of images done and of all images.
    Returns:
        people (`schemas.PEOPLE`; `split` is train or test, without a validation set yet) and rejects
        (`schemas.REJECTED`), both in the order of the release, and sentences about joints that were left out. Joints,
        centres and head boxes are 0-based.
    """
    annolist = release["annolist"].ravel()
    names = [image_name(cell) for cell in annolist["image"]]
    cells, rejected = collect(release, names, progress)
    image_index = np.asarray(cells.image_index, dtype=np.int32)
    person_index = np.asarray(cells.person_index, dtype=np.int32)
    joints_image, annotated, visible, damaged = _joints(cells)
    stands_in = missing_joints.stand_ins(joints_image + FIRST_PIXEL)
    joints_image[stands_in], annotated[stands_in], visible[stands_in] = np.nan, False, np.nan
    center_image = numbers_of([cell for pair in cells.center for cell in pair]).reshape(-1, 2) - FIRST_PIXEL
    center_image[~_in_range(center_image).all(axis=1)] = np.nan
    scale = numbers_of(cells.scale)
    scale[~((scale > 0) & (scale < FARTHEST_PIXEL))] = np.nan
    head_box = _head_boxes(cells)
    from_train = (numbers_of(list(release["img_train"].ravel())) == 1)[image_index]

    reasons = dict(damaged)
    placed = np.isfinite(center_image).all(axis=1) & np.isfinite(scale)
    for row in np.flatnonzero(~annotated.any(axis=1) & (from_train | ~placed)).tolist():
        why = "no joint is annotated" if from_train[row] else "neither joints nor a centre and a scale"
        reasons.setdefault(row, why)
    rejected += [
        (names[image_index[row]] or "", int(image_index[row]), int(person_index[row]), why)
        for row, why in reasons.items()
    ]
    kept = np.setdiff1d(np.arange(len(image_index)), list(reasons))  # (N,)
    images = image_index[kept]

    people = schemas.people_table(
        [names[index] or "" for index in images.tolist()],
        image_index=images,
        person_index=person_index[kept],
        split=np.where(from_train[kept], "train", "test").tolist(),
        single_person=np.asarray(cells.single_person, dtype=bool)[kept],
        center_image=center_image[kept],
        scale=scale[kept],
        head_box_image=head_box[kept],
        joints_image=joints_image[kept],
        visible=visible[kept],
        video=_videos(annolist)[images],
        frame_sec=_image_numbers(annolist, "frame_sec")[images],
        activity=_activities(release, "act_name", images),
        category=_activities(release, "cat_name", images),
    )
    return people, schemas.rejected_table(rejected), missing_joints.notes(stands_in)


def _joints(
    cells: Cells,
) -> tuple[Float[np.ndarray, "P 16 2"], Bool[np.ndarray, "P 16"], Float[np.ndarray, "P 16"], dict[int, str]]:
    """Place the points of all P rectangles by their joint id.

    Returns:
        joints (0-based xy), annotated, visible, and the reason for each rejected row.
    """
    row = np.repeat(np.arange(len(cells.num_points)), cells.num_points)  # (K,) of all points
    joint = numbers_of(cells.points["id"])
    xy = np.stack([numbers_of(cells.points["x"]), numbers_of(cells.points["y"])], axis=-1) - FIRST_PIXEL  # (K, 2)
    flag = numbers_of(cells.points["is_visible"])
    given = np.isfinite(xy).all(axis=-1)  # a point without coordinates is not annotated

    known = (joint >= 0) & (joint < NUM_JOINTS) & (joint == np.floor(joint))
    far = given & ~_in_range(xy).all(axis=-1)
    place = np.where(known, row * NUM_JOINTS + np.where(known, joint, 0), 0).astype(int)  # (K,)
    twice = known & (np.bincount(place[known], minlength=1)[place] > 1)
    damaged: dict[int, str] = {}
    for point in np.flatnonzero(~known | far | twice).tolist():
        if not known[point]:
            why = f"joint id {joint[point]:g} is not one of 0 to {NUM_JOINTS - 1}"
        elif twice[point]:
            why = f"joint {joint[point]:g} is given twice"
        else:
            why = f"joint {joint[point]:g} lies at {xy[point, 0]:g}, {xy[point, 1]:g}, which is outside of any image"
        damaged.setdefault(int(row[point]), why)

    usable = known & given & ~far
    row, joint = row[usable], joint[usable].astype(int)
    joints_image = np.full((len(cells.num_points), NUM_JOINTS, 2), np.nan)
    joints_image[row, joint] = xy[usable]
    visible = np.full((len(cells.num_points), NUM_JOINTS), np.nan)
    visible[row, joint] = np.where(np.isin(flag[usable], (0, 1)), flag[usable], np.nan)
    return joints_image, np.isfinite(joints_image).all(axis=-1), visible, damaged


def _head_boxes(cells: Cells) -> Float[np.ndarray, "P 4"]:
    """Return head boxes, 0-based xyxy; NaN where a corner is missing or the box is empty."""
    corners = numbers_of([cell for box in cells.head_box for cell in box]).reshape(-1, 2, 2) - FIRST_PIXEL
    box = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)  # NaN propagates
    box[~(_in_range(box).all(axis=1) & (box[:, :2] < box[:, 2:]).any(axis=1))] = np.nan
    return box


def _in_range(xy: Float[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    return np.abs(xy) <= FARTHEST_PIXEL  # False for NaN


def _image_numbers(annolist: np.ndarray, name: str) -> Float[np.ndarray, "I"]:
    """Return a field with one number per image; NaN where it is empty, and for all images if it does not exist."""
    return numbers_of(annolist[name].tolist() if name in fields_of(annolist) else [NO_CELL] * annolist.size)


def _videos(annolist: np.ndarray) -> Float[np.ndarray, "I"]:
    """Return the 0-based video of each image; NaN where it is unknown."""
    video = _image_numbers(annolist, "vididx") - FIRST_PIXEL
    return np.where((video >= 0) & (video < 2**31) & (video == np.floor(video)), video, np.nan)


def _activities(release: np.void, name: str, images: Int[np.ndarray, "N"]) -> list[str | None]:
    """Return act_name or cat_name of each person's image."""
    act: Any = as_struct(release["act"]) if "act" in (release.dtype.names or ()) else NO_CELL
    if name not in fields_of(act):
        return [None] * len(images)
    texts = [text_of(cell) for cell in act.ravel()[name]]
    return [texts[index] if index < len(texts) else None for index in images.tolist()]
