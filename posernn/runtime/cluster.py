"""A Dask cluster as an executor, see docs/how-to/several-machines.md."""

import concurrent.futures
import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import metadata

from posernn.runtime.errors import InputError

CONNECT_SECONDS = 20


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
            yield client.get_executor()
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
