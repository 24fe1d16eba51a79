"""Writes parameters.md, columns.md and commands.md from the code: python docs/reference/generate.py, or make docs."""

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer
from pydantic import BaseModel

from posernn import models, params
from posernn.cli.main import EXIT_CODES, app
from posernn.data import schemas
from posernn.inference import outputs
from posernn.params import sections
from posernn.training.loop import HistoryRow

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/reference/generate.py: change the code, then run make docs. -->"
CONFIDENCE = outputs.SCHEMA.field("confidence")  # a column of predictions.parquet where the model gives one
FILES = {
    "data/people.parquet: a row for each person": schemas.PEOPLE,
    "data/crops/*.parquet: a row for each crop": schemas.CROPS,
    "data/rejected.parquet, data/crops-rejected.parquet: a row for each person or image left out": schemas.REJECTED,
    "results/NAME/predictions.parquet: a row for each held-out person": [*schemas.PREDICTIONS, CONFIDENCE],
    "Output of posernn predict, as .parquet: a row for each person": outputs.SCHEMA,
}
STAGES = ("synthesize", "parse", "crops", "train", "evaluate", "compare")
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "multipleOf": "multiple of"}


def described(name: str, about: str | None) -> str:
    """Return a description as one line; there has to be one."""
    if not about or not about.strip():
        raise ValueError(f"{name}: expected a description, got none; write one where it is defined")
    return " ".join(about.split())


def table(header: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Format a Markdown table; the header's cells are separated by ` | `."""
    lines = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in [header, re.sub(r"[^|]+", " --- ", header).strip(), *lines])


def comments(text: str) -> dict[str, str]:
    """Map each key of params.yaml, such as `train.lr`, to its comment with the lines that continue it."""
    found: dict[str, str] = {}
    parents: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"( *)([\w-]+):[^#]*(?:# *(.*))?$", line):
            parents = [*parents[: len(match[1]) // 2], match[2]]
            found[".".join(parents)] = match[3] or ""
        elif parents and (match := re.match(r" {8,}# *(.*)", line)):
            found[".".join(parents)] += (" | " if re.match(r"\w+: ", match[1]) else " ") + match[1]
    return found


def values(field: dict[str, Any]) -> str:
    """Say which values a field of a pydantic schema takes."""
    if "anyOf" in field:
        return " or ".join(values(choice) for choice in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "additionalProperties" in field:
        return f"architecture: {values(field['additionalProperties'])}"
    bounds = " and ".join(f"{sign} {field[key]}" for key, sign in BOUNDS.items() if key in field)
    return f"{ {'boolean': '`true`, `false`', 'string': 'text'}.get(field['type'], field['type']) } {bounds}".strip()


def parameters() -> Iterator[str]:
    """Yield the parts of the page: comments of params.yaml, and the values that the schemas accept."""
    about = comments((HERE.parents[1] / "params.yaml").read_text(encoding="utf-8"))

    def rows(section: str, schema: type[BaseModel], without: tuple[str, ...] = ()) -> str:
        fields = {f"{section}.{key}": of for key, of in schema.model_json_schema()["properties"].items()}
        own = [key for key, of in fields.items() if "$ref" not in of and key.split(".")[-1] not in without]
        return table(
            "parameter | values | meaning",
            [(f"`{key}`", values(fields[key]), described(key, about[key])) for key in own],
        )

    yield "# Parameters\n\nTheir values are in [params.yaml](../../params.yaml)."
    yield "A wrong name, type or value ends a stage with one line before it does any work."
    yield f"## dataset\n\n{described('dataset', about['dataset']).capitalize()}. A section, here `synthetic`, has:"
    yield rows("synthetic", sections.Dataset)
    for name in ("parse", "crops", "train", "train.augment", "evaluate", "report"):
        schema = getattr(sections, name.split(".")[-1].capitalize())
        yield f"## {name}\n\n{schema.__doc__}\n\n{rows(name, schema)}"
    yield f"## Entries\n\nSections with `arch` ({', '.join(params.ENTRIES)} and your own) are the models to compare."
    yield "An entry may override the parameters of its architecture, and `train` in a section of that name."
    for arch in models.architectures():
        own = rows(arch, models.module_of(arch).Settings, params.OF_DATASET)
        yield f"## {arch}\n\nAn architecture: {described(arch, about[arch])}.\n\n{own}"


def type_of(type_: pa.DataType) -> str:
    """Name the type of a column; fixed-size lists are axes: `float (16, 2)`."""
    if pa.types.is_struct(type_):
        return ", ".join(f"{part.name}: {part.type}" for part in type_)
    sizes = []
    while pa.types.is_fixed_size_list(type_):
        sizes.append(str(type_.list_size))
        type_ = type_.value_type
    return f"{type_} ({', '.join(sizes)})" if sizes else str(type_)


def columns() -> Iterator[str]:
    """Yield the parts of the page: a table for each file."""
    yield "# Columns\n\nPixels count from 0, and pixel centres are at integers."
    yield "Joints are x, y, in the order of [skeleton.py](../../posernn/pose/skeleton.py)."
    yield "Examples: [read the data](../how-to/read-the-data.md)."
    for title, schema in FILES.items():
        rows = []
        for field in schema:
            about = (field.metadata or {}).get(b"about", b"").decode()
            rows.append((f"`{field.name}`", type_of(field.type), described(field.name, about)))
        yield f"## {title}\n\n{table('column | type | meaning', rows)}"
    of_history = dict(re.findall(r"^ +(\w+): (.*)\.$", inspect.getdoc(HistoryRow) or "", re.MULTILINE))
    names = [field.name for field in dataclasses.fields(HistoryRow)]
    rows = [(f"`{name}`", described(name, of_history.get(name))) for name in names]
    yield f"## runs/NAME/history.csv: a row for each validation\n\n{table('column | meaning', rows)}"


def usage(name: str, command: Any) -> str:
    """Return the command with its arguments."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    shown = [one.get_help_record(typer.Context(command))[0].split(" <")[0].upper() for one in arguments]
    return " ".join([name, *shown])


def commands() -> Iterator[str]:
    """Yield the parts of the page: exit codes, commands of posernn, stages."""
    yield "# Commands\n\n`posernn COMMAND --help` prints the same."
    yield f"## Exit codes\n\n{table('code | meaning', [(str(code), about) for code, about in EXIT_CODES.items()])}"
    for name, command in typer.main.get_command(app).commands.items():
        yield f"## posernn {name}\n\n`{usage(f'posernn {name}', command)}`"
        yield inspect.cleandoc(command.help or described(name, None))
        rows = []
        for one in command.params:
            described(f"posernn {name} {one.name}", one.help)
            shown, about = one.get_help_record(typer.Context(command))
            rows.append((f"`{shown}`", described(name, about)))
        yield table("argument or option | meaning", rows) if rows else "It has no options."
        if command.epilog:
            yield f"```\n{command.epilog.removeprefix('Example: ')}\n```"
    rows = []
    for stage in STAGES:
        one = typer.Typer()
        one.command()(import_module(f"stages.{stage}").main)
        command = typer.main.get_command(one)
        rows.append((f"`{usage(f'python -m stages.{stage}', command)}`", described(stage, command.help)))
    yield f"## Stages\n\n`dvc repro` runs them with the arguments of dvc.yaml.\n\n{table('stage | does', rows)}"


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    parts = {"parameters.md": parameters(), "columns.md": columns(), "commands.md": commands()}
    return {name: "\n\n".join([NOTE, *of]) + "\n" for name, of in parts.items()}


if __name__ == "__main__":
    for page, text in pages().items():
        (HERE / page).write_text(text, encoding="utf-8")
