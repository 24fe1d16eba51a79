"""Batches: crops kept decoded in memory and crops decoded for each batch are the same."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from posernn.data import batches, schemas, shards


@pytest.fixture
def folder(tmp_path):
    """Give three shards of crops; each crop's colour tells its number."""
    random = np.random.default_rng(0)
    with shards.replacing(tmp_path / "crops") as write_shard:
        for number, people in enumerate([range(4), range(4, 9), range(9, 10)]):
            rows = []
            for person in people:
                jpeg = io.BytesIO()
                Image.new("RGB", (64, 64), (20 * person, 200 - 20 * person, 100)).save(jpeg, "JPEG", quality=95)
                rows.append(
                    {
                        "image": {"bytes": jpeg.getvalue(), "path": f"{person}.jpg"},
                        "joints_crop": random.uniform(0, 64, (16, 2)).tolist(),
                        "annotated": (random.random(16) < 0.8).tolist(),
                    }
                )
            read = pa.schema([schemas.CROPS.field(name) for name in rows[0]])  # the columns that `load` reads
            write_shard("train", number, pa.Table.from_pylist(rows, read))
    return tmp_path / "crops"


@pytest.mark.parametrize("limit", [0, 2**40])
def test_a_batch_has_the_crops_of_its_row_numbers(folder, monkeypatch, limit):
    monkeypatch.setattr(batches, "DECODED_LIMIT", limit)
    steps = []
    crops = batches.load(folder, "train", lambda done, total, note="": steps.append((done, total)))
    images = crops.images(np.array([9, 0, 4, 4]))
    assert images.shape == (4, 3, 64, 64)
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(images[:, 0].float().mean(dim=(1, 2)), [180, 0, 80, 80], atol=2)
    assert steps[-1] == (10, 10)
    assert len(crops) == 10
    assert crops.crop_size == 64


def test_crops_decoded_once_and_crops_decoded_per_batch_are_equal(folder, monkeypatch):
    decoded = batches.load(folder, "train")
    monkeypatch.setattr(batches, "DECODED_LIMIT", 0)
    encoded = batches.load(folder, "train")
    assert type(decoded.images.__self__) is not type(encoded.images.__self__)
    rows = np.random.default_rng(0).permutation(10)
    assert torch.equal(decoded.images(rows), encoded.images(rows))
    assert torch.equal(decoded.joints_unit, encoded.joints_unit)
    assert torch.equal(decoded.annotated, encoded.annotated)


def test_joints_are_in_unit_coordinates_and_0_where_not_annotated(folder):
    crops = batches.load(folder, "train")
    table = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
    joints = schemas.to_numpy(table, "joints_crop") / 64
    np.testing.assert_allclose(crops.joints_unit[crops.annotated], joints[crops.annotated.numpy()], rtol=1e-6)
    assert not crops.joints_unit[~crops.annotated].any()
    assert (~crops.annotated).any()


def test_crops_of_different_sizes_are_refused():
    jpegs = []
    for side in (32, 64):
        jpeg = io.BytesIO()
        Image.new("RGB", (side, side)).save(jpeg, "JPEG")
        jpegs.append(jpeg.getvalue())
    with pytest.raises(ValueError, match=r"expected crops of .*32, 32.* got .*64, 64"):
        batches.decode(jpegs)
    with pytest.raises(ValueError, match="at least one crop"):
        batches.decode([])
