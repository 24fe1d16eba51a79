import torch

from posernn.runtime.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device; for auto the first available of CUDA, MPS and CPU.

    Args:
        name: auto | cuda | mps | cpu.

    Raises:
        InputError: the named device is not available.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    elif not available[name]:
        there = ", ".join(kind for kind, there in available.items() if there)
        raise InputError(f"device: expected one of {there} on this machine, got {name!r}; take auto")
    return torch.device(name)


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of convolutions and matrix products (autocast); weights stay float32.

    Args:
        precision: auto (bf16 on CUDA, else fp32) | fp32 | bf16.
        device: of the model.
    """
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
