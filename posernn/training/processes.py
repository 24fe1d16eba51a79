"""One training by several processes, one per GPU, on one machine or several: PyTorch's DistributedDataParallel.

Every process computes its share of every batch, and all of them hold the same weights after it.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from posernn.runtime.errors import InputError
from posernn.runtime.machine import num_cores


@dataclass(frozen=True)
class Group:
    """The processes of a training; by default this process alone.

    Attributes:
        rank: number of this process, from 0. Rank 0 writes and records.
        size: number of processes.
        control: process group on the CPU for messages that must not wait for a GPU.
    """

    rank: int = 0
    size: int = 1
    control: Any = None

    @property
    def share(self) -> slice:
        """Return the slice of a batch, or of any list, that is this process's."""
        return slice(self.rank, None, self.size)

    def sum(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Sum values over all processes, in place; without gradient."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def any(self, answer: bool) -> bool:
        """Return whether any process answers True. All processes have to call it."""
        return any(self._gather(answer))

    def require_people(self, batch_size: int) -> None:
        """Check that a batch has a person for each process.

        Raises:
            InputError: there are more processes.
        """
        if batch_size < self.size:
            raise InputError(
                f"train.batch_size: expected a person for each of {self.size} processes, got {batch_size} people; "
                "take fewer processes"
            )

    def require_same(self, what: str, value: int) -> None:
        """Check that a number is the same in all processes.

        Raises:
            InputError: it differs; raised in all processes.
        """
        values = self._gather(value)
        if len(set(values)) > 1:
            raise InputError(
                f"processes: expected the same {what} in all of them, got {min(values)} to {max(values)}; "
                "the project's folder has to be one that all machines share"
            )

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return a model whose gradients are means over all processes.

        Args:
            model: on its device; its parameters stay the same objects. On CUDA its batch normalisations are replaced
                by ones over the batches of all processes; PyTorch has none for the CPU.
        """
        if self.size == 1:
            return model
        if next(model.parameters()).device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)

    def _gather(self, value: int) -> list[int]:
        """Return the values of all processes."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value, group=self.control)
        return values


def launched() -> bool:
    """Return whether torchrun or `launch` started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


@contextmanager
def join(device: torch.device) -> Iterator[Group]:
    """Give the group of processes that torchrun or `launch` started; else a group of this process alone.

    Args:
        device: of the arithmetic; CUDA processes take one GPU each.
    Raises:
        InputError: the device cannot serve so many processes.
    """
    if not launched():
        yield Group()
        return
    if device.type == "mps":
        raise InputError("train.processes: expected 1 on this device, got more; set train.device to cpu")
    if device.type == "cuda":
        if int(os.environ["LOCAL_WORLD_SIZE"]) > torch.cuda.device_count():
            raise InputError(
                f"train.processes: expected at most one per GPU, got {os.environ['LOCAL_WORLD_SIZE']} for "
                f"{torch.cuda.device_count()}; take fewer processes"
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo"))
    finally:
        dist.destroy_process_group()


def launch(processes: int) -> None:
    """Run this program again, with the same arguments, in several processes of torchrun, and wait for them.

    Args:
        processes: number of processes.
    Raises:
        InputError: one died or failed; it printed its own error before.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the processes got it, too, and have ended.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in ("torch.distributed.elastic", "torch.multiprocessing"):  # print tracebacks of how processes ended
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(num_cores() // processes, 1)))
    # --run-path: processes of this kind end when this one is killed.
    options = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}", "--run-path"]
    try:
        torchrun.main([*options, *sys.argv])
    except SignalException as error:
        raise KeyboardInterrupt from error
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in sorted(error.failures.items())}
        if 130 in codes.values():
            raise KeyboardInterrupt from error
        raise InputError(
            "; ".join(f"training process {rank} died (exit code {code})" for rank, code in codes.items())
        ) from error
