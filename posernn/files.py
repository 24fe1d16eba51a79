"""Files that are whole or absent: written beside their name, then renamed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from posernn.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, on any error it is removed.

    Raises:
        InputError: the disk does not take the file (no room, no permission, no such folder).
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}; nothing was left there") from error
    finally:
        partial.unlink(missing_ok=True)


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


def write_table(path: Path, table: pa.Table) -> None:
    """Write one Parquet file. The same table gives the same bytes."""
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file and hold it to its schema.

    Raises:
        InputError: missing, not Parquet, or with other columns than `schema` says.
    """
    try:
        table = pq.read_table(path, columns=columns)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a Parquet file, got nothing; run the stage that writes it") from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: expected a Parquet file, got {error}") from error
    expected = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    if not table.schema.equals(expected):
        raise InputError(f"{path}: expected the columns {expected.names}, got {table.schema.names}; write it anew")
    return table
