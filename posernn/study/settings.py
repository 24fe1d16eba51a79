"""The only reader of study.yaml."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from posernn.params import Entry, Params
from posernn.params.complaints import validated
from posernn.params.sections import Count, Section, Seed, Share
from posernn.runtime.errors import InputError

PATH = Path("study/study.yaml")

Seeds = Annotated[list[Seed], Field(min_length=1)]


class Size(Section):
    """How much is trained. Comments are in study.yaml."""

    trunk_iterations: Count
    end_to_end_iterations: Count
    views: Count
    iterations: Count


class Decoders(Section):
    """How all decoders are trained."""

    batch_size: Annotated[int, Field(ge=2)]
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    calibration: Share


class Evaluate(Section):
    """What is measured."""

    samples: Count
    beams: list[Count]
    given: list[Count]
    bootstrap_draws: Annotated[int, Field(ge=100)]


class Question(Section):
    """A comparison: a variant against another, in one score."""

    variant: str
    reference: str
    score: str


class Study(Section):
    """study.yaml, with the section of the chosen size as `amount`, and the overrides of each variant by its name."""

    size: Literal["laptop", "gpu"]
    amount: Size
    trunks: Seeds
    seeds: Seeds
    start_from: str | None
    decoders: Decoders
    evaluate: Evaluate
    questions: dict[str, Question]
    further_questions: dict[str, Question]
    variants: dict[str, dict[str, Any]]
    figures: list[str]
    end_to_end: list[str]

    def trunk_of(self, seed: int) -> int:
        """Return the trunk whose features a decoder reads: the trunks take turns."""
        return self.trunks[seed % len(self.trunks)]

    def trunk_entry(self, params: Params, seed: int) -> Entry:
        """Return how a trunk is trained: as `heatmap`, with the study's length, seed and start."""
        return _entry(params, {"arch": "heatmap", "train": self._training(seed, self.amount.trunk_iterations)})

    def chain_entry(self, params: Params, variant: str) -> Entry:
        """Return the settings of a variant."""
        if variant not in self.variants:
            raise InputError(f"{PATH}: expected one of {', '.join(self.variants)}, got {variant}")
        return _entry(params, {"arch": "chain", **self.variants[variant]})

    def end_to_end_entry(self, params: Params, variant: str, seed: int) -> Entry:
        """Return how a variant is trained from the picture on: as `chain`, with the study's length, seed and start."""
        entry = self.chain_entry(params, variant)
        changes = self._training(seed, self.amount.end_to_end_iterations)
        return entry._replace(training=entry.training.model_copy(update=changes))

    def _training(self, seed: int, iterations: int) -> dict[str, Any]:
        """Return what the study sets of a training; it is validated once, at its end: nobody reads its history."""
        return {
            "seed": seed,
            "start_from": self.start_from,
            "iterations": iterations,
            "validate_every": iterations,
        }


def _entry(params: Params, section: dict[str, Any]) -> Entry:
    return params.model_copy(update={"entries": {"study": section}}).entry("study")


def load(path: Path = PATH) -> Study:
    """Read study.yaml.

    Raises:
        InputError: it is missing, not YAML, or a key is unknown, absent or out of range.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        amounts = {size: values.pop(size) for size in ("laptop", "gpu")}
        known = values.keys() & Study.model_fields.keys()
        # Sections of other names are variants; those that are not in the list do not run.
        variants = {name: values[name] for name in values["variants"]}
        chosen = {name: values[name] for name in known}
        return validated(Study, chosen | {"amount": amounts[values["size"]], "variants": variants}, path)
    except OSError as error:
        raise InputError(f"{path}: expected the study, got {error.strerror}; run in the project's folder") from error
    except YAMLError as error:
        raise InputError(f"{path}: expected YAML, got {' '.join(str(error).split())}") from error
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]}: expected a section of that name, got none") from error
