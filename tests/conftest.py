"""Fixtures of several test modules."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import torch

# Tests train tiny models, on as many cores as pytest-xdist has workers: more threads are slower. Processes that tests
# start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: the last worker of pytest-xdist would run it while the others have nothing left."""
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run the tests in an empty folder: none may depend on params.yaml, data or results of the project's."""
    with contextlib.chdir(tmp_path_factory.mktemp("empty")):
        yield


@pytest.fixture(scope="session")
def mpii_root(pytestconfig: pytest.Config) -> Path:
    """Return the folder of the real release; skip where there is none."""
    root = os.environ.get("MPII_ROOT")
    if not root:
        pytest.skip("needs the real release: set MPII_ROOT to its folder")
    return pytestconfig.invocation_params.dir / root


@pytest.fixture(scope="session")
def mpii_people(mpii_root: Path) -> pa.Table:
    """Return the people table of the real release, parsed once per session."""
    from posernn.data import mpii

    return mpii.parse_release(mpii.read_release(mpii_root / "mpii_human_pose_v1_u12_1.mat"))[0]
