"""The only reader of params.yaml.

sections.py has the schema of each section, entries.py the parameters as stages get them, complaints.py the messages.
"""

import difflib
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from posernn import models
from posernn.params.complaints import validated
from posernn.params.entries import OF_DATASET, SCHEDULE_OF_DATASET, Entry, Params
from posernn.params.sections import Augment, Crops, Dataset, Evaluate, Parse, Report, Train, Training
from posernn.runtime.errors import InputError

__all__ = [
    "ENTRIES",
    "OF_DATASET",
    "SCHEDULE_OF_DATASET",
    "Augment",
    "Crops",
    "Dataset",
    "Entry",
    "Evaluate",
    "Params",
    "Parse",
    "Report",
    "Train",
    "Training",
    "load",
    "recorded",
]

ENTRIES = ("baseline", "model", "pretrained")
"""Models of the comparison that are always there."""


STAGES = Params.model_fields.keys() - {"path", "dataset", "data", "entries", "architectures"}
"""Sections of the stages."""


def load(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml.

    The settings of a model are looked at by `Params.entry`, which imports PyTorch.

    Raises:
        InputError: missing, not YAML, or a key that is unknown, absent, of the wrong type or out of range.
    """
    values = _read(path)
    entries = {name: section for name, section in values.items() if name in ENTRIES or "arch" in _mapping(section)}
    architectures = {name: values[name] or {} for name in models.architectures() if name in values}
    datasets = sorted(values.keys() - STAGES - {"dataset"} - entries.keys() - architectures.keys())
    _require_sections(path, values, entries, datasets)
    _require_architectures(path, values, entries, datasets)
    for name in datasets:  # a mistake in a section that does not apply today is a mistake all the same
        validated(Dataset, values[name], path, name)
    of_stages = {name: values[name] for name in STAGES & values.keys()}
    dataset = {"dataset": values["dataset"], "data": values[values["dataset"]]}
    models_of = {"entries": entries, "architectures": architectures}
    return validated(Params, of_stages | dataset | models_of | {"path": path}, path)


def _require_sections(path: Path, values: dict[str, Any], entries: dict[str, Any], datasets: list[str]) -> None:
    """Raise InputError if a section is misspelt, or there is none of the chosen data set."""
    wanted = STAGES | set(ENTRIES) | {str(_mapping(entry).get("arch")) for entry in entries.values()}
    for name in sorted(wanted - values.keys()):
        for near in difflib.get_close_matches(name, {*datasets, *entries} - wanted, n=1):
            raise InputError(f"{path}: {near}: unknown section; did you mean {name}?")
    if values["dataset"] not in datasets:
        there = ", ".join(datasets) or "none"
        raise InputError(
            f"{path}: dataset: expected a section of that name, got {values['dataset']!r}; there are: {there}"
        )


def _require_architectures(path: Path, values: dict[str, Any], entries: dict[str, Any], datasets: list[str]) -> None:
    """Raise InputError if an entry or a data set names an architecture that there is not."""
    known = models.architectures()
    for name in dict.fromkeys([*ENTRIES, *entries]):
        arch = _mapping(entries.get(name)).get("arch")
        if arch not in known:
            raise InputError(f"{path}: {name}.arch: expected one of {', '.join(known)}, got {arch!r}")
    for name in datasets:
        for arch in _mapping(_mapping(values[name]).get("iterations_of")):
            if arch not in known:
                raise InputError(f"{path}: {name}.iterations_of: expected names among {', '.join(known)}, got {arch!r}")


def recorded(name: str, path: Path = Path("params.yaml"), text: str | None = None) -> dict[str, Any]:
    """Read the parameters that the training of an entry depends on, flat, by their names in the file: `train.lr`.

    `text` is another version of the file, which is read in its place.
    """
    values = _read(path, text)
    sections = (values["dataset"], "parse", "crops", "train", values[name]["arch"], name)
    return {"dataset": values["dataset"]} | _flat({section: values.get(section) or {} for section in sections})


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = _flat(value) if isinstance(value, dict) else None
        found |= {key: value} if inner is None else {f"{key}.{name}": of_name for name, of_name in inner.items()}
    return found


def _read(path: Path, text: str | None = None) -> dict[str, Any]:
    try:
        # YAML 1.2, in which 1e-5 is a number; ruamel's own type carries comments that pydantic does not want.
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8") if text is None else text)
    except OSError as error:
        raise InputError(
            f"{path}: expected the parameters, got {error.strerror}; run in the project's folder"
        ) from error
    except YAMLError as error:
        raise InputError(f"{path}: expected YAML, got {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `dataset:` and sections, got neither; take the project's own as a start")
    if not isinstance(values.get("dataset"), str):
        raise InputError(f"{path}: dataset: expected the name of a section, got {values.get('dataset')!r}")
    if not re.fullmatch(r"[\w-]+", values["dataset"]):  # dvc.yaml makes paths, commands and keys of it
        raise InputError(
            f"{path}: dataset: expected a name of letters, digits, _ and -, got {values['dataset']!r}; rename its "
            "section and its folder in data/"
        )
    return values


def _mapping(section: Any) -> dict[str, Any]:
    """Give a section as it is, or an empty one where it is none."""
    return section if isinstance(section, dict) else {}
