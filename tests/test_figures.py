import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from posernn.evaluation import metrics
from posernn.pose.skeleton import LIMBS, Joint
from posernn.report import people as people_figures
from posernn.report import style
from posernn.report.curves import joint_errors, pckh_over_threshold, rmse_over_iterations
from posernn.report.people import joint_maps, sample_people
from posernn.report.style import save as save_figure

LABELS = {"mean_pose": "mean pose", "median_pose": "median pose", "baseline": "cnn", "model": "lstm", "third": "chain"}


def some_crops(num: int = 3, side: int = 32):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (num, side, side, 3), dtype=np.uint8)
    affines = np.tile([[1.0, 0, 0], [0, 2.0, 0]], (num, 1, 1))  # each crop stands for a box twice as high as wide
    joints = rng.uniform(0, side, (num, 16, 2))
    return pictures, affines, joints, np.ones((num, 16), dtype=bool)


def test_the_same_figure_gives_the_same_bytes_without_metadata(tmp_path: Path):
    curve = {name: metrics.THRESHOLDS * share for name, share in zip(LABELS, (0.3, 0.31, 0.8, 1.2, 1), strict=True)}
    for name in ("a.png", "b.png"):
        save_figure(pckh_over_threshold(curve, LABELS), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert set(picture.info) <= {"transparency"}
        assert picture.size == (640, 400)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_names_of_lines_that_end_together_are_pushed_apart():
    ends = dict.fromkeys(LABELS, 0.30)
    curve = {name: np.linspace(0, end, 51) for name, end in ends.items()}
    figure = pckh_over_threshold(curve, LABELS)
    heights = sorted(text.xy[1] for text in figure.axes[0].texts)
    assert len(heights) == 5
    assert min(np.diff(heights)) > 0.05


def test_rmse_shows_the_end_of_a_training_however_bad_its_start():
    iteration = np.arange(100.0, 5100.0, 100.0)
    rmse = np.where(iteration < 250, 1e4, 10.0)
    history = {"iteration": iteration, "train_rmse": rmse * 0.9, "val_rmse": rmse}
    axes = rmse_over_iterations({"baseline": history, "model": history, "third": history}, LABELS).axes[0]
    assert 10 < axes.get_ylim()[1] < 30
    assert len(axes.lines) == 6


def test_an_entry_has_the_same_colour_in_all_figures_and_no_two_share_one():
    colors = style.colors([*LABELS, "fourth", "fifth", "sixth"])
    assert len(set(colors.values())) == 8
    assert style.colors(["median_pose", "baseline", "model"]).items() <= colors.items()
    assert style.colors(["baseline", "model"]).items() <= colors.items()


def test_joints_are_in_decode_order_from_the_top():
    rows = [
        {"joint": joint.label, "step": step, "median_error": 0.1 * step} for step, joint in enumerate(Joint, start=1)
    ]
    rows[4]["median_error"] = np.inf  # most predictions are not finite: no place for a dot
    axes = joint_errors({"baseline": rows, "model": rows}, LABELS, "skeleton").axes[0]
    assert axes.get_yticklabels()[0].get_text() == "right ankle  1"
    assert axes.yaxis_inverted()
    assert "in decode order (skeleton)" in axes.get_title(loc="left")
    at_once = [row | {"step": None} for row in rows]
    axes = joint_errors({"baseline": at_once}, LABELS, None).axes[0]
    assert axes.get_yticklabels()[0].get_text() == "right ankle"
    assert "no decode steps" in axes.get_title(loc="left")


def test_crops_are_shown_as_high_and_wide_as_they_were_in_the_image():
    pictures, affines, joints, annotated = some_crops()
    figure = sample_people(pictures, affines, {"truth": joints, "cnn": joints}, annotated, {"cnn": ["a", "b", "c"]})
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert [box.height / box.width for box in boxes] == pytest.approx([2.0] * 6, rel=0.01)
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "", "a", "b", "c"]


def test_the_persons_right_and_left_have_their_own_colours():
    colors = {limb: people_figures.SIDE_COLORS[people_figures.side_of(limb)] for limb in LIMBS}
    assert colors[Joint.RIGHT_ANKLE, Joint.RIGHT_KNEE] == colors[Joint.RIGHT_HIP, Joint.PELVIS] == style.RIGHT
    assert colors[Joint.LEFT_WRIST, Joint.LEFT_ELBOW] == colors[Joint.LEFT_SHOULDER, Joint.THORAX] == style.LEFT
    assert colors[Joint.PELVIS, Joint.THORAX] == style.MIDDLE
    assert len(set(colors.values())) == 3


def test_unknown_joints_are_not_drawn():
    _, _, joints, annotated = some_crops(1)
    joints[0, Joint.LEFT_WRIST] = np.nan
    annotated[0, Joint.RIGHT_ANKLE] = False
    axes = Figure().subplots()
    people_figures.draw_skeleton(axes, joints[0], annotated[0])
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert len(dots) == 14
    assert len(axes.lines) == 14 + 2 * 13  # of the 15 limbs two miss an end


def test_each_person_has_sixteen_maps_in_decode_order_on_one_scale():
    pictures, affines, joints, _ = some_crops(2)
    maps = np.full((2, 16, 4, 4), 1 / 16)
    maps[0, Joint.HEAD_TOP] = np.eye(4) / 4
    figure = joint_maps(pictures, affines, maps, joints, "hard_first")
    assert [axes.get_title() for axes in figure.axes[:2]] == ["1 left ankle", "2 right ankle"]
    assert len(figure.axes) == 32
    sharp, even = figure.axes[14].images[1].get_array(), figure.axes[0].images[1].get_array()
    assert sharp.max() == 1.0
    assert even.max() == 0.25


def test_maps_of_a_model_without_decode_steps_are_in_skeleton_order_and_need_not_be_square():
    pictures, affines, joints, _ = some_crops(1)
    figure = joint_maps(pictures, affines, np.full((1, 16, 3, 5), 1 / 15), joints, None)
    assert [axes.get_title() for axes in figure.axes] == [joint.label for joint in Joint]
    assert "all at once" in figure.get_suptitle()


def test_large_figures_are_saved_with_fewer_colours(tmp_path: Path, monkeypatch):
    pictures, affines, joints, annotated = some_crops(1)
    figure = sample_people(pictures, affines, {"truth": joints}, annotated, {})
    num_colors = []
    for limit in (10_000_000, 1):
        monkeypatch.setattr(style, "MAX_BYTES", limit)
        save_figure(figure, tmp_path / "people.png")
        with Image.open(tmp_path / "people.png") as picture:
            num_colors.append(len(picture.getcolors()))
    assert num_colors[0] > 128
    assert num_colors[1] <= 32


def test_tables_and_results_import_neither_matplotlib_nor_torch():
    used = [
        path
        for folder in ("posernn", "stages")
        for path in Path(__file__).parent.parent.joinpath(folder).rglob("*.py")
        if re.search(r"^\s*(import|from) matplotlib", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert {path.parent.name for path in used} == {"report"}
    code = (
        "import sys, posernn.report.page, posernn.evaluation.results; print({'matplotlib', 'torch'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"
