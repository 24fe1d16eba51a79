"""Atomic files: written to a temporary folder beside their place, then renamed."""

import csv
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
    """Give a path to write to; on success that file becomes `path`, on any error it is removed.

    Raises:
        InputError: the disk does not take the file (no room, no permission, no such folder).
    """
    with _unfinished(path) as folder:  # what a library writes beside the file is removed with the folder
        yield folder / path.name
        os.replace(folder / path.name, path)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success it takes the place of `path`, on any error it is removed.

    Raises:
        InputError: the disk does not take the folder (no room, no permission, no such place).
    """
    with _unfinished(path) as folder:
        yield folder
        if path.exists():
            shutil.rmtree(path)
        os.replace(folder, path)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`. Its name is fixed: the next run removes what a killed run left there."""
    folder = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}; nothing was left there") from error


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write `value` as JSON with a final newline, indented by default."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: expected a JSON file, got {error.strerror}; run the stage that writes it") from error
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, got {error}; run the stage that writes it again") from error


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, with the keys of the first row as header; None is an empty cell."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_table(path: Path, table: pa.Table) -> None:
    """Write one Parquet file. The same table gives the same bytes."""
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], about: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file; `about` becomes its metadata."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as partial:
        try:
            plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
            save_file(plain, partial, metadata=dict(about) if about else None)
        except SafetensorError as error:  # an error of the disk
            raise OSError(str(error)) from error


def read_table(
    path: Path | str, schema: pa.Schema, columns: list[str] | None = None, filesystem: "FileSystem | None" = None
) -> pa.Table:
    """Read one Parquet file and check its schema.

    Raises:
        InputError: the file is missing, not Parquet, or has other columns.
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
