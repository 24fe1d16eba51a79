"""The command `posernn`: one file for each group of commands. Heavy modules are imported where they are used."""

from posernn.cli.main import app

from posernn.cli import score, predict, export, runs  # isort: skip  # registers the commands, in the order of --help

__all__ = ["app", "export", "predict", "runs", "score"]
