"""The pages of docs/reference say what the code says."""

import importlib.util
import re

import pytest
from small_project import ROOT

REFERENCE = ROOT / "docs/reference"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", REFERENCE / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(generate):
    return generate.pages()


@pytest.mark.parametrize("page", ["parameters.md", "columns.md", "commands.md"])
def test_pages_are_those_of_the_code(pages, page):
    """Also fails where a command, an option, a parameter or a column has no description."""
    assert (REFERENCE / page).read_text(encoding="utf-8") == pages[page], "run: make docs"


def test_what_has_no_description_is_named(generate):
    for about in (None, "", " "):
        with pytest.raises(ValueError, match=r"train\.lr: expected a description, got none"):
            generate.described("train.lr", about)


def test_comments_of_parameters_are_found_with_the_lines_that_continue_them(generate):
    text = """# no comment of a key
crops:
  box: joints            # joints: the paper's
                         # person: MPII's
  padding: 20
train:                   # a section
  lr: 1e-3               # learning rate,
                         # at the start
  augment: {flip: 0.5}   # random changes
"""
    assert generate.comments(text) == {
        "crops": "",
        "crops.box": "joints: the paper's | person: MPII's",
        "crops.padding": "",
        "train": "a section",
        "train.lr": "learning rate, at the start",
        "train.augment": "random changes",
    }


def test_every_environment_variable_that_the_code_reads_is_documented():
    page = (REFERENCE / "environment.md").read_text(encoding="utf-8")
    code = "".join(
        path.read_text(encoding="utf-8") for room in ("posernn", "stages") for path in (ROOT / room).rglob("*.py")
    )
    read = set(re.findall(r"environ(?:\[|\.get\()\"([A-Z_]+)\"", code))
    assert {"MLFLOW_TRACKING_URI", "POSERNN_TRACKING"} <= read
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []
