"""Augmentation moves pixels and joints together: a dot drawn at a joint stays at the joint."""

import numpy as np
import pytest
import torch

from posernn.data.augmentation import LUMA, Augmentation, augment, crop_center
from posernn.pose.skeleton import LOWER_BODY, Joint

SIDE = 96
OFF = {"flip": 0.0, "rotation": 0.0, "scale": 0.0, "color": 0.0}


def changed_by(images, joints, annotated, *, seed, **changes):
    amounts = Augmentation(**changes).draw(len(images), np.random.default_rng(seed))
    return augment(images, joints, annotated, amounts)


def dots(joints_crop):
    """Draw a soft dot at one joint: (1, 3, S, S)."""
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    light = np.exp(-((x - joints_crop[0]) ** 2 + (y - joints_crop[1]) ** 2) / (2 * 2.0**2))
    return torch.tensor(255 * light, dtype=torch.float32).expand(1, 3, SIDE, SIDE)


def brightest(image):
    """Find the centre of light: (2,) xy, crop px."""
    weight = image[0].mean(dim=0).double()
    weight = torch.where(weight > 20, weight, 0)
    axis = torch.arange(SIDE, dtype=torch.float64)
    return np.array([(weight.sum(dim=0) @ axis) / weight.sum(), (weight.sum(dim=1) @ axis) / weight.sum()])


@pytest.mark.parametrize(
    "change", [{"flip": 1.0}, {"rotation": 60.0}, {"scale": 0.5}, {"shift": 0.2}, {"half_body": 1.0}]
)
@pytest.mark.parametrize("seed", range(5))
def test_a_dot_in_the_picture_is_found_where_its_joint_went(change, seed):
    where = np.array([36.0, 55.0])
    joints = torch.full((1, 16, 2), 0.5)
    joints[0, :6] = torch.tensor([0.6, 0.3])  # so that both halves of the body are smaller than the crop
    joints[0, Joint.RIGHT_WRIST] = torch.from_numpy(where / SIDE)
    annotated = torch.ones(1, 16, dtype=torch.bool)
    images, moved, _ = changed_by(dots(where), joints, annotated, **OFF | change, seed=seed)
    now = Joint.LEFT_WRIST if "flip" in change else Joint.RIGHT_WRIST
    np.testing.assert_allclose(brightest(images), moved[0, now].numpy() * SIDE, atol=0.1)
    assert np.abs(brightest(images) - where).max() > 0.2  # it did move


def test_two_flips_are_the_identity():
    torch.manual_seed(0)
    images, joints, annotated = torch.rand(3, 3, SIDE, SIDE) * 255, torch.rand(3, 16, 2), torch.rand(3, 16) < 0.5
    once = changed_by(images, joints, annotated, **OFF | {"flip": 1.0}, seed=0)
    assert not torch.equal(once[2], annotated)  # flags change names too
    twice = changed_by(*once, **OFF | {"flip": 1.0}, seed=0)
    for before, after in zip((images, joints, annotated), twice, strict=True):
        torch.testing.assert_close(after, before, atol=0.01, rtol=0)  # grey levels, of 255


def test_a_flip_mirrors_the_picture_exactly():
    image = torch.rand(1, 3, SIDE, SIDE) * 255
    joints, annotated = torch.rand(1, 16, 2), torch.ones(1, 16, dtype=torch.bool)
    flipped, _, _ = changed_by(image, joints, annotated, **OFF | {"flip": 1.0}, seed=0)
    torch.testing.assert_close(flipped, image.flip(3), atol=0.01, rtol=0)  # grey levels, of 255


def test_each_person_gets_an_amount_of_its_own():
    images = dots([30.0, 30.0]).expand(8, 3, SIDE, SIDE)
    joints, annotated = torch.rand(1, 16, 2).expand(8, 16, 2), torch.ones(8, 16, dtype=torch.bool)
    _, moved, _ = changed_by(images, joints, annotated, **OFF | {"rotation": 30.0}, seed=0)
    assert len(torch.unique(moved[:, 0, 0])) == 8


def spans(amounts, low, high):
    """Whether amounts fill a range and do not leave it."""
    tolerance = 0.002 * (high - low)
    within = low - tolerance <= amounts.min() and amounts.max() <= high + tolerance
    return within and amounts.min() < low + 0.1 * (high - low) and amounts.max() > high - 0.1 * (high - low)


def test_scales_fill_the_range_and_shrink_as_often_as_they_enlarge():
    joints = torch.zeros(400, 16, 2)
    images, annotated = torch.zeros(400, 3, 4, 4), torch.ones(400, 16, dtype=torch.bool)
    _, moved, _ = changed_by(images, joints, annotated, **OFF | {"scale": 0.5}, seed=0)
    center = (4 - 1) / 2 / 4
    sizes = (center - moved[:, 0, 0]) / center
    assert spans(sizes, 1 / 1.5, 1.5)
    assert (sizes > 1).float().mean() == pytest.approx(0.5, abs=0.08)


def test_angles_fill_the_range_either_way():
    joints = torch.tensor([0.875, 0.375]).expand(400, 16, 2)  # right of the centre
    images, annotated = torch.zeros(400, 3, 4, 4), torch.ones(400, 16, dtype=torch.bool)
    _, moved, _ = changed_by(images, joints, annotated, **OFF | {"rotation": 40.0}, seed=0)
    x, y = (moved[:, 0] - (4 - 1) / 2 / 4).T
    assert spans(torch.rad2deg(torch.atan2(y, x)), -40, 40)


def test_brightness_contrast_and_saturation_change_by_up_to_that_share():
    torch.manual_seed(0)
    images = 90 + 60 * torch.rand(400, 3, 8, 8)
    joints, annotated = torch.rand(400, 16, 2), torch.ones(400, 16, dtype=torch.bool)
    changed, _, _ = changed_by(images, joints, annotated, **OFF | {"color": 0.3}, seed=0)

    def measured(pictures):
        grey = (pictures * torch.tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
        return grey.mean(dim=(1, 2, 3)), grey.flatten(1).std(dim=1), (pictures - grey).flatten(1).norm(dim=1)

    (light, spread, chroma), (old_light, old_spread, old_chroma) = measured(changed), measured(images)
    brightness = light / old_light
    contrast = spread / old_spread / brightness
    saturation = chroma / old_chroma / brightness / contrast
    assert spans(brightness, 0.7, 1.3)
    assert spans(contrast, 0.7, 1.3)
    assert spans(saturation, 0.7, 1.3)


def test_color_moves_no_joint_and_stays_within_a_pixels_range():
    images = torch.rand(4, 3, SIDE, SIDE) * 255
    joints, annotated = torch.rand(4, 16, 2), torch.ones(4, 16, dtype=torch.bool)
    changed, moved, _ = changed_by(images, joints, annotated, **OFF | {"color": 0.4}, seed=0)
    assert torch.equal(moved, joints)
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert (changed - images).abs().mean(dim=(1, 2, 3)).min() > 1


def test_without_augmentation_nothing_changes_and_inputs_are_never_modified():
    images, joints, annotated = torch.rand(2, 3, SIDE, SIDE), torch.rand(2, 16, 2), torch.ones(2, 16, dtype=torch.bool)
    copies = images.clone(), joints.clone(), annotated.clone()
    same = changed_by(images, joints, annotated, **OFF, seed=0)
    changed_by(images, joints, annotated, flip=1.0, rotation=9.0, scale=0.2, color=0.3, seed=0)
    for given, kept, got in zip((images, joints, annotated), copies, same, strict=True):
        assert torch.equal(given, kept)
        assert torch.equal(got, kept)


def test_shifts_fill_the_range_along_both_axes():
    joints, annotated = torch.full((400, 16, 2), 0.5), torch.ones(400, 16, dtype=torch.bool)
    _, moved, _ = changed_by(torch.zeros(400, 3, 4, 4), joints, annotated, shift=0.2, seed=0)
    assert spans(moved[:, 0, 0] - 0.5, -0.2, 0.2)
    assert spans(moved[:, 0, 1] - 0.5, -0.2, 0.2)


def test_a_border_shows_the_picture_where_a_rotated_crop_would_be_black():
    border = 24
    large = torch.full((3, 3, SIDE + 2 * border, SIDE + 2 * border), 200.0)
    joints, annotated = torch.rand(3, 16, 2), torch.ones(3, 16, dtype=torch.bool)
    amounts = Augmentation(rotation=45.0).draw(3, np.random.default_rng(0))
    with_border, moved, _ = augment(large, joints, annotated, amounts, border)
    without, same, _ = augment(crop_center(large, SIDE), joints, annotated, amounts)
    assert with_border.shape == without.shape == (3, 3, SIDE, SIDE)
    torch.testing.assert_close(moved, same)
    assert with_border.min() > 199
    assert without.min() == 0


def test_a_border_moves_no_pixel_of_the_crop():
    torch.manual_seed(0)
    large = torch.rand(2, 3, SIDE + 20, SIDE + 20) * 255
    joints, annotated = torch.rand(2, 16, 2), torch.ones(2, 16, dtype=torch.bool)
    amounts = Augmentation(rotation=10.0, shift=0.02).draw(2, np.random.default_rng(0))
    inner = (slice(None), slice(None), slice(20, -20), slice(20, -20))  # pixels that the rotated border does not reach
    with_border, without = (
        augment(large, joints, annotated, amounts, 10)[0],
        augment(large[..., 10:-10, 10:-10], joints, annotated, amounts)[0],
    )
    torch.testing.assert_close(with_border[inner], without[inner], atol=0.01, rtol=0)
    untouched = augment(large, joints, annotated, Augmentation().draw(2, np.random.default_rng(0)), 10)[0]
    assert torch.equal(untouched, large[..., 10:-10, 10:-10])


def test_half_a_body_fills_more_of_the_crop_and_is_in_its_middle():
    joints = torch.rand(200, 16, 2) * 0.2 + torch.tensor([0.4, 0.2])
    joints[:, list(LOWER_BODY)] += torch.tensor([0.0, 0.4])
    _, moved, _ = changed_by(
        torch.zeros(200, 3, 8, 8), joints, torch.ones(200, 16, dtype=torch.bool), half_body=1.0, seed=0
    )
    upper = [joint for joint in range(16) if joint not in LOWER_BODY]
    for half in (list(LOWER_BODY), upper):
        part = moved[:, half]
        middle = (part.amin(dim=1) + part.amax(dim=1)) / 2
        chosen = ((middle - 3.5 / 8).abs() < 1e-4).all(dim=1)
        assert 60 < chosen.sum() < 140  # each half as often as the other
        before = joints[:, half]
        zoom = ((part.amax(dim=1) - part.amin(dim=1)) / (before.amax(dim=1) - before.amin(dim=1)))[chosen]
        torch.testing.assert_close(zoom, torch.full_like(zoom, 2.0))  # the largest


def test_a_body_with_two_joints_in_a_half_is_not_zoomed_into():
    joints, annotated = torch.rand(9, 16, 2), torch.zeros(9, 16, dtype=torch.bool)
    annotated[:, [Joint.RIGHT_KNEE, Joint.LEFT_KNEE, Joint.HEAD_TOP]] = True
    _, moved, _ = changed_by(torch.zeros(9, 3, 8, 8), joints, annotated, half_body=1.0, seed=0)
    torch.testing.assert_close(moved, joints)


def test_erased_squares_have_one_colour_each_and_joints_stay():
    joints, annotated = torch.rand(60, 16, 2), torch.ones(60, 16, dtype=torch.bool)
    images = torch.full((60, 3, SIDE, SIDE), 7.0)
    changed, moved, _ = changed_by(images, joints, annotated, erase=0.5, seed=0)
    assert torch.equal(moved, joints)
    erased = (changed != 7.0).any(dim=1).flatten(1).float().mean(dim=1)  # share of each crop
    assert 0.1 < (erased == 0).float().mean() < 0.4  # neither of two squares: a quarter
    assert erased[erased > 0].min() > 0.05**2
    assert erased.max() < 2 * 0.32**2
    colors = [len(torch.unique(image.flatten(1).T, dim=0)) for image in changed]
    assert max(colors) == 3  # the crop's own, and two squares


def test_a_part_of_a_batch_is_augmented_as_in_the_whole_batch():
    """Each rank of a training augments its part of the batch."""
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (7, 3, 32, 32), dtype=np.uint8))
    joints = torch.from_numpy(random.random((7, 16, 2), dtype=np.float32))
    annotated = torch.from_numpy(random.random((7, 16)) < 0.8)
    amounts = Augmentation(0.5, 30.0, 0.3, 0.3, shift=0.1, half_body=0.5, erase=0.5).draw(7, random)
    whole = augment(images, joints, annotated, amounts)
    part = slice(1, None, 3)
    for of_part, of_whole in zip(
        augment(images[part], joints[part], annotated[part], amounts.of(part)), whole, strict=True
    ):
        torch.testing.assert_close(of_part, of_whole[part])
