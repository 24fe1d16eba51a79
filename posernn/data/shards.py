"""Reads and writes the folder of crops: Parquet shards `SPLIT-NUMBER.parquet` with the rows of `schemas.CROPS`.

The folder is a local path, or a URI that pyarrow or fsspec knows, such as s3://bucket/crops. A file `_SUCCESS` is
written last: it lists the shards with their SHA-256, as sha256sum does. A folder without it is incomplete.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem, LocalFileSystem

from posernn.data import schemas
from posernn.runtime import files
from posernn.runtime.errors import InputError

Folder = Path | str
"""A local path, or a URI (a str with ://)."""

SPLITS = ("train", "val")
COMPLETE = "_SUCCESS"

WriteShard = Callable[[str, int, pa.Table], None]
"""(split, number of the shard, rows)"""


@contextmanager
def replacing(folder: Folder) -> Iterator[WriteShard]:
    """Give a function that writes one shard; the new shards replace those that the folder held.

    A local folder is replaced as a whole on success and stays as it was on an error. At a URI, where folders cannot be
    renamed, the old shards are deleted first and other files stay.

    Raises:
        InputError: the disk or the storage service refuses to write.
    """
    checksums: dict[str, str] = {}
    try:
        with _emptied(folder) as (filesystem, path):

            def write_file(name: str, data: bytes | pa.Buffer) -> None:
                with filesystem.open_output_stream(f"{path}/{name}") as stream:
                    stream.write(data)

            def write_shard(split: str, number: int, rows: pa.Table) -> None:
                name = f"{split}-{number:05d}.parquet"
                buffer = pa.BufferOutputStream()
                pq.write_table(rows, buffer, compression="zstd")
                write_file(name, buffer.getvalue())
                checksums[name] = hashlib.sha256(buffer.getvalue()).hexdigest()

            yield write_shard
            write_file(COMPLETE, "".join(f"{checksums[name]}  {name}\n" for name in sorted(checksums)).encode())
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder}: expected to write crops there, got: {error}; check the place and retry") from error


@contextmanager
def _emptied(folder: Folder) -> Iterator[tuple[FileSystem, str]]:
    """Give a filesystem and a folder in it without shards."""
    filesystem, path = _find(folder)
    if isinstance(filesystem, LocalFileSystem):
        with files.replacing_folder(Path(path)) as unfinished:
            yield filesystem, str(unfinished)
        return
    found = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    shards = [file.path for file in found if file.base_name.startswith(SPLITS) and file.extension == "parquet"]
    marker = [file.path for file in found if file.base_name == COMPLETE]
    for name in marker + shards:  # the marker first: the rest is incomplete from then on
        filesystem.delete_file(name)
    filesystem.create_dir(path, recursive=True)
    yield filesystem, path


def read_shards(folder: Folder, split: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Read the crops of one split, shard by shard, in the order of the release.

    Args:
        folder: as `replacing` leaves it.
        split: train or val.
        columns: of `schemas.CROPS`; None: all.
    Raises:
        InputError: the folder has no crops of the split or is incomplete, or a shard cannot be read.
    """
    for filesystem, path in _shards(folder, split):
        yield files.read_table(path, schemas.CROPS, columns, filesystem)


def read_crops(folder: Folder, split: str, columns: list[str] | None = None) -> pa.Table:
    """Read all crops of one split into one table; see `read_shards`."""
    return pa.concat_tables(read_shards(folder, split, columns))


def num_crops(folder: Folder, split: str) -> int:
    """Count the crops of a split from the shards' metadata.

    Raises:
        InputError: as `read_shards`.
    """
    try:
        return sum(
            pq.read_metadata(path, filesystem=filesystem).num_rows for filesystem, path in _shards(folder, split)
        )
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder}: expected Parquet files, got: {error}; run the crops stage again") from error


def digest(folder: Folder) -> str:
    """Return a hash of all shards' contents, from the checksums that were written with them.

    Raises:
        InputError: the folder is incomplete.
    """
    return hashlib.sha256(_checksums(folder)).hexdigest()


def _shards(folder: Folder, split: str) -> list[tuple[FileSystem, str]]:
    """List a split's shards in the order of their numbers: the filesystem and the path of each."""
    filesystem, path = _find(folder)
    names = [line.split()[1] for line in _checksums(folder).decode().splitlines()]
    found = [(filesystem, f"{path}/{name}") for name in names if name.startswith(f"{split}-")]
    if not found:
        raise InputError(f"{folder}: expected crops of the {split} split, got none; run the crops stage")
    return found


def _checksums(folder: Folder) -> bytes:
    filesystem, path = _find(folder)
    try:
        with filesystem.open_input_stream(f"{path}/{COMPLETE}") as stream:
            return stream.read()
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: expected crops and {COMPLETE}, got none or an incomplete folder; run the crops stage"
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder}: expected crops, got: {error}; run the crops stage") from error


def _find(folder: Folder) -> tuple[FileSystem, str]:
    """Return the filesystem of a folder and its path there.

    Raises:
        InputError: a URI that neither pyarrow nor fsspec knows.
    """
    return _connect(str(folder)) if "://" in str(folder) else (LocalFileSystem(), str(folder))


@lru_cache(maxsize=8)
def _connect(uri: str) -> tuple[FileSystem, str]:
    try:
        filesystem, path = FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, ValueError):
        try:
            filesystem, path = FileSystem.from_uri(f"fsspec+{uri}")
        except (pa.ArrowException, ValueError, ImportError) as error:
            raise InputError(
                f"{uri}: expected a URI that pyarrow or fsspec knows, got: {error}; install its fsspec package"
            ) from error
    return filesystem, path.rstrip("/")
