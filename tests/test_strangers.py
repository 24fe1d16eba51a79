"""Files from strangers are data: nothing that could run code is ever read."""

import ast
import pickle
from pathlib import Path

import pytest
import tiny_models

from posernn import models
from posernn.evaluation import results
from posernn.inference import detector
from posernn.runtime.errors import InputError
from posernn.training import checkpoints
from posernn.training.loop import TrainingState
from posernn.training.optimization import make_optimizer

ROOT = Path(__file__).parent.parent
SOURCES = [path for folder in ("posernn", "stages") for path in (ROOT / folder).rglob("*.py")]
CAN_RUN_CODE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


class Malice:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def malicious(tmp_path):
    """A pickle that shows when it is loaded; and the file that it makes then."""
    (tmp_path / "pickle").write_bytes(pickle.dumps(Malice(tmp_path / "loaded")))
    return tmp_path / "pickle", tmp_path / "loaded"


def test_the_pickle_of_these_tests_does_run_code_when_loaded(malicious):
    file, loaded = malicious
    pickle.loads(file.read_bytes())
    assert loaded.exists()


def test_weights_checkpoints_and_maps_that_are_pickles_are_refused(malicious, tmp_path):
    file, loaded = malicious
    tiny_models.save(tmp_path / "run", "cnn")
    file.replace(tmp_path / "run/weights.safetensors")
    with pytest.raises(InputError, match="expected safetensors"):
        models.load(tmp_path / "run")

    (tmp_path / "run/weights.safetensors").rename(tmp_path / "checkpoint.safetensors")
    model = tiny_models.of("cnn")
    with pytest.raises(InputError, match="expected a checkpoint of this training"):
        checkpoints.restore(
            tmp_path / "checkpoint.safetensors", TrainingState(model, make_optimizer("adam", model, 1)), "cnn"
        )

    (tmp_path / "checkpoint.safetensors").rename(tmp_path / "maps.npz")
    with pytest.raises(InputError):
        results.read_maps(tmp_path / "maps.npz")
    assert not loaded.exists()


def test_weights_of_the_detector_that_are_a_pickle_are_refused_and_not_run(malicious):
    file, loaded = malicious
    with pytest.raises(InputError, match="expected weights as PyTorch saves them"):
        detector.load(file)
    assert not loaded.exists()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reads_what_can_run_code(source):
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & CAN_RUN_CODE
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] not in CAN_RUN_CODE
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec"), ast.unparse(node)
            assert called != "torch.load" or "weights_only=True" in ast.unparse(node), ast.unparse(node)
            assert "allow_pickle=True" not in ast.unparse(node), ast.unparse(node)
            if called.endswith("YAML"):
                assert "typ='safe'" in ast.unparse(node), ast.unparse(node)
