"""The only reader of params.yaml: frozen, strict, typed sections."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from posernn.runtime.errors import InputError

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
    jpeg_quality: Annotated[int, Field(ge=1, le=95)]


class Augment(_Section):
    """Random changes to training crops; 0 is off."""

    flip: Probability
    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, le=4)]
    color: Annotated[float, Field(ge=0, lt=1)]


class Train(_Section):
    """How both models are trained."""

    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: Annotated[float, Field(gt=0)]
    loss: Literal["l2", "l1", "smooth_l1"]
    precision: Literal["auto", "fp32", "bf16"]
    device: Literal["auto", "cuda", "mps", "cpu"]
    processes: Count
    seed: Seed
    validate_every: Count
    checkpoint_every: Count
    augment: Augment


class Cnn(_Section):
    """Every joint at once."""

    arch: Literal["cnn"]


class Lstm(_Section):
    """One joint after another."""

    arch: Literal["lstm"]
    attention: bool
    layers: Annotated[int, Field(ge=1, le=8)]
    hidden_size: Count
    joint_order: Literal["easy_first", "hard_first", "skeleton"]


ARCHITECTURES: dict[str, type[BaseModel]] = {"cnn": Cnn, "lstm": Lstm}

Model = Annotated[Cnn | Lstm, Field(discriminator="arch")]


class Evaluate(_Section):
    """What is computed from predictions."""

    batch_size: Count
    bootstrap_draws: Annotated[int, Field(ge=100)]
    seed: Seed
    pictures: Annotated[int, Field(ge=0)]


class Params(_Section):
    """params.yaml, with the section of the chosen data set as `data`."""

    dataset: str
    data: Dataset
    parse: Parse
    crops: Crops
    train: Train
    baseline: Model
    model: Model
    evaluate: Evaluate

    def architecture(self, name: str) -> Cnn | Lstm:
        """The section of one of the compared models: baseline or model."""
        return {"baseline": self.baseline, "model": self.model}[name]


def load(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml.

    Raises:
        InputError: missing, not YAML, or a key that is unknown, absent, of the wrong type or out of range.
    """
    try:
        # YAML 1.2, in which 1e-5 is a number; ruamel's own type carries comments that pydantic does not want.
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
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
    stages = Params.model_fields.keys() - {"dataset", "data"}
    sections = values.keys() - stages - {"dataset"}
    for name in sorted(stages - values.keys()):
        for near in difflib.get_close_matches(name, sections, n=1):
            raise InputError(f"{path}: {near}: unknown section; did you mean {name}?")
    if values["dataset"] not in sections:
        known = ", ".join(sorted(sections)) or "none"
        raise InputError(
            f"{path}: dataset: expected a section of that name, got {values['dataset']!r}; there are: {known}"
        )
    try:
        for name in sorted(sections):  # a mistake in a section that does not apply today is a mistake all the same
            Dataset.model_validate(values[name])
    except ValidationError as error:
        raise InputError(_explain(path, error, prefix=name)) from error
    try:
        return Params.model_validate(
            {name: values[name] for name in stages & values.keys()}
            | {"dataset": values["dataset"], "data": values[values["dataset"]]}
        )
    except ValidationError as error:
        raise InputError(_explain(path, error)) from error


def _explain(path: Path, error: ValidationError, prefix: str = "") -> str:
    """One line for the first of pydantic's complaints; an unknown key comes before the one it was meant to be."""
    errors = error.errors(include_url=False)
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    where = ".".join(str(part) for part in [prefix, *first["loc"]] if part not in ("", *ARCHITECTURES))
    if first["type"] == "extra_forbidden":
        section = _section(Dataset if prefix else Params, first["loc"][:-1])
        return f"{path}: {where}: unknown key; {_instead(str(first['loc'][-1]), section)}"
    message = first["msg"][0].lower() + first["msg"][1:]
    given = "" if first["type"] == "missing" else f", got {first['input']!r}"
    return f"{path}: {where}: {message}{given}"


def _section(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The class of a section, found by its path."""
    for part in map(str, loc):
        model = ARCHITECTURES[part] if part in ARCHITECTURES else cast(Any, model.model_fields[part].annotation)
    return model


def _instead(key: str, section: type[BaseModel]) -> str:
    """What may stand where an unknown key stands."""
    for arch, other in ARCHITECTURES.items():
        if section in ARCHITECTURES.values() and key in other.model_fields:
            return f"it belongs to arch: {arch}"
    near = difflib.get_close_matches(key, section.model_fields, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(section.model_fields)}"
