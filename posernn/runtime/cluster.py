"""A Dask cluster as an executor: what processes do on one machine, on many.

All machines see the folders of pictures under the same path, and run the same code.
"""

import concurrent.futures
import hashlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import numpy
import PIL

from posernn.runtime.errors import InputError
from posernn.runtime.files import source_digest

CONNECT_SECONDS = 20


@contextmanager
def connect(address: str, pictures: Path | None = None) -> Iterator[Executor]:
    """Give an executor whose work is done on a cluster. Work of a worker that dies is done by another.

    Args:
        address: of the scheduler, such as tcp://head:8786.
        pictures: a folder that all workers must see as it is here.
    Raises:
        InputError: no cluster there, none of its workers left, or a worker that would not do the same as this process.
    """
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "cluster: expected the package `distributed`, got nothing; pip install 'posernn[cluster]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it has to say is said here in a line
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cluster: expected a Dask scheduler at {address}, got: {error or 'no answer'}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            _require_same(client, pictures)
            yield client.get_executor()
        except TimeoutError as error:
            raise InputError(f"cluster: expected workers at {address}, got none") from error
        except (
            distributed.KilledWorker,
            distributed.client.FutureCancelledError,
            distributed.comm.CommClosedError,
            concurrent.futures.CancelledError,
        ) as error:
            raise InputError(
                f"cluster: expected the workers at {address} to finish, got none left or several that died of the same "
                "work; see their logs"
            ) from error


def _require_same(client: "distributed.Client", pictures: Path | None) -> None:  # type: ignore[name-defined]
    """Hold all workers to the code and pictures of this process: else bytes would differ, or be missing."""
    pictures = pictures.resolve() if pictures else None
    here = same_as(pictures)
    everywhere = client.run(same_as, pictures, on_error="return")
    try:
        client.run_on_scheduler(same_as, None)  # which unpacks the work, too
    except Exception as error:
        everywhere["scheduler"] = error
    for worker, there in everywhere.items():
        if isinstance(there, Exception):
            raise InputError(f"cluster: {worker}: expected posernn to be installed, got: {there}") from there
        for what in here:
            if there[what] != here[what]:
                raise InputError(f"cluster: {worker}: expected the same {what} as here, got {there[what]}")


def same_as(pictures: Path | None) -> dict[str, str]:
    """What a worker has to have in common with the process that gives it work."""
    names = ""
    if pictures is not None:
        try:
            names = hashlib.sha256("\n".join(sorted(os.listdir(pictures))).encode(errors="replace")).hexdigest()[:16]
        except OSError as error:
            names = str(error)
    return {
        "posernn": source_digest()[:16],
        "Pillow": PIL.__version__,
        "numpy": numpy.__version__,
        f"names of pictures in {pictures}": names,
    }
