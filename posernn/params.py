"""The only reader of params.yaml: frozen, strict, typed sections."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from posernn.errors import InputError

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Dataset(_Section):
    """What must differ in scale between data sets. Comments are in params.yaml."""

    people: Count | None = None
    seed: Seed | None = None
    crop_size: Annotated[int, Field(ge=32, multiple_of=32)]
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
    if not isinstance(values, dict) or not isinstance(values.get("dataset"), str):
        raise InputError(f"{path}: expected `dataset:` and sections, got neither; take the project's own as a start")
    stages = Params.model_fields.keys() - {"dataset", "data"}
    sections = values.keys() - stages - {"dataset"}
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
    """One line for the first of pydantic's complaints."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in [prefix, *first["loc"]] if part not in ("", "cnn", "lstm"))
    message = first["msg"][0].lower() + first["msg"][1:]
    given = "" if first["type"] == "missing" else f", got {first['input']!r}"
    return f"{path}: {where}: {message}{given}"
