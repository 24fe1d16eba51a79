"""Crops that are kept decoded, and crops that are decoded whenever they are needed: the same pictures."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from posernn.data import batches, schemas


@pytest.fixture
def folder(tmp_path):
    """Three shards of crops; colours say who is who."""
    random = np.random.default_rng(0)
    for shard, people in enumerate([range(4), range(4, 9), range(9, 10)]):
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
        read = pa.schema([schemas.CROPS.field(name) for name in rows[0]])  # the columns that are read
        pq.write_table(pa.Table.from_pylist(rows, read), tmp_path / f"train-{shard:05d}.parquet")
    return tmp_path


@pytest.mark.parametrize("limit", [0, 2**40])
def test_crops_come_as_they_were_asked_for(folder, monkeypatch, limit):
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


def test_both_ways_give_the_same(folder, monkeypatch):
    decoded = batches.load(folder, "train")
    monkeypatch.setattr(batches, "DECODED_LIMIT", 0)
    encoded = batches.load(folder, "train")
    assert type(decoded.images.__self__) is not type(encoded.images.__self__)
    who = np.random.default_rng(0).permutation(10)
    assert torch.equal(decoded.images(who), encoded.images(who))
    assert torch.equal(decoded.joints_unit, encoded.joints_unit)
    assert torch.equal(decoded.annotated, encoded.annotated)


def test_joints_are_in_unit_coordinates_and_0_where_they_are_not_known(folder):
    crops = batches.load(folder, "train")
    table = pa.concat_tables([pq.read_table(path) for path in sorted(folder.iterdir())])
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
