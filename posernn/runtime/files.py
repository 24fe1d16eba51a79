"""Files that are whole or absent: written beside their name, then renamed."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem
    from torch import Tensor


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path of the same name elsewhere; on success it becomes `path`, on any error it is removed.

    It lies in a folder of its own, so that what the library that writes it puts beside it goes with it.

    Raises:
        InputError: the disk does not take the file (no room, no permission, no such folder).
    """
    unfinished = _unfinished(path)
    with _blaming_the_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            yield unfinished / path.name
            os.replace(unfinished / path.name, path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; on success it takes the place of `path`, on any error it is removed.

    Raises:
        InputError: the disk does not take the folder (no room, no permission, no such place).
    """
    unfinished = _unfinished(path)
    with _blaming_the_disk(path):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            yield unfinished
            if path.exists():
                shutil.rmtree(path)
            os.replace(unfinished, path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    """A folder beside `path`. Always the same: what a killed run left there is removed by the next."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def _blaming_the_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}; nothing was left there") from error


def source_digest() -> str:
    """A name for posernn's own code: it changes with any of its files."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(source.name.encode())
        with source.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: missing, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: expected a JSON file, got {error.strerror}; run the stage that writes it") from error
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, got {error}; run the stage that writes it again") from error


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that all have the keys of the first; None is an empty cell."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_table(path: Path, table: pa.Table) -> None:
    """Write one Parquet file. The same table gives the same bytes."""
    with replacing(path) as partial:
        write_parquet(table, partial)


def write_parquet(table: pa.Table, path: Path | str, filesystem: "FileSystem | None" = None) -> None:
    """Write one Parquet file where there is no renaming: whoever reads it has to know that it is whole."""
    pq.write_table(table, path, compression="zstd", filesystem=filesystem)


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], about: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file; `about` is text that goes with the tensors."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as partial:
        try:
            plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
            save_file(plain, partial, metadata=dict(about) if about else None)
        except SafetensorError as error:  # what the disk answered
            raise OSError(str(error)) from error


def read_table(
    path: Path | str, schema: pa.Schema, columns: list[str] | None = None, filesystem: "FileSystem | None" = None
) -> pa.Table:
    """Read one Parquet file and hold it to its schema.

    Raises:
        InputError: missing, not Parquet, or with other columns than `schema` says.
    """
    try:
        table = pq.read_table(path, columns=columns, filesystem=filesystem)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a Parquet file, got nothing; run the stage that writes it") from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: expected a Parquet file, got {error}") from error
    expected = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    if not table.schema.equals(expected):
        raise InputError(f"{path}: expected the columns {expected.names}, got {table.schema.names}; write it anew")
    return table
