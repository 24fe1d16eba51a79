"""What several test modules share."""

import os
import signal
from collections.abc import Iterator
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


@pytest.fixture
def interrupted_reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Ctrl-C come while native code that reads a tensor asks Python for its storage: it reports another error."""
    get_item, asked = torch.UntypedStorage.__getitem__, 0

    def interrupted(*arguments):
        nonlocal asked
        asked += 1
        if asked == 2:  # safetensors asks first, which passes the interruption on; then PyTorch, which does not
            signal.raise_signal(signal.SIGINT)
        return get_item(*arguments)

    monkeypatch.setattr(torch.UntypedStorage, "__getitem__", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background runs of the tests ignore it
    yield
    signal.signal(signal.SIGINT, before)
