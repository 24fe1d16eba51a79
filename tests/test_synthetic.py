"""Rendered people: the picture, the ground truth and the annotation file agree."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat

from posernn.data import mpii
from posernn.data.synthetic import ANNOTATION_FILE, draw_image, synthesize
from posernn.data.synthetic.annotation import HEAD_SHARE, annotate, head_box
from posernn.data.synthetic.body import draw_body, pose_body
from posernn.data.synthetic.camera import Camera, aim
from posernn.data.synthetic.clothes import draw_outfit, flat
from posernn.data.synthetic.cones import NOBODY, RoundCone
from posernn.data.synthetic.figure import figure
from posernn.data.synthetic.limbs import arm_cones
from posernn.data.synthetic.planning import PART_OCCLUSION, ROTATIONS, plan_release
from posernn.data.synthetic.poses import ACTIVITIES, LIMITS, SIDES, draw_pose, perturb_pose
from posernn.data.synthetic.release import mat_bytes
from posernn.data.synthetic.rendering import Canvas, Light, draw
from posernn.data.synthetic.scenes import render_image
from posernn.pose.skeleton import NUM_JOINTS, Joint
from posernn.runtime.errors import InputError

NUM_PEOPLE, SEED = 24, 3
SIZE = (240, 320)  # width, height, px
GREY = 120
EVEN_LIGHT = Light(direction=np.array([0.0, 0.0, -1.0]), lamp=np.zeros(3), ambient=np.ones(3))
MAN_WITH_ARMS_OUT = {"left_shoulder_abduction": 80.0, "right_shoulder_abduction": 80.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        synthesize(folder, num_people=NUM_PEOPLE, seed=SEED, executor=executor)
    return folder


@pytest.fixture(scope="module")
def release(root):
    return loadmat(root / ANNOTATION_FILE)["RELEASE"][0, 0]


@pytest.fixture(scope="module")
def rectangles(release):
    """All elements of `annorect` that are structs, each with its fields."""
    structs = [image["annorect"] for image in release["annolist"][0] if image["annorect"].dtype.names]
    return [rectangle for struct in structs for rectangle in struct[0]]


@pytest.fixture(scope="module")
def points(rectangles):
    people = [one for one in rectangles if "annopoints" in one.dtype.names and one["annopoints"].size]
    return [person["annopoints"]["point"][0, 0][0] for person in people]


def photograph(facing: float = 0.0, angles=(), things=(), **clothes):
    """One man on grey, arms out, seen from 5 m; the canvas, the camera, the posed body, the body and the surfaces."""
    rng = np.random.default_rng(0)
    body, pose = draw_body(rng), draw_pose(rng, "stand")
    pose = replace(pose, angles=dict.fromkeys(LIMITS, 0.0) | MAN_WITH_ARMS_OUT | dict(angles), lean=0.0, tilt=0.0,
                   facing=facing)  # fmt: skip
    outfit = replace(draw_outfit(rng, False), **{"hair_style": "short", "beard": False} | clothes)
    posed = pose_body(body, pose)
    middle = posed.joints.mean(axis=0)
    camera = aim(middle, (SIZE[0] / 2, SIZE[1] / 2), depth=5.0, above=0.0, roll=0.0, focal=500.0, size=SIZE)
    canvas = Canvas.over(np.full((SIZE[1], SIZE[0], 3), GREY, dtype=np.uint8))
    draw(canvas, [*figure(body, posed, outfit, 0), *things], camera, EVEN_LIGHT)
    return canvas, camera, posed, body, outfit


def along_the_axes(focal, size):
    """Return a camera whose axes are those of the world."""
    return Camera(np.eye(3), np.zeros(3), focal, size, size)


def ground_truth(canvas, camera, posed, body):
    return annotate(canvas, camera, posed, body, 0, np.random.default_rng(0))


# --- the renderer -----------------------------------------------------------------------------------------------------


def test_a_ball_covers_the_disc_and_the_depth_that_geometry_says():
    canvas = Canvas.over(np.zeros((101, 101, 3), dtype=np.uint8))
    centre, radius = np.array([0.0, 0.0, 4.0]), 0.8
    ball = RoundCone(start=centre, end=centre + np.array([0, 1e-4, 0]), start_radius=radius, end_radius=radius, owner=5,
                     front=np.array([0.0, 0.0, 1.0]), paint=flat(np.ones(3)))  # fmt: skip
    draw(canvas, [ball], along_the_axes(200.0, 101), EVEN_LIGHT)
    assert canvas.depth[50, 50] == pytest.approx(4.0 - radius, abs=1e-3)
    seen_radius = 200 * np.tan(np.arcsin(radius / 4.0))
    assert np.sqrt((canvas.owner == 5).sum() / np.pi) == pytest.approx(seen_radius, rel=0.01)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_round_cone_is_the_union_of_the_spheres_between_its_ends(seed):
    rng = np.random.default_rng(seed)
    start, end = rng.uniform(-0.5, 0.5, (2, 3)) + np.array([0, 0, 4])
    radii = rng.uniform(0.05, 0.2, 2)
    whole, spheres = (Canvas.over(np.zeros((60, 60, 3), dtype=np.uint8)) for _ in range(2))
    paint, front = flat(np.ones(3)), rng.normal(size=3)
    cone = RoundCone(
        start=start, end=end, start_radius=radii[0], end_radius=radii[1], front=front, paint=paint, owner=1
    )
    camera = along_the_axes(100.0, 60)
    draw(whole, [cone], camera, EVEN_LIGHT)
    for share in np.linspace(0, 1, 40):
        centre, radius = start + share * (end - start), float(radii[0] + share * (radii[1] - radii[0]))
        ball = replace(cone, start=centre, end=centre + [0, 1e-5, 0], start_radius=radius, end_radius=radius)  # noqa: RUF005
        draw(spheres, [ball], camera, EVEN_LIGHT)
    differing = (whole.owner != spheres.owner).sum()
    both = (whole.owner == 1) & (spheres.owner == 1)
    assert differing <= 0.03 * both.sum() + 6  # rim pixels between two of the spheres
    assert np.abs(whole.depth[both] - spheres.depth[both]).max() < 0.05


def ball_at(x, z, radius, **fields):
    centre = np.array([x, 0.0, z])
    fields = {"owner": 1, "front": np.array([0.0, 0.0, 1.0]), "paint": flat(np.ones(3))} | fields
    return RoundCone(
        start=centre, end=centre + np.array([0, 1e-4, 0]), start_radius=radius, end_radius=radius, **fields
    )


def drawn(*cones, light=EVEN_LIGHT):
    """Render cones on black, 60 x 60 px, with a camera along the axes of 100 px focal length."""
    canvas = Canvas.over(np.zeros((60, 60, 3), dtype=np.uint8))
    draw(canvas, list(cones), along_the_axes(100.0, 60), light)
    return canvas


def test_the_nearer_surface_is_seen_whatever_the_drawing_order():
    near = ball_at(-0.1, 3.0, 0.3, owner=1, paint=flat(np.array([0.8, 0.0, 0.0])))
    far = ball_at(0.1, 5.0, 0.8, owner=2, paint=flat(np.array([0.0, 0.0, 0.8])))
    canvas = drawn(near, far)
    assert {1, 2} < set(np.unique(canvas.owner))
    assert canvas.owner[30, 27] == 1
    assert (canvas.colour[canvas.owner == 1].argmax(axis=1) == 0).all()
    assert (canvas.colour[canvas.owner == 2].argmax(axis=1) == 2).all()
    for again in (drawn(far, near), drawn(far)):
        draw(again, [near], along_the_axes(100.0, 60), EVEN_LIGHT)
        np.testing.assert_array_equal(again.colour, canvas.colour)


@pytest.mark.parametrize("length", [1e-4, 8.0])
def test_light_falls_off_with_the_cosine_of_its_angle(length):
    lamp_on_the_right = Light(direction=np.array([1.0, 0.0, 0.0]), lamp=np.ones(3), ambient=np.zeros(3))
    pillar = ball_at(0.0, 50.0, 10.0, paint=lambda points, share: np.ones_like(points))
    half = np.array([0.0, length / 2, 0.0])
    pillar = replace(pillar, start=pillar.start - half, end=pillar.start + half)
    canvas = drawn(pillar, light=lamp_on_the_right)
    columns = np.arange(32, 46)
    across = (columns - 29.5) / 100 * canvas.depth[30, columns]
    assert canvas.colour[30, columns, 0] == pytest.approx(255 * across / 10.0, abs=2)  # normal's x = lamp's cosine
    assert (canvas.colour[30, 10:29] == 0).all()


def test_an_open_end_is_cut_off_straight():
    start, end = np.array([-0.5, 0.0, 4.0]), np.array([0.3, 0.0, 4.0])
    shirt = RoundCone(start=start, end=end, start_radius=0.2, end_radius=0.2, owner=1, front=np.array([0.0, 0.0, 1.0]),
                      paint=flat(np.ones(3)))  # fmt: skip
    last = {open_end: np.flatnonzero((drawn(replace(shirt, open_end=open_end)).owner == 1).any(axis=0)).max()
            for open_end in (True, False)}  # fmt: skip
    assert last[True] == pytest.approx(29.5 + 100 * 0.3 / 3.8, abs=1)
    assert last[False] > last[True] + 3


def test_a_cone_with_one_end_inside_the_other_is_the_larger_ball():
    big = ball_at(0.2, 4.0, 0.5)
    swallowed = replace(big, start=big.start - [0.1, 0, 0], start_radius=0.2, end=big.start, end_radius=0.5)
    one, other = drawn(big), drawn(swallowed)
    both = (one.owner == 1) & (other.owner == 1)
    assert (one.owner != other.owner).sum() <= 2 < both.sum()  # of the rim
    assert np.abs(one.depth[both] - other.depth[both]).max() < 5e-3


def test_cones_too_close_to_the_camera_are_not_drawn():
    assert (drawn(ball_at(0.0, 0.25, 0.05)).owner == 1).any()
    assert (drawn(ball_at(0.0, 0.19, 0.05)).owner == NOBODY).all()  # not even its rim, which is far enough


def test_paint_receives_metres_from_the_start_of_the_cone():
    told = []

    def paint(points, share):
        told.append(points)
        return np.ones_like(points)

    drawn(ball_at(0.0, 5.0, 0.5, stretch=(2.0, 1.0), paint=paint))
    left, _, front = np.abs(told[0]).max(axis=1)
    assert left == pytest.approx(1.0, abs=0.06)  # a pixel is 5 cm there
    assert front == pytest.approx(0.5, abs=0.01)


def test_aim_puts_a_point_at_its_pixel_and_depth():
    point = np.array([0.3, 1.1, -0.2])
    camera = aim(point, (200.0, 90.0), depth=4.0, above=0.7, roll=5.0, focal=500.0, size=(640, 360))
    assert camera.project(point[None])[0] == pytest.approx((200.0, 90.0))
    assert camera.to_camera(point[None])[0, 2] == pytest.approx(4.0)
    ground = camera.ground_at(400.0, 6.0)
    assert ground[1] == pytest.approx(0.0, abs=1e-9)
    assert camera.project(ground[None])[0, 0] == pytest.approx(400.0)


# --- people -----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(ACTIVITIES)), st.integers(0, 2**32 - 1))
def test_poses_stay_within_anatomical_limits(activity, seed):
    rng = np.random.default_rng(seed)
    for pose in (draw_pose(rng, activity), perturb_pose(draw_pose(rng, activity), 30.0, rng)):
        assert set(pose.angles) == set(LIMITS)
        for name, (low, high) in LIMITS.items():
            assert low <= pose.angles[name] <= high, name


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_joints_in_space_have_the_lengths_and_angles_of_body_and_pose(seed):
    rng = np.random.default_rng(seed)
    body, pose = draw_body(rng), draw_pose(rng)
    joints = pose_body(body, pose).joints
    for side in SIDES:
        shoulder, elbow, wrist, hip, knee, ankle = (
            joints[Joint[f"{side.upper()}_{name}"]] for name in ("SHOULDER", "ELBOW", "WRIST", "HIP", "KNEE", "ANKLE")
        )
        for start, bend, end, lengths, name in (
            (shoulder, elbow, wrist, (body.upper_arm, body.forearm), "elbow"),
            (hip, knee, ankle, (body.thigh, body.shank), "knee"),
        ):
            upper, lower = bend - start, end - bend
            assert np.linalg.norm(upper) == pytest.approx(lengths[0] * body.height)
            assert np.linalg.norm(lower) == pytest.approx(lengths[1] * body.height)
            cosine = upper @ lower / np.linalg.norm(upper) / np.linalg.norm(lower)
            flexion = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
            assert flexion == pytest.approx(pose.angles[f"{side}_{name}_flexion"], abs=1e-3)
    assert joints[Joint.PELVIS] == pytest.approx((joints[Joint.RIGHT_HIP] + joints[Joint.LEFT_HIP]) / 2)
    assert joints[Joint.THORAX] == pytest.approx((joints[Joint.RIGHT_SHOULDER] + joints[Joint.LEFT_SHOULDER]) / 2)


def test_elbows_bend_forward_and_knees_backward():
    for side in SIDES:
        bent = {f"{side}_elbow_flexion": 90.0, f"{side}_knee_flexion": 90.0, f"{side}_shoulder_abduction": 0.0}
        _, _, posed, _, _ = photograph(angles=bent)
        part = lambda name, side=side, posed=posed: posed.joints[Joint[f"{side.upper()}_{name}"]]  # noqa: E731
        assert (part("WRIST") - part("ELBOW"))[2] > 0.2  # z points towards the camera, which the man faces
        assert (part("ANKLE") - part("KNEE"))[2] < -0.3


# --- the picture agrees with the ground truth ------------------------------------------------------------------------


@pytest.mark.parametrize("facing", [0.0, 50.0, 90.0, 180.0, 250.0])
def test_visible_joints_lie_on_the_person(facing):
    canvas, camera, posed, body, _ = photograph(facing)
    person = ground_truth(canvas, camera, posed, body)
    assert person.annotated.all()
    columns, rows = np.round(person.joints_image).astype(int).T
    on_body = canvas.owner[rows, columns] == 0
    on_body[Joint.HEAD_TOP] |= canvas.owner[rows[Joint.HEAD_TOP] + 2, columns[Joint.HEAD_TOP]] == 0  # it is the rim
    assert on_body[person.visible].all()


@pytest.mark.parametrize(("facing", "left_is_on"), [(0.0, "right"), (180.0, "left")])
def test_the_left_hand_is_drawn_where_the_left_wrist_is(facing, left_is_on):
    canvas, camera, posed, body, outfit = photograph(facing)
    person = ground_truth(canvas, camera, posed, body)
    nearer = 0.01 * camera.rotation[2]
    arm = arm_cones(body, posed.bones, outfit, 7, "left")
    draw(canvas, [replace(cone, start=cone.start - nearer, end=cone.end - nearer) for cone in arm], camera, EVEN_LIGHT)
    left, right = (np.round(person.joints_image[joint]).astype(int) for joint in (Joint.LEFT_WRIST, Joint.RIGHT_WRIST))
    assert canvas.owner[left[1], left[0]] == 7
    assert canvas.owner[right[1], right[0]] == 0
    assert (left[0] > right[0]) == (left_is_on == "right")


def test_a_face_is_seen_from_the_front_only():
    def num_eye_pixels(facing):
        cloth = replace(draw_outfit(np.random.default_rng(0), False).bottom, colour=np.zeros(3), second=np.zeros(3))
        canvas, *_ = photograph(facing, skin=np.array([0.3, 0.2, 0.1]), hair=np.array([0.1, 0.0, 0.0]), top=cloth,
                                bottom=cloth, shoe=np.zeros(3), sole=np.zeros(3))  # fmt: skip
        return int((canvas.colour.min(axis=2) > 0.6 * 255).sum())

    assert num_eye_pixels(0.0) > num_eye_pixels(90.0) >= 0
    assert num_eye_pixels(180.0) == 0


def test_an_object_in_front_occludes_only_the_joint_behind_it():
    _, camera, posed, body, _ = photograph()
    wrist = posed.joints[Joint.LEFT_WRIST]
    toward = (camera.position - wrist) / np.linalg.norm(camera.position - wrist)
    ball = RoundCone(start=wrist + toward, end=wrist + toward + [0, 1e-3, 0], start_radius=0.05, end_radius=0.05,
                     front=np.array([0.0, 0.0, 1.0]), paint=flat(np.ones(3)), owner=NOBODY)  # fmt: skip
    free = ground_truth(*photograph()[:4])
    canvas, *_ = photograph(things=[ball])
    covered = ground_truth(canvas, camera, posed, body)
    assert free.visible.all()
    assert np.flatnonzero(~covered.visible).tolist() == [Joint.LEFT_WRIST]


def test_the_far_side_of_a_person_seen_from_the_side_is_occluded():
    hanging = dict.fromkeys(MAN_WITH_ARMS_OUT, 0.0)
    person = ground_truth(*photograph(90.0, hanging)[:4])  # faces the picture's right: the right side is near
    assert person.visible[[Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW, Joint.RIGHT_HIP]].all()
    assert not person.visible[[Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_HIP]].any()


def test_scale_is_the_standing_height_over_200_px():
    person = ground_truth(*photograph(angles=dict.fromkeys(MAN_WITH_ARMS_OUT, 0.0))[:4])
    lowest = person.joints_image[[Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE], 1].max()
    head_to_ankle = lowest - person.joints_image[Joint.HEAD_TOP, 1]
    assert person.scale * 200 == pytest.approx(head_to_ankle / 0.96, rel=0.03)


coordinates = st.floats(-100, 2000, allow_nan=False)


@given(*[coordinates] * 4)
def test_head_box_diagonal_is_the_head_over_its_share(x1, y1, x2, y2):
    neck, top = np.array([x1, y1]), np.array([x2, y2])
    length = np.hypot(*(top - neck))
    box = head_box(neck, top)
    assert np.hypot(*(box[2:] - box[:2])) * HEAD_SHARE == pytest.approx(length)
    assert (box[:2] + box[2:]) / 2 == pytest.approx((neck + top) / 2)


def test_an_upright_head_box_is_three_to_four():
    box = head_box(np.array([50.0, 90.0]), np.array([50.0, 50.0]))
    assert box == pytest.approx([35.0, 50.0, 65.0, 90.0])


# --- the release ------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_a_plan_has_exactly_the_people_asked_for(num_people, seed):
    planned, num_videos = plan_release(num_people, seed)
    assert sum(image.num_annotated for image in planned) == num_people
    assert sorted(image.scene.index for image in planned) == list(range(len(planned)))
    assert {image.video for image in planned} - {None} == set(range(num_videos))
    assert len({image.name for image in planned}) == len(planned)
    assert all(image.scene.num_people >= max(image.num_annotated, 1) for image in planned)


def test_files_and_people_are_as_many_as_planned(root, release, points):
    names = [image["image"]["name"][0, 0][0] for image in release["annolist"][0]]
    assert sorted(names) == sorted(file.name for file in (root / "images").iterdir())
    assert len(points) == NUM_PEOPLE
    assert {file.name for file in root.iterdir()} == {"images", ANNOTATION_FILE}


def test_shapes_are_those_of_the_real_file(release):
    count = len(plan_release(NUM_PEOPLE, SEED)[0])
    assert release.dtype.names == ("annolist", "img_train", "version", "single_person", "act", "video_list")
    assert release["annolist"].shape == release["img_train"].shape == (1, count)
    assert release["single_person"].shape == release["act"].shape == (count, 1)
    assert release["annolist"].dtype.names == ("image", "annorect", "frame_sec", "vididx")
    assert release["act"].dtype.names == ("cat_name", "act_name", "act_id")
    assert release["img_train"].dtype == np.uint8
    assert release["version"][0] == "12"


def test_every_quirk_of_the_images_is_there(release):
    images, train = release["annolist"][0], release["img_train"][0] == 1
    annorects = [image["annorect"] for image in images]
    fields = {annorect.dtype.names for annorect in annorects}
    usual = ("x1", "y1", "x2", "y2", "annopoints", "scale", "objpos")
    assert {usual, usual + PART_OCCLUSION + ROTATIONS, usual + ROTATIONS, usual + PART_OCCLUSION} <= fields
    assert ("scale", "objpos") in {annorects[i].dtype.names for i in np.flatnonzero(train)}
    assert {annorect.dtype.names for annorect, known in zip(annorects, train, strict=True) if not known} <= {
        ("scale", "objpos"), None,
    }  # fmt: skip
    assert any(annorect.shape == (0, 0) for annorect in annorects)
    assert any(annorect.dtype == object and annorect.size == 1 for annorect in annorects)  # a struct without fields
    videos = [int(image["vididx"][0, 0]) for image in images if image["vididx"].size]
    assert len(videos) > len(set(videos)), "no video has two frames"
    assert set(videos) == set(range(1, release["video_list"].size + 1))
    assert any(not image["vididx"].size and not image["frame_sec"].size for image in images)
    acts = release["act"][:, 0]
    assert any(act["act_id"][0, 0] == -1 and not act["act_name"].size for act in acts)
    assert any(act["act_id"][0, 0] > 0 and act["act_name"].size and act["cat_name"].size for act in acts)
    single = [cell[0] for cell in release["single_person"]]
    assert all(cell.dtype == np.uint8 and (cell.shape == (0, 0) or cell.shape[1] == 1) for cell in single)
    assert min(cell.size for cell in single) == 0
    assert max(cell.size for cell in single) > 1


def test_every_quirk_of_the_rectangles_is_there(release, rectangles):
    assert any(not one["scale"].size and not one["objpos"].size for one in rectangles)
    with_points = [one for one in rectangles if "annopoints" in one.dtype.names and one["annopoints"].size]
    assert any(not one["x1"].size for one in with_points), "no person without a head rectangle"
    assert {one["x1"].dtype.kind for one in with_points if one["x1"].size} == {"u", "f"}
    structs = [image["annorect"][0] for image in release["annolist"][0] if image["annorect"].dtype.names]
    sizes = [
        [bool(one["annopoints"].size) for one in struct] for struct in structs if "annopoints" in struct.dtype.names
    ]
    assert any(any(size) and not all(size) for size in sizes), "no rectangle without joints beside one with them"


def test_every_quirk_of_the_points_is_there(points):
    assert {person.dtype.names[:3] for person in points} == {("x", "y", "id"), ("id", "x", "y")}
    assert {"is_visible" in person.dtype.names for person in points} == {True, False}
    assert len({tuple(int(joint[0, 0]) for joint in person["id"]) for person in points}) > 3, "one order of joints"
    flags = {}
    for person in points:
        for point in person if "is_visible" in person.dtype.names else ():
            flag = point["is_visible"]
            flags.setdefault((flag.dtype.kind, flag.size), set()).add(int(point["id"][0, 0]))
    assert set(flags) == {("u", 1), ("u", 0), ("U", 1)}
    assert flags["u", 0] == {Joint.UPPER_NECK, Joint.HEAD_TOP}
    pairs = {(point["x"].dtype.str[1:], point["y"].dtype.str[1:]) for person in points for point in person}
    assert {"u1", "u2", "i2", "f8"} <= {kind for pair in pairs for kind in pair}
    assert any(x != y for x, y in pairs)


def test_the_file_holds_every_number_exactly(tmp_path):
    planned = [image for image in plan_release(60, 1)[0] if image.num_annotated][:3]
    images = [draw_image(image, tmp_path, 1) for image in planned]
    (tmp_path / "release.mat").write_bytes(mat_bytes(images, num_videos=100, seed=1))
    annolist = loadmat(tmp_path / "release.mat")["RELEASE"][0, 0]["annolist"][0]
    num_checked = 0
    for image, element in zip(images, annolist, strict=True):
        for person, rectangle, has_joints in zip(image.people, element["annorect"][0], image.annotated, strict=True):
            for point in rectangle["annopoints"]["point"][0, 0][0] if has_joints else ():
                expected = person.joints_image[int(point["id"][0, 0])] + 1  # the file counts pixels from 1
                assert (float(point["x"][0, 0]), float(point["y"][0, 0])) == tuple(expected)
                num_checked += 1
            if has_joints and rectangle["x1"].size:
                box = np.array([float(rectangle[key][0, 0]) for key in ("x1", "y1", "x2", "y2")])
                head = person.joints_image[Joint.HEAD_TOP] - person.joints_image[Joint.UPPER_NECK]
                assert np.hypot(*(box[2:] - box[:2])) * HEAD_SHARE == pytest.approx(np.hypot(*head), rel=0.0101)
                assert box == pytest.approx(person.head_box_image + 1, abs=1.0)
            if rectangle["objpos"].size:
                center = [float(rectangle["objpos"][key][0, 0][0, 0]) for key in ("x", "y")]
                assert center == (person.center_image + 1).tolist()
    assert num_checked > 2 * NUM_JOINTS


def test_head_rectangles_keep_the_diagonal_to_1_percent_rounded_or_not(rectangles):
    kinds = set()
    for one in rectangles:
        if "x1" in one.dtype.names and one["x1"].size:
            box = np.array([float(one[key][0, 0]) for key in ("x1", "y1", "x2", "y2")])
            points = {int(point["id"][0, 0]): point for point in one["annopoints"]["point"][0, 0][0]}
            if {Joint.UPPER_NECK, Joint.HEAD_TOP} <= set(points):
                neck, top = (
                    np.array([float(points[joint]["x"][0, 0]), float(points[joint]["y"][0, 0])])
                    for joint in (Joint.UPPER_NECK, Joint.HEAD_TOP)
                )
                assert np.hypot(*(box[2:] - box[:2])) * HEAD_SHARE == pytest.approx(np.hypot(*(top - neck)), rel=0.0101)
                kinds.add(bool((box == np.round(box)).all()))
    assert kinds == {True, False}


def test_the_parser_of_the_real_file_finds_everybody(root):
    people, *_ = mpii.parse_release(mpii.read_release(root / ANNOTATION_FILE))
    rows = [row for row in people.to_pylist() if row["split"] != "test"]
    assert sum(any(row["annotated"]) for row in rows) == NUM_PEOPLE
    assert any(row["split"] == "test" for row in people.to_pylist())


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    synthesize(one, num_people=1, seed=0)
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        synthesize(two, num_people=1, seed=0, executor=executor)
    files = [file.relative_to(one) for file in one.rglob("*") if file.is_file()]
    assert len(files) > 5
    assert [(two / file).read_bytes() == (one / file).read_bytes() for file in files] == [True] * len(files)


def test_the_annotation_file_has_no_timestamp(root):
    assert b"Created" not in (root / ANNOTATION_FILE).read_bytes()[:128]


def test_another_seed_gives_other_pictures():
    plan = plan_release(5, 0)[0][0].scene
    first, second = (np.asarray(render_image(plan, seed).picture, dtype=float) for seed in (0, 1))
    assert first.shape != second.shape or np.abs(first - second).mean() > 5


def test_another_width_gives_the_same_scene_with_more_pixels():
    plan = plan_release(5, 0)[0][0].scene
    small, large = render_image(plan, 0), render_image(plan, 0, picture_width=1024)
    assert large.picture.size == (2 * small.picture.width, 2 * small.picture.height)
    difference = np.subtract(large.picture.resize(small.picture.size, Image.Resampling.BOX), small.picture, dtype=float)
    assert np.abs(difference).mean() < 8
    for one, other in zip(small.people, large.people, strict=True):
        assert np.abs((other.joints_image + 0.5) / 2 - 0.5 - one.joints_image).max() <= 1  # the truth is rounded
        assert (other.annotated == one.annotated).mean() > 0.9


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        synthesize(tmp_path / "file", num_people=1, seed=0)


def test_images_missing_from_the_folder_are_an_error(tmp_path):
    """A worker of another machine may not share the folder."""

    def progress(done, total, note=""):
        if done == total:
            next(tmp_path.rglob("*.jpg")).unlink()

    with pytest.raises(InputError, match=r"expected \d+ images, got \d+; let all workers share"):
        synthesize(tmp_path, num_people=1, seed=0, progress=progress)
    assert not list(tmp_path.iterdir())
