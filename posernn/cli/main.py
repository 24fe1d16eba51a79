"""The group of all commands."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from posernn.runtime.errors import InputError

EXIT_CODES = {
    0: "success",
    1: "an error that one line describes, or an unexpected one with its traceback",
    2: "a command or an option that does not exist",
    130: "ended by Ctrl-C or SIGTERM",
}
"""Exit codes of `posernn` and of the stages."""


class _OneLineErrors(TyperGroup):
    """A wrong input is one line and exit code 1, Ctrl-C exit code 130, as in the stages; a wrong option is code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error


app = typer.Typer(cls=_OneLineErrors, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool | None) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"posernn {version('posernn')}")
        raise typer.Exit


_CODES = "; ".join(f"{code}: {meaning}" for code, meaning in EXIT_CODES.items())
EPILOG = (
    "Example: posernn predict photo.jpg --box 40,10,260,480 --draw drawn/\n\n"
    f"Exit codes: {_CODES}. NO_COLOR=1: no colours."
)


@app.callback(epilog=EPILOG)
def main(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = None,
) -> None:
    """Predict the joints of people in pictures, one after another or all at once, and score them with PCKh."""
