"""Reads a COCO keypoints file: its images, and its categories with the joints that their keypoints are."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from posernn.data import joint_names
from posernn.pose.skeleton import Joint
from posernn.runtime.errors import InputError


class Category(NamedTuple):
    """A category with keypoints."""

    joints: dict[int, Joint]  # position of the keypoint -> joint
    num_keypoints: int


def read_file(path: Path) -> dict[str, list]:
    """Read a COCO file.

    Raises:
        InputError: the file is missing, not JSON, or has no lists of images, annotations and categories.
    """
    try:
        contents = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: expected COCO keypoints, got {error.strerror}; put the file there") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected COCO keypoints as JSON, got {error}; export it again") from error
    wanted = ("images", "annotations", "categories")
    there = contents if isinstance(contents, dict) else {}
    missing = [name for name in wanted if not isinstance(there.get(name), list)]
    if missing or not there["images"]:
        got = f"no {' and no '.join(missing)}" if missing else "no images"
        raise InputError(
            f"{path}: expected COCO keypoints with images, annotations and categories, got {got}; export again"
        )
    return there


def images_of(images: list, path: Path) -> tuple[dict[str, int], list[str | None]]:
    """Return id (as JSON) -> position of each image, and their names in the folder images; None where unreadable.

    Raises:
        InputError: an id or a name is there twice.
    """
    entries = [image if isinstance(image, dict) else {} for image in images]
    ids = [json.dumps(entry.get("id")) for entry in entries]
    names = [_name(entry.get("file_name")) for entry in entries]
    for what, values in (("id", ids), ("file_name", [name for name in names if name])):
        if len(set(values)) < len(values):
            twice = max(values, key=values.count) if len(values) < 10_000 else "some"
            raise InputError(
                f"{path}: expected each image once, got {what} {twice} several times; remove the duplicates"
            )
    return {of_image: index for index, of_image in enumerate(ids)}, names


def _name(file_name: Any) -> str | None:
    """Return a name relative to the folder images: tools write images/a.jpg, and on Windows images\\a.jpg, too."""
    if not isinstance(file_name, str) or not file_name.strip() or not file_name.isprintable():
        return None
    return file_name.replace("\\", "/").removeprefix("./").removeprefix("images/")


def categories_of(categories: list, path: Path) -> tuple[dict[str, Category], list[str]]:
    """Return id (as JSON) -> category, and a sentence about keypoints that are none of the 16 joints.

    Raises:
        InputError: no category has keypoints, or one has no joint that is known.
    """
    found: dict[str, Category] = {}
    unknown: dict[str, None] = {}
    for category in categories:
        names = category.get("keypoints") if isinstance(category, dict) else None
        if isinstance(names, list) and names:
            names = [str(name) for name in names]
            joints = joint_names.match(names, f"{path}: category {category.get('name')!r}")
            found[json.dumps(category.get("id"))] = Category(joints, len(names))
            unknown |= dict.fromkeys(name for place, name in enumerate(names) if place not in joints)
    if not found:
        raise InputError(
            f"{path}: expected a category with names of keypoints, such as {joint_names.KNOWN}, got none; "
            "export as COCO keypoints"
        )
    left_out = f"keypoints that are none of the 16 joints are left out: {', '.join(unknown)}"
    return found, [left_out] if unknown else []
