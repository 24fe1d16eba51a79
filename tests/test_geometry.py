"""Boxes and affines: round trips, and the positions of edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from posernn.pose.geometry import crop_to_image, invert, joints_box, person_box, square_box, transform

pixels = st.floats(-3000, 3000)
extents = st.floats(1, 8000)
boxes = st.tuples(pixels, pixels, extents, extents).map(lambda v: np.array([v[0], v[1], v[0] + v[2], v[1] + v[3]]))
sides = st.sampled_from([32, 96, 224])
points = arrays(np.float64, (16, 2), elements=pixels)


@given(boxes, sides, points)
def test_image_to_crop_and_back_is_identity(box, side, joints_image):
    affine = crop_to_image(box, side)
    back = transform(transform(joints_image, invert(affine)), affine)
    np.testing.assert_allclose(back, joints_image, atol=0.01, rtol=0)


@given(boxes, sides)
def test_the_edges_of_the_crop_are_the_edges_of_the_box(box, side):
    corners = np.array([[-0.5, -0.5], [side - 0.5, side - 0.5]])
    np.testing.assert_allclose(transform(corners, crop_to_image(box, side)).ravel(), box, atol=1e-6)


def test_a_box_of_the_crops_own_size_moves_and_does_not_scale():
    affine = crop_to_image(np.array([9.5, 19.5, 41.5, 51.5]), 32)
    np.testing.assert_allclose(affine, [[1, 0, 10], [0, 1, 20]])


def test_transform_takes_a_batch_and_keeps_nan():
    joints = np.array([[[1.0, 2.0], [np.nan, np.nan]], [[3.0, 4.0], [5.0, 6.0]]])  # (2, 2, 2)
    affine = np.array([[[2.0, 0, 1], [0, 3, 0]], [[0, 1, 0], [1, 0, -1]]])
    moved = transform(joints, affine)
    np.testing.assert_array_equal(moved, [[[3, 6], [np.nan, np.nan]], [[4, 2], [6, 4]]])


@given(boxes)
def test_the_square_holds_the_box_and_no_more(box):
    square = square_box(box)
    width, height = square[2:] - square[:2]
    assert width == pytest.approx(height)
    assert width == pytest.approx(max(box[2:] - box[:2]))
    assert (square[:2] <= box[:2] + 1e-6).all()
    assert (square[2:] >= box[2:] - 1e-6).all()
    np.testing.assert_allclose(square[:2] + square[2:], box[:2] + box[2:], atol=1e-6)


def test_the_joints_box_is_padded_and_ends_with_the_image():
    joints = np.full((16, 2), np.nan)
    joints[3], joints[7] = (50, 60), (95, 70)
    annotated = np.isfinite(joints).all(axis=1)
    box = joints_box(joints, annotated, padding=20.0, size=(100, 200))
    np.testing.assert_allclose(box, [30, 40, 99.5, 90])


def test_joints_that_are_not_annotated_do_not_widen_the_box():
    joints = np.full((16, 2), 1000.0)
    joints[0] = 10, 10
    annotated = np.arange(16) == 0
    np.testing.assert_allclose(joints_box(joints, annotated, padding=4.0, size=(50, 50)), [6, 6, 14, 14])
    with pytest.raises(ValueError, match="at least one annotated joint"):
        joints_box(joints, np.zeros(16, dtype=bool), padding=4.0, size=(50, 50))


def test_the_person_box_is_a_quarter_taller_than_the_person_and_centred_lower():
    np.testing.assert_allclose(person_box(np.array([100.0, 200.0]), 2.0), [-150, -20, 350, 480])


def test_boxes_without_area_and_singular_affines_are_value_errors():
    with pytest.raises(ValueError, match="expected a box with an area"):
        crop_to_image(np.array([5.0, 5.0, 5.0, 9.0]), 32)
    with pytest.raises(ValueError, match="expected an invertible affine"):
        invert(np.zeros((2, 3)))
