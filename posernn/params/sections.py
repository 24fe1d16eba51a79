"""Schemas of the sections of params.yaml: frozen and strict, so that a mistake is found before any stage starts."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """A section without further keys, whose values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Dataset(Section):
    """What must differ in scale between data sets. Comments are in params.yaml."""

    people: Count | None = None
    seed: Seed | None = None
    picture_width: Annotated[int, Field(ge=64, le=8192)] | None = None
    crop_size: Annotated[int, Field(ge=32, le=4096, multiple_of=32)]
    trunk_width: Annotated[float, Field(gt=0, le=4)]
    iterations: Count
    iterations_of: dict[str, Count] = {}
    halve_lr_every: Count
    val_list: str | None


class Parse(Section):
    """How people are held out for validation."""

    hold_out: Share
    seed: Seed


class Crops(Section):
    """What a crop shows of a person."""

    box: Literal["joints", "person"]
    padding: Annotated[float, Field(ge=0)]
    keep_aspect: bool
    margin: Annotated[float, Field(ge=0, le=1)]
    jpeg_quality: Annotated[int, Field(ge=1, le=95)]


class Augment(Section):
    """Random changes to training crops; 0 is off."""

    flip: Probability
    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, le=4)]
    color: Annotated[float, Field(ge=0, lt=1)]
    shift: Annotated[float, Field(ge=0, le=1)]
    half_body: Probability
    erase: Probability


class Train(Section):
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


class Evaluate(Section):
    """What is computed from predictions."""

    batch_size: Count
    bootstrap_draws: Annotated[int, Field(ge=100)]
    seed: Seed
    pictures: Annotated[int, Field(ge=0)]


class Report(Section):
    """What the report shows."""

    pictures: bool
