"""One thin command per stage of dvc.yaml: arguments -> library call -> files."""

import signal
import sys
from collections.abc import Callable

import typer

from posernn.errors import InputError


def run(main: Callable[..., None]) -> None:
    """Run a stage: a wrong input is one line and exit code 1, Ctrl-C or SIGTERM is exit code 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clusters send it
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
