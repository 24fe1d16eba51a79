"""MLflow's viewer in a real browser, after the real `dvc repro` and `dvc exp run`."""

import re
import socket
import subprocess
import time

import pytest
from browser import page_of
from small_project import copy_project
from test_cli import free_port
from test_pipeline import TINY, environment_of, run

pytestmark = [pytest.mark.campaign, pytest.mark.pipeline, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Train as a user does, start the viewer, and give the addresses that it prints, by their titles."""
    with page_of():
        pass  # skips before anything is trained
    folder = copy_project(tmp_path_factory.mktemp("viewer") / "posernn", **TINY)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        run(folder, "git", *command)
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "results")
    run(folder, "dvc", "exp", "run", "-n", "attentive", "-S", "model.attention=true")
    run(folder, "posernn", "sync")
    port = free_port()
    with subprocess.Popen(
        ["posernn", "ui", "--port", str(port)],
        cwd=folder,
        env=environment_of(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as viewer:
        printed = [viewer.stdout.readline() for _ in range(5)]
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert viewer.poll() is None
            time.sleep(0.2)
        yield dict(line.strip().split(": ", 1) for line in printed[1:])
        viewer.terminate()


def test_the_table_has_scores_data_set_source_and_model_best_first(pages):
    with page_of(width=1900) as page:
        page.goto(pages["runs, best first"])
        page.locator("[col-id*='val/pckh_total'][role=gridcell]").first.wait_for()
        cells = page.locator("[col-id*='val/pckh_total'][role=gridcell]").all_inner_texts()
        scores = [float(cell) for cell in cells if cell.strip()]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)
        text = page.inner_text("body")
        names = "cnn", "lstm", "lstm attention", "heatmap"
        for wanted in (*names, "synthetic", "attentive", "PCKh, best first"):
            assert wanted in text


def test_compare_shows_the_parameter_that_was_changed_and_both_scores(pages):
    with page_of(width=1900) as page:
        page.goto(pages["runs, best first"])
        for name in ("lstm", "lstm attention"):
            row = page.get_by_role("link", name=name, exact=True)
            row.wait_for()
            number = row.evaluate("link => link.closest('[row-id]').getAttribute('row-id')")
            page.locator(f"[row-id='{number}'] input[type=checkbox]").first.check()
        page.get_by_role("button", name="Compare", exact=True).click()
        page.wait_for_url(re.compile("compare-runs"))
        compare(page)


def test_the_printed_address_of_the_comparison_lands_there(pages):
    with page_of(width=1900) as page:
        page.goto(pages["the last two runs of model"])
        compare(page)


def test_the_charts_are_pckh_as_bars_and_both_rmse_on_one_axis(pages):
    with page_of(width=1900, height=1200) as page:
        page.goto(pages["charts of the runs"])
        cards = page.get_by_test_id("experiment-view-compare-runs-card")
        bars, curves = cards.nth(0), cards.nth(1)
        bars.locator(".barlayer .point").nth(3).wait_for(state="attached")
        curves.locator(".scatterlayer .trace").nth(7).wait_for(state="attached")  # two for each run
        assert "val/pckh_total" in bars.inner_text()
        assert "train/rmse vs val/rmse" in curves.inner_text()
        assert bars.locator(".barlayer .point").count() == 4


def test_the_printed_address_of_a_run_has_the_menu_of_model_training(pages):
    with page_of() as page:
        page.goto(pages["the last run"])
        page.get_by_role("heading", name="lstm attention").wait_for()
        menu = page.locator("aside").first.inner_text()
        assert "Model registry" in menu
        assert "Judges" not in menu


def compare(page):
    """Read the comparison of two runs, with the differences alone."""
    page.get_by_role("rowheader", name="model.attention").wait_for()
    switches = page.locator(".CompareRunView [role=switch]")
    switches.nth(1).wait_for()  # parameters, metrics
    for switch in (switches.nth(0), switches.nth(1)):
        switch.click()
    text = page.inner_text(".CompareRunView")
    parameters = text[text.index("Parameters\nShow diff only") : text.index("Metrics\nShow diff only")].splitlines()[2:]
    assert [line for line in parameters if line] == ["model.attention\tfalse\ttrue"]
    metrics = text[text.index("Metrics\nShow diff only") : text.index("Artifacts")].splitlines()[2:]
    names = [line for line in metrics if re.match("(train|val)/", line)]
    numbers = [float(line) for line in metrics if re.fullmatch(r"[\d.e+-]+", line)]  # two for each name, in its order
    assert len(numbers) == 2 * len(names)
    place = names.index("val/pckh_total")
    assert all(0 <= number <= 100 for number in numbers[2 * place : 2 * place + 2])
