"""The report as a page: what it holds, and how it works in a browser."""

import json
import re
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
from browser import page_of
from test_report import SETTING, found, some_people  # noqa: F401  (a fixture)

from posernn.evaluation.calibration import binned, calibration_error, reliability
from posernn.pose.skeleton import Joint
from posernn.report import html

SIDE = 64
HIDDEN = int(np.flatnonzero(some_people().annotated[:, Joint.LEFT_WRIST])[3])
"""The only person with a hidden joint, the left wrist."""


@pytest.fixture(scope="module")
def write(found, tmp_path_factory):  # noqa: F811
    """Give a function that writes a page of 40 people and three models, and returns its path."""
    people = some_people()
    rng = np.random.default_rng(1)
    known = np.nan_to_num(people.joints_crop, nan=32.0)
    maps = rng.random((2, 16, 3, 4)).astype(np.float32)
    history = {name: np.array([1.0, 2.0, 3.0]) for name in ("iteration", "train_rmse", "val_rmse")}
    entries = {
        name: html.Entry(
            pred_crop=(known + rng.normal(0, spread, known.shape)).astype(np.float32),
            confidence=rng.random((40, 16)).astype(np.float32) if name == "third" else None,
            history=history,
            maps=(np.array([1, 7]), maps) if name == "model" else None,
            parameters={"train.lr": "0.001", f"{name}.arch": "cnn", "x": "</script><b>"},
        )
        for name, spread in (("baseline", 5), ("model", 12), ("third", 4))
    }
    entries["model"].pred_crop[0, 0] = np.nan
    visible = [[1] * 16 for _ in range(40)]
    visible[HIDDEN][Joint.LEFT_WRIST] = 0

    def written(jpegs=None):
        path = tmp_path_factory.mktemp("page") / "index.html"
        names = [f"{row:03d}.jpg, person 0" for row in range(40)]
        held_out = html.HeldOut(people, names, visible, jpegs, SIDE, [2, 5])
        html.write(path, found, SETTING, held_out, entries, {"Commit": "0123abc", "Machine": "a laptop"})
        return path

    return written


def jpegs(num):
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(np.full((SIDE, SIDE, 3), 90, np.uint8)).save(buffer, format="JPEG")
    return [buffer.getvalue()] * num


def test_the_page_loads_nothing_and_shows_crops_only_if_it_is_given_them(write):
    text = write().read_text()
    assert "data:image" not in text
    assert "report.pictures" in text
    assert re.findall(r"https?://[^\"' ]*", text) == ["http://www.w3.org/2000/svg"]  # a name, not a request
    assert re.findall(r"<(?:link|script)[^>]* (?:src|href)=\"(?!data:)", text) == []
    assert "</script><b>" not in text
    with_pictures = write(jpegs(40)).read_text()
    assert with_pictures.count("data:image/webp;base64,") == 40
    assert "report.pictures" not in with_pictures


def test_the_page_holds_verdict_scores_parameters_commit_and_machine(write, found):  # noqa: F811
    text = write().read_text()
    for wanted in (*found.verdict(), "lstm with attention", "train.lr", "baseline.arch", "0123abc", "a laptop"):
        assert wanted in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["people"]) == 40
    assert data["entries"][1]["joints"][0][0] is None  # a prediction that is not finite
    assert data["entries"][1]["maps"]["who"] == [1, 7]
    assert max(max(of_joint) for of_joint in data["entries"][1]["maps"]["values"][0]) == 255
    assert data["entries"][0]["calibration"] is None
    assert len(data["entries"][2]["calibration"]) == 10


def test_disagreement_is_the_largest_distance_between_models_in_head_sizes():
    people = some_people(2)
    base = np.zeros((2, 16, 2), np.float32)
    moved, other = base.copy(), base.copy()
    moved[0, 3] = [6, 0]
    other[0, 3] = [0, 8]
    one_px = np.linalg.norm(people.crop_to_image[0, :, :2] @ np.array([6.0, -8.0]))
    found_ = html.disagreement([base, moved, other], people)
    assert found_[0, 3] == pytest.approx(one_px / people.head_size[0])
    assert found_.sum() == pytest.approx(found_[0, 3])


def test_reliability_is_the_share_of_correct_joints_by_confidence():
    confidence = np.full((2, 16), 0.5)
    errors = np.full((2, 16), np.nan)
    confidence[0, :3], errors[0, :3] = [0.91, 0.93, 1.0], [0.5, 0.6, 0.1]
    confidence[1, 0], errors[1, 0] = 0.05, 0.2
    confidence[1, Joint.PELVIS], errors[1, Joint.PELVIS] = 0.3, 0.0  # not scored in PCKh
    bins = binned(confidence, errors, 0.5)
    points = reliability(bins)
    assert points == [pytest.approx((0.05, 1.0)), pytest.approx((0.946667, 2 / 3), abs=1e-6)]
    assert calibration_error(bins) == pytest.approx(0.25 * 0.95 + 0.75 * 0.28)


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """Give the source of axe-core, which checks pages for accessibility."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    packed = subprocess.run(["npm", "pack", "axe-core@4"], cwd=folder, capture_output=True, text=True, check=False)
    if packed.returncode:
        pytest.skip("axe-core cannot be fetched")
    with tarfile.open(next(folder.glob("axe-core-*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_filters_sorts_histogram_and_steps_work_in_a_browser_without_errors(write):
    said, asked = [], []
    path = write(jpegs(40))
    with page_of(width=360, height=740) as page:
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.inner_text("#count").startswith("40 of 40 people, 24 shown")
        page.click("#more")
        assert page.locator(".person").count() == 40

        page.select_option("#joint", label="left wrist")
        page.select_option("#which", "hidden")
        assert page.locator(".person .name").all_inner_texts() == [f"{HIDDEN:03d}.jpg, person 0"]
        page.click("#show-all")

        def shown_errors():
            texts = page.locator(".person .pose:nth-child(2)").all_inner_texts()
            return [float(text.split(", ")[1]) for text in texts]

        worst = shown_errors()
        assert worst == sorted(worst, reverse=True)
        page.select_option("#sort", "best")
        best = shown_errors()
        assert best == sorted(best)
        assert best[0] < worst[0]
        page.select_option("#sort", "unsure")

        bar = page.locator("#histogram .bar").nth(1)
        number = int(re.search(r": (\d+) people", bar.get_attribute("aria-label"))[1])
        assert 0 < number < 40
        bar.click()
        assert page.inner_text("#count").startswith(f"{number} of 40 people")
        page.locator("#histogram .bar").nth(1).press("Enter")
        assert page.inner_text("#count").startswith("40 of 40 people")

        page.select_option("#step-model", label="lstm with attention")
        page.locator("#step").fill("3")
        assert page.inner_text("#step-name").startswith("Step 3 of 16: thorax")
        assert page.locator("#step-picture image").count() == 2  # the crop and the map
        page.click("#play")
        page.locator("#step-name", has_text="Step 5").wait_for()
        page.click("#play")
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(write, axe, scheme):
    with page_of(color_scheme=scheme, bypass_csp=True) as page:
        page.goto(write(jpegs(40)).as_uri())
        page.add_script_tag(content=axe)
        faults = page.evaluate("axe.run().then(found => found.violations)")
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []
