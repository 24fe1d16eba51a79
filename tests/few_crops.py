"""Crops of a few people and the parameters that belong to them, for tests of the stages evaluate and compare."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from small_project import lay_out

from posernn.data import schemas, shards
from posernn.pose import geometry

SIDE = 32
NUM_TRAIN, NUM_VAL = 30, 12

SETTINGS = {
    "synthetic": {"crop_size": SIDE},
    "mpii": {"crop_size": SIDE},
    "crops": {"box": "joints", "padding": 20, "keep_aspect": False},
    "evaluate": {"batch_size": 100, "bootstrap_draws": 200, "seed": 0, "pictures": 1},
}


def write_project(folder: Path) -> None:
    """Write params.yaml, and crops of training and validation people."""
    lay_out(folder, **SETTINGS)
    with shards.replacing(folder / "crops") as write_shard:
        write_shard("train", 0, _crops("train", NUM_TRAIN, seed=0))
        write_shard("val", 0, _crops("val", NUM_VAL, seed=1))


def _crops(split: str, num: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 200, (num, 2))
    affines = np.stack(
        [geometry.crop_to_image(np.concatenate([c, c + rng.uniform(40, 200, 2)]), SIDE) for c in corners]
    )
    annotated = rng.random((num, 16)) > 0.1
    joints_crop = np.where(annotated[..., None], rng.uniform(0, SIDE, (num, 16, 2)), np.nan)
    head_size = rng.uniform(100, 200, num).astype(np.float32)  # so large that some random predictions are correct
    head_size[0] = np.nan
    jpegs = []
    for picture in rng.integers(0, 256, (num, SIDE, SIDE, 3), dtype=np.uint8):
        Image.fromarray(picture).save(buffer := io.BytesIO(), format="JPEG")
        jpegs.append({"bytes": buffer.getvalue(), "path": f"{len(jpegs):09d}.jpg"})
    columns = {
        "image_index": pa.array(range(num), pa.int32()),
        "person_index": pa.array([0] * num, pa.int32()),
        "split": pa.array([split] * num),
        "image": pa.array(jpegs, schemas.CROPS.field("image").type),
        "crop_to_image": schemas.from_numpy(affines.reshape(num, 6), schemas.CROPS.field("crop_to_image").type),
        "joints_crop": schemas.from_numpy(joints_crop.astype(np.float32), schemas.JOINTS),
        "joints_image": schemas.from_numpy(geometry.transform(joints_crop, affines).astype(np.float32), schemas.JOINTS),
        "annotated": schemas.from_numpy(annotated, schemas.FLAGS),
        "head_size": pa.array(head_size, pa.float32(), mask=np.isnan(head_size)),
    }
    return pa.table([columns[name] for name in schemas.CROPS.names], schema=schemas.CROPS)
