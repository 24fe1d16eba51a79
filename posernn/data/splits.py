"""Splits off the validation set: the people of a list, or a seeded share of the videos and images."""

import csv
import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from posernn.data import schemas
from posernn.runtime.errors import InputError


class Listed(NamedTuple):
    """One line of a validation list."""

    line: int
    image: str
    key: tuple[int, int]  # image_index, person_index


def hold_out_share(people: pa.Table, share: float, seed: int) -> pa.Table:
    """Move a share of the people from train to val, by whole videos (by images where the video is unknown).

    The choice depends on a hash of the seed and the video's number or the image's name, not on the order of the rows; a
    few people more or fewer change it little.

    Args:
        people: `schemas.PEOPLE`.
        share: of the single-person people of the train half; an upper bound, met as closely as whole videos allow.
        seed: of the choice.
    Returns:
        people with the new `split`; all people of an image are in the same split.
    Raises:
        InputError: there are too few videos or images: train or val would be empty.
    """
    in_train = np.array(people["split"].to_pylist()) == "train"
    usable = in_train & schemas.to_numpy(people, "single_person")
    groups = [
        f"image {image}" if video is None else f"video {video}"
        for image, video in zip(people["image"].to_pylist(), people["video"].to_pylist(), strict=True)
    ]
    sizes: dict[str, int] = {}
    for row in np.flatnonzero(usable).tolist():
        sizes[groups[row]] = sizes.get(groups[row], 0) + 1
    if len(sizes) < 2:
        raise InputError(
            f"parse.hold_out: expected at least 2 videos or images with single people, got {len(sizes)} with "
            f"{usable.sum()} of {in_train.sum()} people; add people, or name a val_list"
        )
    held: set[str] = set()
    room = share * usable.sum()
    for group in sorted(sizes, key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest()):
        if sizes[group] <= room:
            held.add(group)
            room -= sizes[group]
    if not held:  # the share is smaller than the smallest group
        held.add(min(sizes, key=lambda group: (sizes[group], group)))
    return _with_val(people, in_train & np.array([group in held for group in groups]))


def hold_out_listed(people: pa.Table, path: Path) -> tuple[pa.Table, pa.Table]:
    """Move the people of a list from train to val.

    No person of a listed image stays in train. Single people of a listed image who are not on the list are dropped;
    the other people of listed images, whom neither training nor evaluation uses, go to val.

    Args:
        people: `schemas.PEOPLE`.
        path: CSV with the columns image, annolist_index and annorect_index, both counted from 0.
    Returns:
        people with the new `split`, and the dropped people (`schemas.REJECTED`).
    Raises:
        InputError: the list is missing, malformed, or does not match the release.
    """
    listed = read_list(path)
    keys = list(zip(people["image_index"].to_pylist(), people["person_index"].to_pylist(), strict=True))
    row_of = {key: row for row, key in enumerate(keys)}
    image_of = dict(zip(people["image_index"].to_pylist(), people["image"].to_pylist(), strict=True))
    split = people["split"].to_pylist()
    single_person = schemas.to_numpy(people, "single_person")
    for line, image, key in listed:
        where = f"{path}: line {line}"
        row = row_of.get(key)
        if row is None or split[row] != "train":
            raise InputError(
                f"{where}: expected an annotated person of the train half, got image {key[0]}, rectangle {key[1]} "
                f"({image}), which is none; use the list of this release"
            )
        if image_of[key[0]] != image:
            raise InputError(
                f"{where}: expected {image_of[key[0]]}, image {key[0]} of the release, got {image}; "
                "use the list of this release"
            )
        if not single_person[row]:
            raise InputError(
                f"{where}: expected a single person, got rectangle {key[1]} of {image}, which is not in the release's "
                "single_person; use the list of this release"
            )
    chosen = {entry.key for entry in listed}
    listed_images = {entry.image for entry in listed}
    beside = np.array([image in listed_images for image in people["image"].to_pylist()])
    on_list = np.array([key in chosen for key in keys])
    unlisted = beside & ~on_list & single_person & (np.array(split) == "train")
    left_out = schemas.rejected_table(
        (image_of[keys[row][0]], *keys[row], "not on the validation list, but in one of its images")
        for row in np.flatnonzero(unlisted).tolist()
    )
    people = _with_val(people, beside & (np.array(split) == "train"))
    return people.filter(pa.array(~unlisted)), left_out


def _with_val(people: pa.Table, val: Bool[np.ndarray, "N"]) -> pa.Table:
    split = np.where(val, "val", np.array(people["split"].to_pylist(), dtype=object))
    place = people.schema.get_field_index("split")
    return people.set_column(place, people.schema.field(place), pa.array(split.tolist(), pa.string()))


def read_list(path: Path) -> list[Listed]:
    """Read a validation list in the order of its lines: a CSV file with commas or, as Excel writes it, semicolons.

    Raises:
        InputError: the list is missing, empty or malformed, or names a person twice.
    """
    columns = ("image", "annolist_index", "annorect_index")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel writes a byte order mark
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=";" if ";" in header else ",")
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}: expected the columns {', '.join(columns)}, got none called {', '.join(missing)}; "
                    "see data/splits/README.md"
                )
            listed = []
            for row in reader:
                if not any((row[name] or "").strip() for name in columns):
                    continue  # a blank line
                try:
                    key = (int(row["annolist_index"]), int(row["annorect_index"]))
                except (TypeError, ValueError) as error:
                    raise InputError(
                        f"{path}: line {reader.line_num}: expected whole numbers in annolist_index and annorect_index, "
                        f"got {row['annolist_index']!r} and {row['annorect_index']!r}; correct the line"
                    ) from error
                listed.append(Listed(reader.line_num, row["image"], key))
    except OSError as error:
        raise InputError(
            f"{path}: expected the validation list, got {error.strerror}; put it there, or set val_list to null"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file in UTF-8, got {error}; fetch it again") from error
    if not listed:
        raise InputError(f"{path}: expected people, got an empty list; fetch it again, or set val_list to null")
    twice = [entry for entry, times in Counter((entry.image, *entry.key) for entry in listed).items() if times > 1]
    if twice:
        image, image_index, person_index = twice[0]
        raise InputError(
            f"{path}: expected each person once, got {len(twice)} of them several times, first {image} (image "
            f"{image_index}, rectangle {person_index}); remove the duplicates"
        )
    return listed
