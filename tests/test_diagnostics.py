import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posernn.evaluation import constant, diagnostics


def some_joints(num: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(32, 10, (num, 16, 2)), rng.random((num, 16)) > 0.3


def test_spread_is_0_for_a_constant_pose_1_for_the_truth_and_scales_in_between():
    truth, annotated = some_joints()
    constant_pose = np.tile(truth[:1], (len(truth), 1, 1))
    assert diagnostics.spread_ratio(constant_pose, truth, annotated) == pytest.approx(np.zeros(16), abs=1e-9)
    assert diagnostics.spread_ratio(truth, truth, annotated) == pytest.approx(np.ones(16))
    assert diagnostics.spread_ratio(7 + 0.3 * truth, truth, annotated) == pytest.approx(np.full(16, 0.3))


def test_spread_counts_x_and_y_and_only_people_in_whom_the_joint_is_annotated():
    truth, annotated = some_joints()
    truth[~annotated] = np.nan
    pred = np.where(annotated[..., None], truth, 1e9)  # far off where nothing is known
    pred[..., 0] = 0.0  # x does not move: what is left is y's part
    known = annotated[:, 3]
    x, y = truth[known, 3].var(axis=0)
    assert diagnostics.spread_ratio(pred, truth, annotated)[3] == pytest.approx(np.sqrt(y / (x + y)))


def test_spread_is_nan_where_it_cannot_be_known():
    truth, annotated = some_joints()
    annotated[:, 0] = False
    annotated[:, 1] = np.arange(len(truth)) == 4  # one person only
    truth[:, 2] = 5.0  # all at one place
    pred = truth.copy()
    pred[7, 5] = np.nan
    ratios = diagnostics.spread_ratio(pred, truth, annotated)
    assert np.isnan(ratios[:3]).all()
    assert ratios[3:] == pytest.approx(np.ones(13))


@given(num=st.integers(2, 200), seed=st.integers(0, 1000))
def test_everybody_gets_somebody_elses_crop_and_each_is_used_once(num, seed):
    other = diagnostics.somebody_else(num, seed)
    assert sorted(other.tolist()) == list(range(num))
    assert (other != np.arange(num)).all()
    np.testing.assert_array_equal(other, diagnostics.somebody_else(num, seed))


def test_who_is_alone_has_nobody_to_swap_with():
    with pytest.raises(ValueError, match="expected at least 2 people, got 1"):
        diagnostics.somebody_else(1, 0)


def test_joint_errors_by_hand():
    errors = np.full((4, 16), np.nan)
    errors[:, 0] = [0.1, 0.3, 0.8, np.nan]
    errors[:, 1] = [0.2, 0.4, np.inf, np.inf]
    found = diagnostics.joint_errors(errors)
    assert found.num_scored[:3].tolist() == [3, 4, 0]
    assert found.median[:2].tolist() == [0.3, 0.4]
    assert found.mean[:2].tolist() == pytest.approx([0.4, np.inf])
    assert found.pckh[:2].tolist() == pytest.approx([2 / 3, 0.5])
    assert np.isnan([found.median[2], found.mean[2], found.pckh[2]]).all()


def test_constant_poses_are_averages_over_annotated_joints_alone():
    joints = np.zeros((3, 16, 2), dtype=np.float32)
    joints[:, 0] = [[1, 10], [2, 20], [9, 90]]
    joints[:, 1] = [[1, 10], [np.nan, np.nan], [3, 30]]
    annotated = ~np.isnan(joints[..., 0])
    annotated[:, 2] = False
    mean, median = constant.mean_pose(joints, annotated), constant.median_pose(joints, annotated)
    assert mean[:2].tolist() == [[4.0, 40.0], [2.0, 20.0]]
    assert median[:2].tolist() == [[2.0, 20.0], [2.0, 20.0]]
    assert np.isnan(mean[2]).all()
    assert np.isnan(median[2]).all()
