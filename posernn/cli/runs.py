"""Shows recorded runs, and sends them to MLflow."""

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from posernn.cli.main import app
from posernn.runtime.errors import InputError


@app.command(epilog="Example: posernn ui --port 8080 --open")
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
    open_: Annotated[bool, typer.Option("--open", help="Open the table of runs in a browser.")] = False,
) -> None:
    """Show recorded runs in MLflow's viewer, for this machine only. Ctrl-C ends it."""
    from posernn.runtime import browse, store, tracking

    uri = tracking.backend_uri()
    if uri.startswith(("http://", "https://")):
        raise InputError(
            f"MLFLOW_TRACKING_URI: expected a database, got a server, {tracking.without_secrets(uri)}; "
            "open that in a browser"
        )
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.is_file():
        raise InputError(f"{database}: expected recorded runs, got nothing; train first, in the project's folder")
    pages: dict[str, str] = {}
    with suppress(sqlite3.OperationalError):  # locked, or without tables: MLflow's to say
        store.claim_artifacts()
        pages = browse.pages()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"--port: expected a free one, got {port} ({error.strerror}); try another") from error
    # One process and half a gigabyte; by default MLflow starts 15 with 3 GB.
    os.environ |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    address = f"http://127.0.0.1:{port}"
    typer.echo(f"{address} (in a few seconds; Ctrl-C ends it)")
    for title, path in pages.items():
        typer.echo(f"{title}: {address}{path}")
    sys.stdout.flush()
    if open_:
        first = address + next(iter(pages.values()), "")
        subprocess.Popen([sys.executable, "-m", "posernn.runtime.browse", first])
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    os.execv(sys.executable, [*command, "--port", str(port), "--workers", "1"])


@app.command(epilog="Example: posernn sync")
def sync() -> None:
    """Send to MLflow the runs and results that it did not take while it was down."""
    from posernn.runtime import publish, tracking

    typer.echo(f"{publish.sync()} runs and results sent to {tracking.without_secrets(tracking.backend_uri())}")
