"""`posernn export --onnx`, the page that runs what it writes, and the examples in docstrings."""

import doctest
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny_models
from PIL import Image
from small_project import ROOT
from test_submissions import KEYS, people_table, truth
from typer.testing import CliRunner

import posernn
from posernn.cli import app
from posernn.data import schemas
from posernn.runtime import files

SIDE = 32


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_about_deployment_gives_the_joints_of_posernn(here):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    tiny_models.save(here / "run", "cnn", crop_size=SIDE)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)).save("photo.jpg")
    exported = CliRunner().invoke(app, ["export", "run", "--onnx", "model.onnx"])
    assert exported.stdout == f"model.onnx: images (people, 3, {SIDE}, {SIDE}) of uint8 -> joints_unit\n"
    page = (ROOT / "docs/how-to/deploy.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    assert len(code.strip().splitlines()) <= 12
    found = {}
    exec(code, found)
    expected = posernn.load("run").predict("photo.jpg", boxes=[40, 10, 160, 280])
    np.testing.assert_allclose(found["joints"], expected.joints_image, atol=0.05)


@pytest.mark.parametrize("options", [[], ["--onnx", "a.onnx", "--mpii", "b.mat"]], ids=["none", "both"])
def test_export_wants_one_format(options):
    result = CliRunner().invoke(app, ["export", "run", *options])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("error: export: expected one of --onnx")


@pytest.mark.parametrize(
    "module", ["posernn", "posernn.inference.estimator", "posernn.submissions.scoring"], ids=lambda name: name
)
def test_examples_in_docstrings_do_what_they_say(here, module):
    tiny_models.save(here / "runs/model", "cnn", crop_size=SIDE)
    Image.new("RGB", (300, 500)).save("photo.jpg")
    joints = truth()[:2]
    table = schemas.predictions_table(*map(list, zip(*KEYS[:2], strict=True)), joints, joints)
    files.write_table(here / "results/model/predictions.parquet", table)
    files.write_table(here / "data/people.parquet", people_table())
    __import__(module)
    ran = doctest.testmod(sys.modules[module], optionflags=doctest.NORMALIZE_WHITESPACE)
    assert ran.attempted > 0
    assert ran.failed == 0


def test_importing_posernn_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'pyarrow', 'mlflow', 'matplotlib', 'PIL', 'typer', 'pydantic'}"
    code = f"import sys, posernn; dir(posernn); sys.exit(str({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == "set()"
