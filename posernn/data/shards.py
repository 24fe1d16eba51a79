"""Where crops lie: one folder of Parquet shards, `SPLIT-NUMBER.parquet`, rows as in `schemas.CROPS`.

The folder is one of this machine, or an address that pyarrow or fsspec understands, such as s3://bucket/crops. There,
where a folder cannot be renamed, a file `_SUCCESS` is written last and says that all shards are.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from posernn.data import schemas
from posernn.runtime import files
from posernn.runtime.errors import InputError

Folder = Path | str
"""A str is an address where it has a ://, else a path."""

SPLITS = ("train", "val")
COMPLETE = "_SUCCESS"


@contextmanager
def replacing(folder: Folder) -> Iterator[Callable[[str, int, pa.Table], None]]:
    """Give what writes a shard: split, number, rows. What the folder held before is replaced once all are written.

    At an address it is removed first.

    Raises:
        InputError: the disk, or who is at the address, does not take the shards.
    """
    if not _is_address(folder):
        with files.replacing_folder(Path(folder)) as unfinished:
            yield lambda split, number, rows: files.write_table(unfinished / _name(split, number), rows)
        return
    try:
        filesystem, path = _find(folder)
        for name in [COMPLETE, *_names(folder)]:  # in this order: a part of a folder must not look whole
            if filesystem.get_file_info(f"{path}/{name}").is_file:
                filesystem.delete_file(f"{path}/{name}")
        filesystem.create_dir(path, recursive=True)
        yield lambda split, number, rows: files.write_parquet(rows, f"{path}/{_name(split, number)}", filesystem)
        with filesystem.open_output_stream(f"{path}/{COMPLETE}"):
            pass
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder}: cannot be written: {error}") from error


def read_shards(folder: Folder, split: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The crops of one split, shard by shard, in the order of the release.

    Args:
        folder: as `replacing` leaves it.
        split: train or val.
        columns: of `schemas.CROPS`; None: all.
    Raises:
        InputError: there are none, or a shard is not as it should be.
    """
    for name in _names_of(folder, split):
        path, filesystem = _file(folder, name)
        yield files.read_table(path, schemas.CROPS, columns, filesystem)


def read_crops(folder: Folder, split: str, columns: list[str] | None = None) -> pa.Table:
    """All crops of one split: `read_shards` in one table."""
    return pa.concat_tables(read_shards(folder, split, columns))


def num_crops(folder: Folder, split: str) -> int:
    """How many people of a split have a crop, without reading them.

    Raises:
        InputError: as `read_shards`.
    """
    try:
        found = [_file(folder, name) for name in _names_of(folder, split)]
        return sum(pq.read_metadata(path, filesystem=filesystem).num_rows for path, filesystem in found)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder}: expected Parquet files, got {error}") from error


def digest(folder: Folder) -> str:
    """A name for what the shards hold: it changes when they do. At an address, when they were written counts."""
    found = hashlib.sha256()
    for name in _names(folder):
        found.update(name.encode())
        if _is_address(folder):
            filesystem, path = _find(folder)
            about = filesystem.get_file_info(f"{path}/{name}")
            found.update(f"{about.size} {about.mtime_ns}".encode())
        else:
            with (Path(folder) / name).open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _name(split: str, number: int) -> str:
    """By name, shards come in the order of their numbers."""
    return f"{split}-{number:05d}.parquet"


def _names_of(folder: Folder, split: str) -> list[str]:
    names = [name for name in _names(folder) if name.startswith(f"{split}-")]
    if not names:
        raise InputError(f"{folder}: expected crops of the {split} people, got none; run the crops stage")
    if _is_address(folder):
        filesystem, path = _find(folder)
        if not filesystem.get_file_info(f"{path}/{COMPLETE}").is_file:
            raise InputError(f"{folder}: expected all crops, got a part of them; run the crops stage again")
    return names


def _names(folder: Folder) -> list[str]:
    """All shards; none where there is no folder."""
    if not _is_address(folder):
        return sorted(path.name for split in SPLITS for path in Path(folder).glob(f"{split}-*.parquet"))
    from pyarrow.fs import FileSelector

    try:
        filesystem, path = _find(folder)
        names = [about.base_name for about in filesystem.get_file_info(FileSelector(path, allow_not_found=True))]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder}: cannot be read: {error}") from error
    return sorted(name for name in names if name.startswith(SPLITS) and name.endswith(".parquet"))


def _file(folder: Folder, name: str) -> tuple[Any, Any]:
    """Path of a shard, and the filesystem it is in; None: this machine's."""
    if not _is_address(folder):
        return Path(folder) / name, None
    filesystem, path = _find(folder)
    return f"{path}/{name}", filesystem


def _is_address(folder: Folder) -> bool:
    return isinstance(folder, str) and "://" in folder


@lru_cache(maxsize=8)
def _find(address: Folder) -> tuple[Any, str]:
    """The filesystem of an address, and the path in it: pyarrow's own, else one of fsspec's.

    Raises:
        InputError: neither knows such addresses.
    """
    from pyarrow.fs import FileSystem

    try:
        filesystem, path = FileSystem.from_uri(address)
    except (pa.ArrowInvalid, ValueError):
        try:
            filesystem, path = FileSystem.from_uri(f"fsspec+{address}")
        except (pa.ArrowException, ValueError, ImportError) as error:
            raise InputError(f"{address}: expected an address that pyarrow or fsspec knows, got: {error}") from error
    return filesystem, path.rstrip("/")
