"""One training by several processes, one a GPU, on one machine or several: PyTorch's DistributedDataParallel.

Every process takes its share of every batch, and all of them hold the same weights after it. Sums over the batch, those
of batch normalisation included, are sums over all processes: how many there are changes results by rounding only.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from posernn.runtime.errors import InputError
from posernn.runtime.interrupts import exit_code
from posernn.runtime.machine import num_cores


@dataclass(frozen=True)
class Group:
    """The processes of a training; as it stands, one alone.

    Attributes:
        rank: this process's number, from 0. Number 0 writes and records.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1
    control: Any = None
    """For what processes say to each other about the work, on the CPU, so that nobody waits for a GPU."""

    @property
    def share(self) -> slice:
        """Which items of a batch, or of any list, are this process's."""
        return slice(self.rank, None, self.size)

    def sum(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Sum of what each process gives, in place; without gradient."""
        return _summed(values) if self.size > 1 else values

    def any(self, answer: bool) -> bool:
        """Whether one of the processes says yes. All have to ask."""
        if self.size == 1:
            return answer
        answers = torch.tensor([answer], dtype=torch.int32)
        dist.all_reduce(answers, op=dist.ReduceOp.MAX, group=self.control)
        return bool(answers)

    def require_people(self, batch_size: int) -> None:
        """Hold a batch to one person for each process.

        Raises:
            InputError: there are more processes.
        """
        if batch_size < self.size:
            raise InputError(
                f"train.batch_size: expected a person for each of {self.size} processes, got {batch_size} people; "
                "take fewer processes"
            )

    def require_same(self, what: str, value: int) -> None:
        """Hold all processes to one number.

        Raises:
            InputError: theirs differ, in all of them.
        """
        if self.size > 1:
            low, high = torch.tensor([value]), torch.tensor([value])
            dist.all_reduce(low, op=dist.ReduceOp.MIN, group=self.control)
            dist.all_reduce(high, op=dist.ReduceOp.MAX, group=self.control)
            if low != high:
                raise InputError(
                    f"processes: expected the same {what} in all of them, got {int(low)} to {int(high)}; "
                    "the project's folder has to be one that all machines share"
                )

    def wrap(self, model: nn.Module) -> nn.Module:
        """Give what computes the model's predictions in training; gradients of its weights are means over processes.

        Args:
            model: on its device; its batch normalisations are replaced, its parameters stay the same objects.
        """
        if self.size == 1:
            return model
        if next(model.parameters()).device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        else:
            _synchronize(model)
        return nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)


def launched() -> bool:
    """Whether this is a process of torchrun or of `launch`."""
    return dist.is_available() and dist.is_torchelastic_launched()


@contextmanager
def join(device: torch.device) -> Iterator[Group]:
    """Meet the other processes, if torchrun or `launch` started this one; else be alone.

    Args:
        device: of the arithmetic; CUDA processes take one GPU each.
    """
    if not launched():
        yield Group()
        return
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if device.type == "mps":
        raise InputError(
            "processes: expected one, on this device, got more; set train.device to cpu, or processes to 1"
        )
    if device.type == "cuda":
        if local_size > torch.cuda.device_count():
            raise InputError(
                f"processes: expected at most one per GPU, got {local_size} for {torch.cuda.device_count()}; "
                "lower train.processes"
            )
        torch.cuda.set_device(local_rank)
    else:
        torch.set_num_threads(max(num_cores() // local_size, 1))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo"))
    finally:
        dist.destroy_process_group()


def launch(
    processes: int, explain: Callable[[Exception], str | None], work: Callable[..., None], *arguments: object
) -> None:
    """Start processes on this machine that call `work`, and wait for them. What they print is that of number 0.

    Args:
        processes: how many.
        explain: gives one line for somebody who can mend what was raised; None for a mistake in the program.
        work: can be pickled.
        arguments: of `work`; can be pickled.
    Raises:
        InputError: one failed, with what `explain` makes of that; or died.
        SystemExit: one was asked to stop (130); or failed of a mistake in the program, whose traceback is printed.
        KeyboardInterrupt: somebody stopped this process. The others were asked to end (SIGTERM) and did.
    """
    import logging

    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.multiprocessing"):  # they say in pages what we say in a line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    others = dict.fromkeys(range(1, processes), Std.ALL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            run_id="posernn",
            max_restarts=0,
            signals_to_handle="SIGTERM",
            logs_specs=DefaultLogsSpecs(name, redirects=others),
        )
        try:
            elastic_launch(config, _work)(folder, explain, work, *arguments)
        except SignalException as error:
            raise KeyboardInterrupt from error
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            # Whoever lost a partner fails too, and may be seen first: what is explained comes before what is not.
            if reasons := {rank: reason for rank in range(processes) if (reason := _read(folder / f"reason.{rank}"))}:
                rank, reason = min(reasons.items())
                raise InputError(f"process {rank} of the training: {reason}" if rank else reason) from error
            if failure.exitcode == 130:
                raise SystemExit(130) from error
            if shown := _read(folder / f"traceback.{rank}"):
                print(shown, end="", file=sys.stderr)
                raise SystemExit(1) from error
            raise InputError(f"process {rank} of the training: one that died") from error


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _work(
    folder: Path, explain: Callable[[Exception], str | None], work: Callable[..., None], *arguments: object
) -> None:
    """What a process of `launch` does. Where its parent dies, Linux sends it SIGINT: PyTorch asks for that.

    What it says of its failure it writes down: several may fail of the same, and one of them is to be heard.
    """
    try:
        with exit_code():
            work(*arguments)
    except Exception as error:
        reason = explain(error)
        name, text = ("traceback", traceback.format_exc()) if reason is None else ("reason", reason)
        with suppress(OSError):
            (folder / f"{name}.{os.environ['RANK']}").write_text(text, encoding="utf-8")
        sys.exit(1)


def _synchronize(model: nn.Module) -> None:
    """Replace the batch normalisations of a model by ones whose statistics are those of all processes."""
    for name, module in list(model.named_children()):
        if isinstance(module, nn.BatchNorm2d):
            synchronized = _SynchronizedBatchNorm(module.num_features, module.eps, module.momentum, device="meta")
            synchronized.__dict__.update(module.__dict__)  # the same parameters and running averages
            setattr(model, name, synchronized)
        else:
            _synchronize(module)


class _SynchronizedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes, on the CPU: PyTorch's own wants a GPU.

    Source: Ioffe & Szegedy 2015.
    """

    def forward(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if not self.training:
            return super().forward(maps)
        exact = maps.double()  # the variance is a small difference of large sums
        total, squares = exact.sum(dim=(0, 2, 3)), exact.square().sum(dim=(0, 2, 3))  # (C,)
        count = torch.full_like(total, maps.numel() / maps.shape[1])  # (C,), to go with the sums in one message
        total, squares, count = _Sum.apply(torch.stack([total, squares, count])).unbind()
        mean, square = total / count, squares / count
        variance = square - mean.square()
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean.to(maps.dtype), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(maps.dtype), self.momentum)
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        scale = self.weight * torch.rsqrt(variance + self.eps).to(maps.dtype)  # (C,)
        shift = self.bias - mean.to(maps.dtype) * scale
        return maps * scale[:, None, None] + shift[:, None, None]


def _summed(values: Tensor) -> Tensor:
    """Sum of what each process gives, in place; without gradient."""
    dist.all_reduce(values)
    return values


class _Sum(torch.autograd.Function):
    """Sum of what each process gives; the gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient.clone())
