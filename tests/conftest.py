"""What several test modules share."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
import torch

# Tests train tiny models: threads cost more than they bring, and much more where tests share a machine.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mpii_root() -> Path:
    """Give the folder of the real release; skip where there is none."""
    root = os.environ.get("MPII_ROOT")
    if not root:
        pytest.skip("needs the real release: set MPII_ROOT to its folder")
    return Path(root)


@pytest.fixture(scope="session")
def mpii_people(mpii_root: Path) -> pa.Table:
    """Give the people table of the real release, parsed once per session."""
    from posernn.data import mpii

    return mpii.parse_release(mpii.read_release(mpii_root / "mpii_human_pose_v1_u12_1.mat"))[0]
