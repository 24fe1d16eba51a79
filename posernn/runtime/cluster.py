"""A Dask cluster as an executor, see docs/how-to/several-machines.md."""

import concurrent.futures
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    import distributed

CONNECT_SECONDS = 20


class _Tasks(ThreadPoolExecutor):
    """Waits for each task in a thread.

    The futures of `Client.get_executor` stay pending for ever if the scheduler ends while it sends a result.
    """

    def __init__(self, client: "distributed.Client") -> None:
        super().__init__()
        self._client = client

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(self._client.submit(work, *args, pure=False, **kwargs).result)


@contextmanager
def connect(address: str) -> Iterator[Executor]:
    """Give an executor that works on a cluster. A task whose worker dies is run again by another worker.

    Args:
        address: of the scheduler, such as tcp://head:8786.
    Raises:
        InputError: no cluster there, no worker left, or a worker with another version of posernn.
    """
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "cluster: expected the package `distributed`, got nothing; pip install 'posernn[cluster]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # failures are raised here, as one line
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cluster: expected a Dask scheduler at {address}, got: {error or 'no answer'}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            here = metadata.version("posernn")
            for worker, there in client.run(metadata.version, "posernn", on_error="return").items():
                if there != here:
                    raise InputError(f"cluster: {worker}: expected posernn {here}, got {there}; install the same")
            executor = _Tasks(client)
            try:
                yield executor
            finally:
                executor.shutdown(wait=False, cancel_futures=True)  # closing the client ends what runs
        except TimeoutError as error:
            raise InputError(f"cluster: expected workers at {address}, got none; start some") from error
        except (
            distributed.KilledWorker,
            distributed.client.FutureCancelledError,
            distributed.comm.CommClosedError,
            concurrent.futures.CancelledError,
        ) as error:
            raise InputError(
                f"cluster: expected the workers at {address} to finish, got none left or several that died of the same "
                "task; see their logs"
            ) from error
