"""What pydantic finds wrong in params.yaml, as one line with the key, the value and what is allowed."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from posernn.runtime.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def validated(section: type[Model], values: Any, path: Path, where: str = "") -> Model:
    """Check values against the schema of a section.

    Args:
        section: the schema.
        values: of the section, as YAML has them.
        path: of params.yaml.
        where: the section stands there, such as `train`.
    Raises:
        InputError: a key is unknown, absent, of the wrong type or out of range.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        first = first_of(error)
        place = ".".join(str(part) for part in [where, *first["loc"]] if part != "")
        if first["type"] != "extra_forbidden":
            raise InputError(f"{path}: {place}: {complaint(first)}") from error
        inner: Any = section
        for part in first["loc"][:-1]:
            inner = inner.model_fields[str(part)].annotation
        raise InputError(f"{path}: {place}: unknown key; {instead(str(first['loc'][-1]), inner)}") from error


def first_of(error: ValidationError) -> Mapping[str, Any]:
    """Pick the complaint to show; an unknown key comes before the one it was meant to be."""
    errors = error.errors(include_url=False)
    return next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])


def complaint(first: Mapping[str, Any]) -> str:
    """Say what is wrong with a value, and which one it is."""
    message = first["msg"][0].lower() + first["msg"][1:]
    return message if first["type"] == "missing" else f"{message}, got {first['input']!r}"


def instead(key: str, section: type[BaseModel]) -> str:
    """Suggest the key that was meant."""
    near = difflib.get_close_matches(key, section.model_fields, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(section.model_fields)}"
