"""The only reader of params.yaml: frozen, strict, typed sections."""

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from posernn import models
from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    from posernn.models.contract import Settings

OF_DATASET = ("crop_size", "trunk_width")
"""Settings of a model that stand in the section of the data set, because they must differ in scale."""

SCHEDULE_OF_DATASET = ("iterations", "iterations_of", "halve_lr_every")
"""Settings of a training that do."""

ENTRIES = ("baseline", "model", "pretrained")
"""Models of the comparison that are always there."""

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Dataset(_Section):
    """What must differ in scale between data sets. Comments are in params.yaml."""

    people: Count | None = None
    seed: Seed | None = None
    crop_size: Annotated[int, Field(ge=32, le=4096, multiple_of=32)]
    trunk_width: Annotated[float, Field(gt=0, le=4)]
    iterations: Count
    iterations_of: dict[str, Count] = {}
    halve_lr_every: Count
    val_list: str | None


class Parse(_Section):
    """How people are held out for validation."""

    hold_out: Share
    seed: Seed


class Crops(_Section):
    """What a crop shows of a person."""

    box: Literal["joints", "person"]
    padding: Annotated[float, Field(ge=0)]
    keep_aspect: bool
    margin: Annotated[float, Field(ge=0, le=1)]
    jpeg_quality: Annotated[int, Field(ge=1, le=95)]


class Augment(_Section):
    """Random changes to training crops; 0 is off."""

    flip: Probability
    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, le=4)]
    color: Annotated[float, Field(ge=0, lt=1)]
    shift: Annotated[float, Field(ge=0, le=1)]
    half_body: Probability
    erase: Probability


class Train(_Section):
    """How the models are trained; an architecture or an entry may override it in a `train` of its own."""

    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: Annotated[float, Field(gt=0)]
    trunk_lr: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["halving", "cosine"]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    clip_grad: Annotated[float, Field(gt=0)] | None
    start_from: str | None
    precision: Literal["auto", "fp32", "bf16"]
    device: Literal["auto", "cuda", "mps", "cpu"]
    processes: Count
    seed: Seed
    validate_every: Count
    checkpoint_every: Count
    augment: Augment


class Training(Train):
    """How one entry is trained."""

    iterations: Count
    halve_lr_every: Count


class Evaluate(_Section):
    """What is computed from predictions."""

    batch_size: Count
    bootstrap_draws: Annotated[int, Field(ge=100)]
    seed: Seed
    pictures: Annotated[int, Field(ge=0)]


class Report(_Section):
    """What the report shows."""

    pictures: bool


class Entry(NamedTuple):
    """A model of the comparison.

    Attributes:
        arch: name of its architecture.
        settings: of the model.
        training: of its training.
    """

    arch: str
    settings: "Settings"
    training: Training


class Params(_Section):
    """params.yaml, with the section of the chosen data set as `data`.

    Attributes:
        path: of the file.
        entries: the sections that name an architecture: the models that are compared.
        architectures: the sections of architectures, by name.
    """

    path: Path
    dataset: str
    data: Dataset
    parse: Parse
    crops: Crops
    train: Train
    evaluate: Evaluate
    report: Report
    entries: dict[str, dict[str, Any]]
    architectures: dict[str, dict[str, Any]]

    def entry(self, name: str) -> Entry:
        """Look up a model of the comparison.

        `crop_size` and `trunk_width` come from the data set's section, the other settings from the section of the
        architecture; the entry overrides both. So does the training, with `train` as the start.

        Args:
            name: of the entry: baseline, model or one of your own.
        Raises:
            InputError: no such entry, or a setting that is unknown, absent, of the wrong type or out of range.
        """
        if name not in self.entries:
            raise InputError(
                f"{self.path}: {name}: expected a section with `arch:`, as {' and '.join(self.entries)} are, got none"
            )
        overrides = dict(self.entries[name])
        arch = overrides.pop("arch")
        section = dict(self.architectures.get(arch, {}))
        trains = {arch: section.pop("train", {}), name: overrides.pop("train", {})}
        settings = models.module_of(arch).Settings
        for key in [key for key, value in overrides.items() if value is False and key not in settings.model_fields]:
            if self._architectures_with(key):  # a switch that is off asks for nothing: model.arch may be changed alone
                del overrides[key]
        values = {key: getattr(self.data, key) for key in OF_DATASET if key in settings.model_fields} | section
        self._validated(arch, settings, values)
        return Entry(arch, self._validated(name, settings, values | overrides), self._training(arch, trains))

    def _training(self, arch: str, trains: dict[str, Any]) -> Training:
        """Override `train` by the `train` of each of some sections, the last of which counts most."""
        iterations = self.data.iterations_of.get(arch, self.data.iterations)
        schedule = {"iterations": iterations, "halve_lr_every": self.data.halve_lr_every}
        values = self.train.model_dump() | schedule
        training = Training.model_validate(values)
        for section, overrides in trains.items():
            if not isinstance(overrides, dict) or not isinstance(overrides.get("augment", {}), dict):
                raise InputError(f"{self.path}: {section}.train: expected settings of `train`, got {overrides!r}")
            augment = values["augment"] | overrides.get("augment", {})
            values = values | overrides | {"augment": augment}
            try:
                training = Training.model_validate(values)
            except ValidationError as error:
                raise InputError(_explain(self.path, error, f"{section}.train", Training)) from error
        return training

    def _validated(self, where: str, settings: "type[Settings]", values: dict[str, Any]) -> "Settings":
        """Check the settings of a model, which stand in section `where`."""
        try:
            return settings.model_validate(values)
        except ValidationError as error:
            first = _first(error)
            if not first["loc"]:  # about several settings at once
                raise InputError(f"{self.path}: {where}: {first['ctx']['error']}") from error
            key = str(first["loc"][0])
            if first["type"] != "extra_forbidden":
                raise InputError(f"{self.path}: {where}.{key}: {_complaint(first)}") from error
            others = self._architectures_with(key)
            hint = f"it belongs to arch: {' or '.join(others)}" if others else _instead(key, settings)
            raise InputError(f"{self.path}: {where}.{key}: unknown key; {hint}") from error

    def _architectures_with(self, key: str) -> list[str]:
        return [arch for arch in models.architectures() if key in models.module_of(arch).Settings.model_fields]


def load(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml.

    The settings of a model are looked at by `Params.entry`, which imports PyTorch.

    Raises:
        InputError: missing, not YAML, or a key that is unknown, absent, of the wrong type or out of range.
    """
    values = _read(path)
    stages = Params.model_fields.keys() - {"path", "dataset", "data", "entries", "architectures"}
    known = models.architectures()
    entries = {name: section for name, section in values.items() if name in ENTRIES or "arch" in _mapping(section)}
    architectures = {name: values[name] or {} for name in known if name in values}
    datasets = values.keys() - stages - {"dataset"} - entries.keys() - architectures.keys()
    wanted = stages | set(ENTRIES) | {str(_mapping(entry).get("arch")) for entry in entries.values()}
    for name in sorted(wanted - values.keys()):
        for near in difflib.get_close_matches(name, (datasets | entries.keys()) - wanted, n=1):
            raise InputError(f"{path}: {near}: unknown section; did you mean {name}?")
    if values["dataset"] not in datasets:
        there = ", ".join(sorted(datasets)) or "none"
        raise InputError(
            f"{path}: dataset: expected a section of that name, got {values['dataset']!r}; there are: {there}"
        )
    section: type[BaseModel]
    for name in dict.fromkeys([*ENTRIES, *entries]):
        arch = _mapping(entries.get(name)).get("arch")
        if arch not in known:
            raise InputError(f"{path}: {name}.arch: expected one of {', '.join(known)}, got {arch!r}")
    for name in sorted(datasets):
        for arch in _mapping(_mapping(values[name]).get("iterations_of")):
            if arch not in known:
                raise InputError(f"{path}: {name}.iterations_of: expected names among {', '.join(known)}, got {arch!r}")
    try:
        for name in sorted(datasets):  # a mistake in a section that does not apply today is a mistake all the same
            prefix, section = name, Dataset
            Dataset.model_validate(values[name])
        prefix, section = "", Params
        return Params.model_validate(
            {name: values[name] for name in stages & values.keys()}
            | {"path": path, "dataset": values["dataset"], "data": values[values["dataset"]]}
            | {"entries": entries, "architectures": architectures}
        )
    except ValidationError as error:
        raise InputError(_explain(path, error, prefix, section)) from error


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


def _first(error: ValidationError) -> Any:
    """Pick the complaint to show; an unknown key comes before the one it was meant to be."""
    errors = error.errors(include_url=False)
    return next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])


def _complaint(first: Any) -> str:
    message = first["msg"][0].lower() + first["msg"][1:]
    return message if first["type"] == "missing" else f"{message}, got {first['input']!r}"


def _explain(path: Path, error: ValidationError, prefix: str, section: Any) -> str:
    """Format the first complaint of pydantic about a section as one line; `prefix` is where it stands."""
    first = _first(error)
    where = ".".join(str(part) for part in [prefix, *first["loc"]] if part != "")
    if first["type"] != "extra_forbidden":
        return f"{path}: {where}: {_complaint(first)}"
    for part in first["loc"][:-1]:
        section = section.model_fields[str(part)].annotation
    return f"{path}: {where}: unknown key; {_instead(str(first['loc'][-1]), section)}"


def _instead(key: str, section: type[BaseModel]) -> str:
    """Suggest the key that was meant."""
    near = difflib.get_close_matches(key, section.model_fields, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(section.model_fields)}"
