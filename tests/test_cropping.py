"""Cropping one image: pixels, boxes, and images that cannot be opened."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from posernn.data import cropping
from posernn.data.cropping import Annotation, crops_of_image, render
from posernn.data.images import UnusableError, read_image
from posernn.pose import geometry

SETTINGS = {"box": "joints", "padding": 20.0, "keep_aspect": False, "side": 96, "jpeg_quality": 92}


def annotation(joints, center=(np.nan, np.nan), scale=np.nan):
    joints_image = np.full((16, 2), np.nan)
    joints_image[: len(joints)] = joints
    return Annotation(joints_image, np.isfinite(joints_image).all(axis=1), np.array(center, dtype=float), scale)


def picture_with_dots(size, dots, radius):
    """Black, with a smooth white dot around each of the (x, y) in px between pixels, too."""
    y, x = np.mgrid[: size[1], : size[0]]
    light = sum(np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * radius**2)) for u, v in dots)
    return Image.fromarray(np.repeat((255 * np.clip(light, 0, 1)).astype(np.uint8)[..., None], 3, axis=2))


def centroid(crop, near, reach):
    """Where the light around a point of the crop lies, crop px."""
    values = np.asarray(crop, dtype=float)[..., 0]
    y, x = np.mgrid[: values.shape[0], : values.shape[1]]
    values = values * ((abs(x - near[0]) <= reach[0]) & (abs(y - near[1]) <= reach[1]))
    return np.array([(values * x).sum(), (values * y).sum()]) / values.sum()


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((10, 10, 58, 58), id="enlarged"),
        pytest.param((-0.5, -0.5, 95.5, 95.5), id="as it is"),
        pytest.param((3.3, 7.7, 290.1, 310.2), id="shrunk"),
        pytest.param((12.25, 5.5, 300.75, 99.5), id="stretched"),
        pytest.param((-81.3, -62.9, 122.8, 141.2), id="beyond the upper left corner"),
        pytest.param((220.2, 230.4, 420.9, 431.1), id="beyond the lower right corner"),
        pytest.param((-400.5, -300.5, 700.5, 800.5), id="around the whole picture"),
    ],
)
def test_a_dot_at_a_joint_is_found_at_the_joint_of_the_crop(box, subtests):
    box = np.array(box, dtype=float)
    side = 96
    step = (box[2:] - box[:2]) / side  # image px per crop px
    radius = max(2.0, 0.8 * step.max())
    low, high = np.maximum(box[:2], -0.5) + 4 * radius, np.minimum(box[2:], 319.5) - 4 * radius
    for share in ([0.0, 0.0], [1.0, 0.0], [0.33, 0.5], [1.0, 1.0]):
        joint = low + np.array(share) * (high - low)
        crop = render(picture_with_dots((320, 320), [joint], radius), box, side)
        expected = geometry.transform(joint[None], geometry.invert(geometry.crop_to_image(box, side)))[0]
        found = centroid(crop, expected, 5 * radius / step)
        with subtests.test(share=share):
            np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_crop_of_the_boxs_own_size_is_the_picture_itself():
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (80, 90, 3), dtype=np.uint8))
    crop = render(picture, np.array([9.5, 19.5, 41.5, 51.5]), 32)
    np.testing.assert_array_equal(np.asarray(crop), np.asarray(picture)[20:52, 10:42])


def test_crops_are_black_beyond_the_border():
    white = Image.new("RGB", (50, 40), "white")
    crop = np.asarray(render(white, np.array([-50.5, -0.5, 49.5, 99.5]), 50))
    assert (crop[:, :24] == 0).all()
    assert (crop[:19, 26:] == 255).all(), "no dark rim at the top, where the box ends with the image"
    assert (crop[21:] == 0).all()


def test_a_box_around_a_small_picture_needs_little_memory(monkeypatch):
    sizes = []
    cut = Image.Image.crop
    monkeypatch.setattr(Image.Image, "crop", lambda self, box: sizes.append(box) or cut(self, box))
    crop = render(Image.new("RGB", (100, 100), "white"), np.array([-5_000.0, -5_000, 5_000, 5_000]), 64)
    assert np.asarray(crop).sum() > 0
    left, top, right, bottom = sizes[0]
    assert max(right - left, bottom - top) <= 100 + 6 * 10_000 / 64


def test_shrinking_averages_and_skips_no_pixel():
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::8] = 248  # one column of eight: a skipping filter sees all of it or nothing
    crop = np.asarray(render(Image.fromarray(stripes), np.array([-0.5, -0.5, 255.5, 255.5]), 32))
    np.testing.assert_allclose(crop[:, 1:-1], 31, atol=1)


@settings(max_examples=25, deadline=None)
@given(st.floats(-40, 40), st.floats(-40, 40), st.floats(16, 200), st.floats(16, 200))
def test_the_pixels_are_those_of_a_picture_with_a_black_margin(left, top, width, height):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 70, 3), dtype=np.uint8))
    box = np.array([left, top, left + width, top + height])
    margin = 300
    wide = Image.new("RGB", (70 + 2 * margin, 60 + 2 * margin))
    wide.paste(picture, (margin, margin))
    # Crops of boxes within a border do not mix in the black beyond it.
    inside = np.where([*(box[:2] >= -0.5), *(box[2:] <= (69.5, 59.5))], [margin, margin, margin + 70, margin + 60], 0)
    inside[2:] = np.where(inside[2:] == 0, wide.size, inside[2:])
    shown = box + 0.5 + margin - np.tile(inside[:2], 2)
    reference = wide.crop(inside.tolist()).resize((32, 32), cropping.FILTER, box=tuple(shown.tolist()))
    difference = np.abs(np.asarray(render(picture, box, 32), dtype=int) - np.asarray(reference, dtype=int))
    assert difference.max() <= 1


# --- boxes ------------------------------------------------------------------------------------------------------------


def test_each_box_with_each_aspect(tmp_path):
    Image.new("RGB", (300, 200), "white").save(tmp_path / "a.png")
    person = annotation([(100, 50), (140, 150)], center=(120, 90), scale=0.6)
    shown = {}
    for box in ("joints", "person"):
        for keep_aspect in (False, True):
            crop = crops_of_image(tmp_path, "a.png", [person], **SETTINGS | {"box": box, "keep_aspect": keep_aspect})[0]
            corners = np.array([[-0.5, -0.5], [95.5, 95.5]])
            shown[box, keep_aspect] = geometry.transform(corners, crop.crop_to_image).ravel()
    np.testing.assert_allclose(shown["joints", False], [80, 30, 160, 170], atol=1e-9)
    np.testing.assert_allclose(shown["joints", True], [50, 30, 190, 170], atol=1e-9)
    np.testing.assert_allclose(shown["person", False], [45, 24, 195, 174], atol=1e-9)
    np.testing.assert_allclose(shown["person", True], shown["person", False], atol=1e-9)


@pytest.mark.parametrize(
    ("person", "settings", "reason"),
    [
        (annotation([(50, 50)]), {"box": "person"}, "centre or scale is unknown, and the person box needs both"),
        (annotation([(50, 50)], (9000, 9000), 1.0), {"box": "person"}, "the box lies outside of the image"),
        (annotation([(900, 50)]), {}, "the box lies outside of the image"),
        (annotation([(50, 50)]), {"padding": 0.2}, "the box is only 0.4 x 0.4 px"),
        (annotation([(50, 50)], (50, 50), 5000.0), {"box": "person"}, "the box is 1250000 px wide, 16 times the image"),
    ],
)
def test_unusable_boxes_are_rejected_with_a_reason(tmp_path, person, settings, reason):
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    good = annotation([(10, 10), (50, 50)], (50, 50), 0.3)
    first, second = crops_of_image(tmp_path, "a.png", [person, good], **SETTINGS | settings)
    assert isinstance(first, str)
    assert first.startswith(reason)
    assert settings.get("padding") or not isinstance(second, str), "the others in the image have their crop"


# --- images -----------------------------------------------------------------------------------------------------------


def jpeg(**options):
    noise = np.random.default_rng(0).normal(128, 80, (48, 64)).clip(0, 255).astype(np.uint8)  # the same for all modes
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(options.pop("mode", "RGB")).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def png_of_size(width, height):
    """The header of a PNG that claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        ("missing.jpg", None, "the image is missing"),
        ("empty.jpg", b"", "the image cannot be decoded: unknown format"),
        ("text.jpg", b"hello" * 100, "the image cannot be decoded: unknown format"),
        ("half.jpg", jpeg()[:1000], "the image cannot be decoded: "),
        ("bomb.png", png_of_size(60_000, 60_000), "the image is too large to be decoded safely"),
        ("large.png", png_of_size(10_000, 10_000), "the image is too large to be decoded safely"),
        ("vector.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "the image cannot be decoded: unknown"),
        ("a\0b.jpg", None, "the image's name is not a valid file name"),
        ("x" * 300, None, "the image"),
        (".", None, "the image's name leads out of the images folder"),
        ("folder", None, "the image is not a file"),
    ],
)
def test_unreadable_images_have_a_reason(tmp_path, name, contents, reason):
    (tmp_path / "folder").mkdir()
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(UnusableError) as caught:
        read_image(tmp_path, name)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_nothing_outside_of_the_folder_is_opened(tmp_path, monkeypatch):
    images = tmp_path / "images"
    images.mkdir()
    outside = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(outside)
    (images / "circle.png").symlink_to(images / "circle.png")
    monkeypatch.setattr(Image, "open", lambda *args, **kwargs: pytest.fail("opened"))
    for name in ("../secret.png", str(outside), "folder/../../secret.png", ".."):
        with pytest.raises(UnusableError, match="leads out of the images folder; not opened"):
            read_image(images, name)
    with pytest.raises(UnusableError):
        read_image(images, "circle.png")  # a link to itself


def test_a_folder_that_is_a_link_itself_is_fine(tmp_path):
    (tmp_path / "real").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "real" / "a.png")
    (tmp_path / "images").symlink_to(tmp_path / "real")
    assert read_image(tmp_path / "images", "a.png").size == (8, 8)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_grey_and_cmyk_jpegs_become_rgb(tmp_path, mode):
    (tmp_path / "a.jpg").write_bytes(jpeg(mode=mode, quality=95))
    picture = read_image(tmp_path, "a.jpg")
    assert picture.mode == "RGB"
    grey = np.asarray(Image.open(io.BytesIO(jpeg(mode="L"))), dtype=float)
    assert abs(np.asarray(picture, dtype=float).mean() - grey.mean()) < 3


@pytest.mark.parametrize("size", [(804, 600), (801, 603)])
@pytest.mark.parametrize("step", [1.0, 1.9, 2.0, 4.7, 8.3])
def test_a_jpeg_decoded_at_reduced_size_gives_the_same_crop(tmp_path, size, step):
    joint = np.array([415.3, 297.8])
    box = np.concatenate([joint - 0.6 * 64 * step, joint + 0.4 * 64 * step])
    picture = picture_with_dots(size, [joint], 4 * step)
    person = Annotation(box.reshape(2, 2)[[0, 1] * 8], np.ones(16, dtype=bool), np.full(2, np.nan), np.nan)
    crops = {}
    for name in ("whole.png", "shrunk.jpg"):
        picture.save(tmp_path / name, **({"quality": 100} if name == "shrunk.jpg" else {}))
        settings = SETTINGS | {"box": "joints", "padding": 0.0, "keep_aspect": False, "side": 64, "jpeg_quality": 95}
        (crops[name],) = crops_of_image(tmp_path, name, [person], **settings)
    whole, shrunk = (Image.open(io.BytesIO(crop.jpeg)) for crop in crops.values())
    np.testing.assert_array_equal(*(crop.crop_to_image for crop in crops.values()))
    assert np.abs(np.asarray(whole, dtype=float) - np.asarray(shrunk, dtype=float)).mean() < 2
    expected = geometry.transform(joint[None], geometry.invert(crops["whole.png"].crop_to_image))[0]
    for crop in (whole, shrunk):
        np.testing.assert_allclose(centroid(crop, expected, (20, 20)), expected, atol=0.1)


def test_a_large_jpeg_is_not_decoded_whole_for_a_small_crop(tmp_path, monkeypatch):
    Image.new("RGB", (640, 640), (9, 99, 199)).save(tmp_path / "a.jpg")
    sizes = []
    decode = cropping.to_rgb
    monkeypatch.setattr(cropping, "to_rgb", lambda image: sizes.append(image.size) or decode(image))
    for side, extent in ((32, 300.0), (32, 600.0), (224, 600.0), (320, 600.0)):
        joints = np.tile([[300.0 - extent / 2, 300.0 - extent / 2], [300.0 + extent / 2, 300.0 + extent / 2]], (8, 1))
        person = Annotation(joints, np.ones(16, dtype=bool), np.full(2, np.nan), np.nan)
        settings = SETTINGS | {"box": "joints", "padding": 0.0, "keep_aspect": False, "side": side}
        assert not isinstance(crops_of_image(tmp_path, "a.jpg", [person], **settings)[0], str)
    assert sizes == [(80, 80), (80, 80), (320, 320), (640, 640)]

    large, small = (
        Annotation(np.tile([[10.0, 10.0], [10.0 + extent, 10.0 + extent]], (8, 1)), *person[1:])
        for extent in (600, 150)
    )
    crops_of_image(tmp_path, "a.jpg", [large, small], **SETTINGS | settings | {"side": 64})
    assert sizes[-1] == (320, 320), "the smaller person decides"
    wide = Annotation(np.tile([[10.0, 10.0], [610.0, 160.0]], (8, 1)), *person[1:])
    crops_of_image(tmp_path, "a.jpg", [wide], **SETTINGS | settings | {"side": 64})
    assert sizes[-1] == (320, 320), "the shorter side decides"


def test_a_jpeg_narrower_than_a_block_has_its_crop(tmp_path):
    Image.new("RGB", (5, 400), (200, 30, 90)).save(tmp_path / "a.jpg")
    person = Annotation(np.zeros((16, 2)), np.ones(16, dtype=bool), np.array([2.0, 200.0]), 2.0)
    (crop,) = crops_of_image(tmp_path, "a.jpg", [person], **SETTINGS | {"box": "person", "side": 32})
    assert not isinstance(crop, str), crop


def test_a_palette_and_an_alpha_channel_become_rgb(tmp_path):
    colours = Image.new("RGB", (8, 8), (200, 30, 90))
    colours.quantize().save(tmp_path / "palette.png")
    colours.putalpha(0)
    colours.save(tmp_path / "clear.png")
    for name in ("palette.png", "clear.png"):
        picture = read_image(tmp_path, name)
        assert picture.mode == "RGB"
        assert np.abs(np.asarray(picture, dtype=int) - (200, 30, 90)).max() <= 1


def test_an_image_of_one_pixel_is_an_image(tmp_path):
    Image.new("RGB", (1, 1), (200, 30, 90)).save(tmp_path / "a.png")
    person = Annotation(np.zeros((16, 2)), np.ones(16, dtype=bool), np.zeros(2), 0.01)
    (crop,) = crops_of_image(tmp_path, "a.png", [person], **SETTINGS)
    assert np.asarray(Image.open(io.BytesIO(crop.jpeg))).shape == (SETTINGS["side"], SETTINGS["side"], 3)


def test_images_of_16_bits_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(UnusableError, match="expected pixels of 8 bits, got I;16"):
        read_image(tmp_path, "a.png")


def test_an_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    (tmp_path / "a.jpg").write_bytes(jpeg(exif=exif))
    assert read_image(tmp_path, "a.jpg").size == (64, 48)
