"""Where crops lie: one folder of Parquet shards, `SPLIT-NUMBER.parquet`, rows as in `schemas.CROPS`."""

from pathlib import Path

import pyarrow as pa

from posernn import files, schemas
from posernn.errors import InputError

SPLITS = ("train", "val")


def shard_path(folder: Path, split: str, number: int) -> Path:
    """The file of one shard. By name, shards come in the order of their numbers."""
    return folder / f"{split}-{number:05d}.parquet"


def read_crops(folder: Path, split: str, columns: list[str] | None = None) -> pa.Table:
    """All crops of one split, in the order of the release.

    Args:
        folder: as `crops.write_crops` leaves it.
        split: train or val.
        columns: of `schemas.CROPS`; None: all.
    Raises:
        InputError: there are none, or a shard is not as it should be.
    """
    shards = sorted(folder.glob(f"{split}-*.parquet"))
    if not shards:
        raise InputError(f"{folder}: expected crops of the {split} people, got none; run the crops stage")
    return pa.concat_tables([files.read_table(shard, schemas.CROPS, columns) for shard in shards])
