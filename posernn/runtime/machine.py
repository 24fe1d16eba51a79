import os
import platform
from importlib.metadata import version


def num_cores() -> int:
    """Return the number of cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def description() -> str:
    """Describe this machine: system, processors, Python and PyTorch."""
    system = f"{platform.system()} on {platform.machine()}, {num_cores()} processors"
    return f"{system}, Python {platform.python_version()}, PyTorch {version('torch')}"
