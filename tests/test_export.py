"""`posernn export --onnx`, the page that runs what it writes, and the examples in docstrings."""

import doctest
import re
import sys

import numpy as np
import pyarrow as pa
import pytest
import tiny_models
import torch
from PIL import Image
from small_project import ROOT
from test_submissions import KEYS, people_table, truth
from typer.testing import CliRunner

import posernn
from posernn import models
from posernn.cli import app
from posernn.data import schemas
from posernn.runtime import files

SIDE = 32


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(folder, arch, settings):
    """Write a model whose predictions differ from crop to crop."""
    model = tiny_models.build(arch, settings)
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    models.save(folder, model, arch, settings, tiny_models.CROPS)
    return folder


@pytest.mark.parametrize("case", tiny_models.TINY, ids=tiny_models.name_of)
def test_an_exported_model_predicts_as_pytorch_does_for_any_number_of_people(here, case):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    save(here / "run", *case)
    result = CliRunner().invoke(app, ["export", "run", "--onnx", "model.onnx"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"model.onnx: images (people, 3, {SIDE}, {SIDE}) of uint8 -> joints_unit")
    session = onnxruntime.InferenceSession("model.onnx")
    module = posernn.load("run").module
    for people in (1, 5):
        images = np.random.default_rng(people).integers(0, 256, (people, 3, SIDE, SIDE), dtype=np.uint8)
        with torch.inference_mode():
            expected = module(torch.from_numpy(images))
        found = dict(
            zip([output.name for output in session.get_outputs()], session.run(None, {"images": images}), strict=True)
        )
        assert ("confidence" in found) == (expected.confidence is not None)
        for name, values in found.items():
            np.testing.assert_allclose(values, getattr(expected, name), atol=1e-4)
        assert people == 1 or np.ptp(found["joints_unit"], axis=0).max() > 1e-3  # not a constant


def test_the_page_about_deployment_gives_the_joints_of_posernn(here):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    arch, settings = tiny_models.TINY[0]
    save(here / "run", arch, settings)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)).save("photo.jpg")
    assert CliRunner().invoke(app, ["export", "run", "--onnx", "model.onnx"]).exit_code == 0
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
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
    settings = tiny_models.CNN.model_copy(update={"crop_size": SIDE})
    save(here / "runs/model", "cnn", settings)
    Image.new("RGB", (300, 500)).save("photo.jpg")
    joints = truth()[:2]
    table = schemas.predictions_table(*map(list, zip(*KEYS[:2], strict=True)), joints, joints)
    files.write_table(here / "results/model/predictions.parquet", table)
    files.write_table(here / "data/people.parquet", people_table().cast(pa.schema(schemas.PEOPLE)))
    __import__(module)
    ran = doctest.testmod(sys.modules[module], optionflags=doctest.NORMALIZE_WHITESPACE)
    assert ran.attempted > 0
    assert ran.failed == 0


def test_importing_posernn_imports_nothing_heavy():
    import subprocess

    heavy = "{'torch', 'numpy', 'pyarrow', 'mlflow', 'matplotlib', 'PIL', 'typer', 'pydantic'}"
    code = f"import sys, posernn; dir(posernn); sys.exit(str({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == "set()"
