"""Conversion between columns of tables and numpy arrays."""

import numpy as np
import pyarrow as pa
import pytest

from posernn.data import schemas


def test_from_numpy_and_to_numpy_are_inverse():
    joints = np.arange(3 * 32, dtype=np.float32).reshape(3, 16, 2)
    joints[0, 4] = np.nan
    table = pa.table({"joints": schemas.from_numpy(joints, schemas.JOINTS)})
    np.testing.assert_array_equal(schemas.to_numpy(table, "joints"), joints)
    np.testing.assert_array_equal(schemas.to_numpy(table.slice(1, 1), "joints"), joints[1:2])
    both = pa.concat_tables([table, table.slice(2)])
    np.testing.assert_array_equal(schemas.to_numpy(both, "joints"), joints[[0, 1, 2, 2]])
    assert schemas.to_numpy(table.slice(0, 0), "joints").shape == (0, 16, 2)


def test_nulls_become_nan_in_floats_and_an_error_in_flags():
    null = np.array([[False, True], [False, False]])
    floats = schemas.from_numpy(np.ones((2, 2), dtype=np.float32), schemas.XY, null)
    flags = schemas.from_numpy(np.ones((2, 2), dtype=bool), pa.list_(pa.bool_(), 2), null)
    whole = schemas.from_numpy(np.ones((2, 2), dtype=np.float32), schemas.XY, np.array([True, False]))
    table = pa.table({"floats": floats, "flags": flags, "whole": whole, "size": pa.array([None, 2.0], pa.float32())})
    np.testing.assert_array_equal(schemas.to_numpy(table, "floats"), [[1, np.nan], [1, 1]])
    np.testing.assert_array_equal(schemas.to_numpy(table, "whole"), [[np.nan, np.nan], [1, 1]])
    np.testing.assert_array_equal(schemas.to_numpy(table, "size"), [np.nan, 2])
    assert flags.to_pylist() == [[True, None], [True, True]]
    with pytest.raises(ValueError, match="expected no nulls in flags"):
        schemas.to_numpy(table, "flags")
    with pytest.raises(ValueError, match="expected an array of"):
        schemas.from_numpy(np.ones((2, 3)), schemas.XY)
