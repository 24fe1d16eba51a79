import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posernn.data import schemas
from posernn.evaluation import constant, metrics
from posernn.pose import geometry
from posernn.pose.skeleton import FLIP_ORDER, PCKH_GROUPS, Joint


def some_people(seed: int, num: int = 7, missing: float = 0.2):
    """Joints on whole px, as MPII has them; some not annotated, some predicted nowhere, some without a head."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(-5, 300, (num, 16, 2)).astype(np.float64)
    pred = truth + rng.integers(-25, 26, truth.shape)
    annotated = rng.random((num, 16)) > missing
    truth[~annotated] = np.nan
    pred[rng.random((num, 16)) < 0.05] = [np.nan, 3.0]
    pred[rng.random((num, 16)) < 0.05] = [3.0, -np.inf]
    head_size = rng.integers(10, 80, num).astype(np.float64)
    head_size[rng.random(num) < 0.1] = np.nan
    return pred, truth, annotated, head_size


def slow_pckh(pred, truth, annotated, head_size, threshold) -> dict[str, float]:
    """PCKh as one would explain it: person by person, joint by joint."""
    right, scored = [0] * 16, [0] * 16
    for n in range(len(pred)):
        if not head_size[n] > 0:
            continue
        for j in range(16):
            if annotated[n][j]:
                scored[j] += 1
                dx, dy = float(pred[n][j][0] - truth[n][j][0]), float(pred[n][j][1] - truth[n][j][1])
                if math.isfinite(dx) and math.isfinite(dy) and math.hypot(dx, dy) / head_size[n] <= threshold:
                    right[j] += 1
    found = {}
    for name, joints in PCKH_GROUPS.items():
        shares = [right[j] / scored[j] for j in joints if scored[j]]
        found[name] = sum(shares) / len(shares) if shares else math.nan
    pooled = [j for j in range(16) if j not in (Joint.PELVIS, Joint.THORAX)]
    total = sum(scored[j] for j in pooled)
    return found | {"Total": sum(right[j] for j in pooled) / total if total else math.nan}


seeds = st.integers(0, 10_000)


@given(seed=seeds, threshold=st.sampled_from([0.05, 0.1, 0.35, 0.5]))
def test_pckh_is_what_the_plain_definition_gives(seed, threshold):
    people = some_people(seed)
    found = metrics.pckh_groups(metrics.normalized_errors(*people), threshold)
    assert found == pytest.approx(slow_pckh(*people, threshold), nan_ok=True, abs=1e-12)


@given(seed=seeds, factor=st.sampled_from([0.25, 2.0, 64.0]))
def test_pckh_does_not_change_with_the_size_of_the_picture(seed, factor):
    pred, truth, annotated, head_size = some_people(seed)
    scaled = metrics.normalized_errors(pred * factor, truth * factor, annotated, head_size * factor)
    np.testing.assert_array_equal(metrics.normalized_errors(pred, truth, annotated, head_size), scaled)


@given(seed=seeds)
def test_pckh_grows_with_the_threshold(seed):
    curve = metrics.pckh_curve(metrics.normalized_errors(*some_people(seed)))
    assert (np.diff(curve) >= 0).all()
    assert ((curve >= 0) & (curve <= 1)).all()


@given(seed=seeds)
def test_a_mirrored_picture_has_the_same_groups(seed):
    pred, truth, annotated, head_size = some_people(seed)
    order = list(FLIP_ORDER)
    mirror = np.array([-1.0, 1.0])
    flipped = metrics.normalized_errors(
        (pred * mirror)[:, order], (truth * mirror)[:, order], annotated[:, order], head_size
    )
    groups = metrics.pckh_groups(metrics.normalized_errors(pred, truth, annotated, head_size))
    assert metrics.pckh_groups(flipped) == pytest.approx(groups, nan_ok=True)


@given(seed=seeds)
def test_the_curve_holds_total_at_each_threshold(seed):
    errors = metrics.normalized_errors(*some_people(seed))
    one_by_one = [metrics.pckh_total(errors, float(threshold)) for threshold in metrics.THRESHOLDS]
    assert metrics.pckh_curve(errors).tolist() == one_by_one


def test_head_size_is_0_6_of_the_diagonal():
    assert geometry.head_size(np.array([[10.0, 20.0, 40.0, 60.0], [np.nan] * 4])).tolist() == pytest.approx(
        [30.0, math.nan], nan_ok=True
    )


def errors_of(**joints: float) -> np.ndarray:
    """One person with these errors; the other joints are not scored."""
    errors = np.full((1, 16), np.nan)
    for name, value in joints.items():
        errors[0, Joint[name.upper()]] = value
    return errors


@pytest.mark.parametrize(("offset", "threshold"), [(5.0, 0.5), (1.0, 0.1), (3.5, 0.35)])
def test_a_joint_exactly_at_the_threshold_is_right(offset, threshold):
    truth, annotated = np.zeros((1, 16, 2)), np.ones((1, 16), dtype=bool)
    errors = metrics.normalized_errors(truth + np.array([offset, 0.0]), truth, annotated, np.array([10.0]))
    assert metrics.pckh(errors, threshold).tolist() == [1.0] * 16
    assert metrics.pckh(errors, threshold - 1e-9).tolist() == [0.0] * 16


def test_thresholds_are_the_decimals_that_they_look_like():
    assert metrics.THRESHOLDS.tolist() == [float(f"0.{i:02d}") for i in range(51)]


def test_pelvis_and_thorax_are_not_scored_in_total():
    assert metrics.pckh_total(errors_of(left_knee=0.2, pelvis=9.0, thorax=9.0)) == 1.0
    assert math.isnan(metrics.pckh_total(errors_of(pelvis=0.0, thorax=0.0)))


def test_a_group_is_the_mean_of_its_joints_and_total_pools_all():
    errors = np.vstack([errors_of(right_hip=0.1, left_hip=9.0), errors_of(right_hip=0.1), errors_of(right_hip=0.1)])
    groups = metrics.pckh_groups(errors)
    assert groups["Hip"] == 0.5  # (3/3 + 0/1) / 2
    assert groups["Total"] == 0.75  # 3 of 4
    assert math.isnan(groups["Knee"])


def test_head_is_neck_and_top_or_by_name_the_top_alone():
    errors = errors_of(upper_neck=0.1, head_top=9.0)
    assert metrics.pckh_groups(errors)["Head"] == 0.5
    assert metrics.pckh_groups(errors, head="head_top")["Head"] == 0.0
    assert metrics.pckh_groups(errors, head="head_top")["Total"] == 0.5


@pytest.mark.parametrize("nowhere", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_nowhere_is_wrong_and_never_dropped(nowhere):
    truth, annotated = np.zeros((1, 16, 2)), np.ones((1, 16), dtype=bool)
    pred = truth.copy()
    pred[0, Joint.LEFT_WRIST, 1] = nowhere
    errors = metrics.normalized_errors(pred, truth, annotated, np.array([10.0]))
    assert metrics.pckh(errors, 1e6)[Joint.LEFT_WRIST] == 0
    assert metrics.pckh_total(errors) == 13 / 14
    assert metrics.rmse(pred, truth, annotated) == math.inf


def test_people_without_a_scored_joint_are_counted_and_have_no_part():
    pred = np.zeros((4, 16, 2))
    annotated = np.ones((4, 16), dtype=bool)
    annotated[3] = False
    annotated[3, Joint.PELVIS] = True  # is there, but not scored
    errors = metrics.normalized_errors(pred, pred + 30.0, annotated, np.array([10.0, np.nan, 0.0, 10.0]))
    assert metrics.num_without_score(errors) == 3
    assert (~np.isnan(errors)).sum() == 16 + 1
    better = np.where(np.isnan(errors), np.nan, 0.0)
    assert metrics.bootstrap_difference(better, errors, draws=100, seed=0) == (1.0, 1.0, 1.0)


def test_an_annotated_joint_without_a_place_is_refused():
    truth, annotated = np.full((1, 16, 2), np.nan), np.ones((1, 16), dtype=bool)
    with pytest.raises(ValueError, match="expected finite truth for every annotated joint"):
        metrics.normalized_errors(np.zeros((1, 16, 2)), truth, annotated, np.array([10.0]))


def test_nothing_scored_is_nan_not_zero():
    nobody = np.full((3, 16), np.nan)
    assert all(math.isnan(value) for value in metrics.pckh_groups(nobody).values())
    assert np.isnan(metrics.pckh_curve(nobody)).all()
    assert np.isnan(metrics.bootstrap_difference(nobody, nobody, draws=100, seed=0)).all()
    assert math.isnan(metrics.rmse(np.zeros((0, 16, 2)), np.zeros((0, 16, 2)), np.zeros((0, 16), dtype=bool)))


def test_auc_is_over_the_width_of_the_range():
    assert metrics.area_under_curve(np.ones(51)) == pytest.approx(1.0)
    assert metrics.area_under_curve(metrics.THRESHOLDS) == pytest.approx(0.25)
    assert metrics.area_under_curve(np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 3.0])) == pytest.approx(2.5 / 3)


def test_rmse_is_the_root_of_the_mean_squared_distance():
    truth = np.zeros((1, 16, 2))
    annotated = np.zeros((1, 16), dtype=bool)
    annotated[0, [Joint.PELVIS, Joint.HEAD_TOP]] = True
    pred = np.full((1, 16, 2), 1e6)
    pred[0, Joint.PELVIS], pred[0, Joint.HEAD_TOP] = [3.0, 4.0], [0.0, 0.0]
    assert metrics.rmse(pred, truth, annotated) == pytest.approx(math.sqrt(25 / 2))  # not 2.5, nor per coordinate


def test_bootstrap_is_the_one_that_draws_people():
    errors = np.abs(np.random.default_rng(1).normal(0.45, 0.3, (60, 16)))
    errors[:, :6] *= np.random.default_rng(2).uniform(0.2, 2, (60, 1))  # joints of a person go together
    other = errors * np.random.default_rng(3).uniform(0.6, 1.7, (60, 1))
    errors[np.random.default_rng(4).random((60, 16)) < 0.3] = np.nan
    other[np.isnan(errors)] = np.nan
    scored = (~np.isnan(errors))[:, metrics.SCORED_JOINTS].sum(axis=1)
    gained = ((errors <= 0.5).astype(int) - (other <= 0.5))[:, metrics.SCORED_JOINTS].sum(axis=1)
    drawn = np.random.default_rng(5).integers(60, size=(20_000, 60))
    expected = np.quantile(gained[drawn].sum(axis=1) / scored[drawn].sum(axis=1), [0.025, 0.975])

    found = metrics.bootstrap_difference(errors, other, draws=20_000, seed=6)
    assert [found.low, found.high] == pytest.approx(expected.tolist(), abs=0.003)
    assert found.value == pytest.approx(metrics.pckh_total(errors) - metrics.pckh_total(other))
    assert found.high - found.low > 0.05
    assert found == metrics.bootstrap_difference(errors, other, draws=20_000, seed=6)
    assert found != metrics.bootstrap_difference(errors, other, draws=20_000, seed=7)
    mirrored = metrics.bootstrap_difference(other, errors, draws=20_000, seed=6)
    assert mirrored.value == -found.value
    assert [mirrored.high, mirrored.low] == pytest.approx([-found.low, -found.high], abs=0.003)


def test_bootstrap_refuses_scores_of_different_joints():
    with pytest.raises(ValueError, match="scored on the same joints"):
        metrics.bootstrap_difference(errors_of(head_top=0.1), errors_of(left_hip=0.1), draws=100, seed=0)


# --- on the real release ----------------------------------------------------------------------------------------------

REFERENCE_ROWS = {  # Head, Shoulder, Elbow, Wrist, Hip, Knee, Ankle, Total, head top alone, Total @0.10, AUC
    "hg_s2": [96.74, 94.57, 88.12, 83.31, 86.26, 80.88, 77.47, 87.30, 95.80, 23.91, 57.38],
    "tompson": [96.61, 92.71, 83.36, 76.74, 81.93, 73.32, 65.40, 82.32, 95.50, 28.96, 55.76],
}


@pytest.fixture(scope="module")
def single_people(mpii_people):
    """The single-person people with joints, and which of them are in the usual validation list."""
    alone = mpii_people.filter(mpii_people["single_person"])
    return alone.filter(schemas.to_numpy(alone, "annotated").any(axis=1))


@pytest.fixture(scope="module")
def val_rows(single_people, mpii_root: Path) -> np.ndarray:
    keys = list(zip(*(single_people[name].to_pylist() for name in ("image_index", "person_index")), strict=True))
    row_of = {key: row for row, key in enumerate(keys)}
    with (mpii_root / "reference" / "tompson_val.csv").open(newline="") as file:
        return np.array([row_of[int(r["annolist_index"]), int(r["annorect_index"])] for r in csv.DictReader(file)])


@pytest.fixture(scope="module")
def truth(single_people, val_rows):
    columns = ("joints_image", "annotated", "head_size")
    return {name: schemas.to_numpy(single_people, name)[val_rows] for name in columns}


def reference(mpii_root: Path, name: str) -> np.ndarray:
    return np.load(mpii_root / "reference" / f"{name}_predictions.npy").astype(np.float64) - 1  # 1-based there


@pytest.mark.mpii
@pytest.mark.parametrize("name", REFERENCE_ROWS)
def test_reference_predictions_score_their_published_rows(name, mpii_root, truth):
    errors = metrics.normalized_errors(reference(mpii_root, name), **truth)
    found = [
        *metrics.pckh_groups(errors).values(),
        metrics.pckh_groups(errors, head="head_top")["Head"],
        metrics.pckh_total(errors, 0.1),
        metrics.area_under_curve(metrics.pckh_curve(errors)),
    ]
    assert [100 * value for value in found] == pytest.approx(REFERENCE_ROWS[name], abs=0.0051)
    assert truth["annotated"].sum() == 44_240
    assert metrics.num_without_score(errors) == 0


@pytest.mark.mpii
def test_common_mistakes_show_what_they_are_known_to_show(mpii_root, single_people, val_rows, truth):
    """So we know which of the definitions this is: each mistake gives its known figure, not 87.30."""
    pred = reference(mpii_root, "hg_s2")

    def total(**changed) -> float:
        return 100 * metrics.pckh_total(metrics.normalized_errors(pred, **(truth | changed)))

    visible = np.array(single_people["visible"].to_pylist(), dtype=object)[val_rows]
    neck, top = (truth["joints_image"][:, joint].astype(np.float64) for joint in (Joint.UPPER_NECK, Joint.HEAD_TOP))
    errors = metrics.normalized_errors(pred, **truth)
    assert total(head_size=truth["head_size"] / np.float32(0.6)) == pytest.approx(92.96, abs=0.01)
    assert total(head_size=np.linalg.norm(neck - top, axis=1)) == pytest.approx(90.99, abs=0.01)
    assert total(annotated=truth["annotated"] & (visible != False)) == pytest.approx(92.47, abs=0.01)  # noqa: E712
    assert 100 * (errors <= 0.5).sum() / truth["annotated"].sum() == pytest.approx(88.20, abs=0.01)
    assert 100 * (errors <= 0.5)[:, metrics.SCORED_JOINTS].mean() == pytest.approx(81.01, abs=0.01)


@pytest.mark.mpii
@pytest.mark.parametrize(("pose", "expected"), [(constant.mean_pose, 16.4), (constant.median_pose, 17.6)])
def test_a_constant_pose_scores_its_known_figure(pose, expected, single_people, val_rows, truth):
    """The median's is 17.57: nothing is fitted but the average in the coordinates of the `person` box."""
    centers, scales = (schemas.to_numpy(single_people, name) for name in ("center_image", "scale"))
    boxes = [geometry.person_box(center, float(scale)) for center, scale in zip(centers, scales, strict=True)]
    crop_to_image = np.stack([geometry.crop_to_image(box, 1) for box in boxes])
    joints_image = schemas.to_numpy(single_people, "joints_image").astype(np.float64)
    joints_unit = geometry.transform(joints_image, geometry.invert(crop_to_image))
    train = np.delete(np.arange(len(single_people)), val_rows)
    assert len(train) == 22_246
    learned = pose(joints_unit[train], schemas.to_numpy(single_people, "annotated")[train])
    pred = geometry.transform(np.tile(learned, (len(val_rows), 1, 1)), crop_to_image[val_rows])
    assert 100 * metrics.pckh_total(metrics.normalized_errors(pred, **truth)) == pytest.approx(expected, abs=0.05)
