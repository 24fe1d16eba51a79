"""Annotation files damaged anywhere end in a correct table, a table of rejects, or one line; odd ones are read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import damage_annotations
import mat_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_mpii import EMPTY, image, point, rectangle, struct, write

from posernn.data import mpii

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with a small release that has the quirks of the real one."""
    rng = np.random.default_rng(0)

    def points(number):
        return [
            point(joint, rng.uniform(1, 200), np.uint8(rng.integers(1, 255)), [np.uint8(1), "1", EMPTY][joint % 3])
            for joint in range(number)
        ]

    folder = tmp_path_factory.mktemp("damaged")
    write(
        folder / "release.mat",
        image(
            *[rectangle(*points(16))],
            vididx=np.uint16(3),
            frame_sec=np.uint8(7),
            activity="golf",
            category="sport",
        ),
        image(
            *(rectangle(*points(14)), rectangle(), rectangle(*points(3), head=None, scale=None)),
            name="b.jpg",
            alone=(1, 3),
        ),
        image(name="c.jpg", alone=()),
        image(rectangle(head=None), name="d.jpg", train=False),
        image(rectangle(*points(2), part_occ1="0", head_r11="0.5"), name="e.jpg"),
        image(rectangle(*points(6)), name="f.jpg"),
    )
    return folder


def test_the_slow_reader_agrees_on_a_file_that_is_whole(folder):
    file = (folder / "release.mat").read_bytes()
    variable = mat_files.variable_of(file)
    (root,) = mat_files.unpack(variable)
    assert mat_files.pack(root) == variable
    expected = damage_annotations.read_slowly(file)
    assert len(expected) == 7
    assert expected[1, 2].joints.keys() == {0, 1, 2}
    people, rejected, _ = mpii.parse_release(mpii.read_release(folder / "release.mat"))
    assert (people.num_rows, rejected.num_rows) == (6, 2)
    assert list(damage_annotations.complaints(people, rejected, expected, expected)) == []


@pytest.mark.parametrize("change", ["joints", "half", "scale", "lost", "twice"])
def test_complaints_are_made_of_wrong_tables(folder, change):
    file = (folder / "release.mat").read_bytes()
    expected = damage_annotations.read_slowly(file)
    people, rejected, _ = mpii.parse_release(mpii.read_release(folder / "release.mat"))
    person = expected[0, 0]
    if change == "joints":
        expected[0, 0] = person._replace(joints={**person.joints, 3: (1.0, 2.0)})
    if change == "half":
        expected[0, 0] = person._replace(from_train=False)
    if change == "scale":
        expected[0, 0] = person._replace(scale=7.0)
    if change == "lost":
        people = people.slice(1)
    if change == "twice":
        people = people.take([0, 0, 1, 2, 3, 4, 5])
    assert len(list(damage_annotations.complaints(people, rejected, expected, expected))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="reads in forks, which this system does not have")
@pytest.mark.parametrize("num_files", [120, pytest.param(500, marks=pytest.mark.campaign)])
def test_no_damaged_file_ends_in_a_traceback_a_hang_or_wrong_joints(folder, num_files):
    command = [sys.executable, str(ROOT / "tests/damage_annotations.py"), str(folder), "0", str(num_files)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    print(told)
    assert told["wrong"] == []
    assert told["most_bytes"] < 2e9
    assert sum(told["ended"].values()) == num_files
    assert {"table", "table with rejects", "error", "reader crashed"} <= told["ended"].keys(), "all kinds of ends"
    assert len(told["ways"]) == 20, "all kinds of damage"


# --- what is not damaged, however odd ---------------------------------------------------------------------------------

NUMBER_TYPES = [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64]


@st.composite
def a_number(draw, low, high):
    """A whole number as Matlab stores it, in any type that holds it; or as text, or nothing that can be read."""
    value = draw(st.integers(low, high))
    fitting = [kind for kind in NUMBER_TYPES if np.can_cast(np.min_scalar_type(value), kind) or kind == np.float64]
    odd = draw(st.integers(0, 19))
    if odd == 0:
        return None, draw(st.sampled_from([EMPTY, np.array([1, 2]), "left", struct({"x": 1.0})]))
    return float(value), str(value) if odd == 1 else draw(st.sampled_from(fitting))(value)


@st.composite
def a_person(draw):
    """A rectangle, and the joints that it holds, counted from 0."""
    joints, points = {}, []
    for joint in draw(st.lists(st.integers(0, 15), unique=True, max_size=16)):
        (x, x_cell), (y, y_cell) = draw(a_number(-100, 3000)), draw(a_number(-100, 3000))
        points.append(
            {"x": x_cell, "y": y_cell, "id": np.uint8(joint), "is_visible": draw(st.sampled_from(["1", 0, EMPTY]))}
        )
        if x is not None and y is not None:
            joints[joint] = (x - 1, y - 1)
    order = draw(st.permutations(["x", "y", "id", "is_visible"]))
    more = {"annopoints": struct({"point": struct(*points, order=order)})} if points else {}
    return rectangle(**more), joints


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(a_person(), max_size=4), min_size=1, max_size=4))
def test_joints_of_any_type_in_any_order_are_read(tmp_path, pictures):
    path = write(
        tmp_path / "release.mat",
        *(image(*[rectangle for rectangle, _ in people], name=f"{at}.jpg") for at, people in enumerate(pictures)),
    )
    people, rejected, _ = mpii.parse_release(mpii.read_release(path))
    found = {
        (row["image_index"], row["person_index"]): {
            joint: tuple(row["joints_image"][joint]) for joint in range(16) if row["annotated"][joint]
        }
        for row in people.to_pylist()
    }
    expected = {(at, place): joints for at, rows in enumerate(pictures) for place, (_, joints) in enumerate(rows)}
    assert found == {key: joints for key, joints in expected.items() if joints}
    nobody = {key for key, joints in expected.items() if not joints}
    nobody |= {(at, None) for at, rows in enumerate(pictures) if not rows}
    assert set(zip(rejected["image_index"].to_pylist(), rejected["person_index"].to_pylist(), strict=True)) == nobody
