"""Parameters as the stages get them; the settings of an entry are put together from several sections."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from posernn import models
from posernn.params.complaints import complaint, first_of, instead, validated
from posernn.params.sections import Crops, Dataset, Evaluate, Parse, Report, Section, Train, Training
from posernn.runtime.errors import InputError

if TYPE_CHECKING:
    from posernn.models.contract import Settings

OF_DATASET = ("crop_size", "trunk_width")
"""Settings of a model that stand in the section of the data set, because they must differ in scale."""

SCHEDULE_OF_DATASET = ("iterations", "iterations_of", "halve_lr_every")
"""Settings of a training that do."""


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


class Params(Section):
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
            if _architectures_with(key):  # a switch that is off asks for nothing: model.arch may be changed alone
                del overrides[key]
        values = {key: getattr(self.data, key) for key in OF_DATASET if key in settings.model_fields} | section
        self._settings(arch, settings, values)
        return Entry(arch, self._settings(name, settings, values | overrides), self._training(arch, trains))

    def _training(self, arch: str, trains: dict[str, Any]) -> Training:
        """Override `train` by the `train` of each of some sections, the last of which counts most."""
        iterations = self.data.iterations_of.get(arch, self.data.iterations)
        values = self.train.model_dump() | {"iterations": iterations, "halve_lr_every": self.data.halve_lr_every}
        training = Training.model_validate(values)
        for section, overrides in trains.items():
            if not isinstance(overrides, dict) or not isinstance(overrides.get("augment", {}), dict):
                raise InputError(f"{self.path}: {section}.train: expected settings of `train`, got {overrides!r}")
            values |= overrides | {"augment": values["augment"] | overrides.get("augment", {})}
            training = validated(Training, values, self.path, f"{section}.train")
        return training

    def _settings(self, where: str, settings: "type[Settings]", values: dict[str, Any]) -> "Settings":
        """Check the settings of a model, which stand in section `where`."""
        try:
            return settings.model_validate(values)
        except ValidationError as error:
            first = first_of(error)
            if not first["loc"]:  # about several settings at once
                raise InputError(f"{self.path}: {where}: {first['ctx']['error']}") from error
            key = str(first["loc"][0])
            if first["type"] != "extra_forbidden":
                raise InputError(f"{self.path}: {where}.{key}: {complaint(first)}") from error
            others = _architectures_with(key)
            hint = f"it belongs to arch: {' or '.join(others)}" if others else instead(key, settings)
            raise InputError(f"{self.path}: {where}.{key}: unknown key; {hint}") from error


def _architectures_with(key: str) -> list[str]:
    return [arch for arch in models.architectures() if key in models.module_of(arch).Settings.model_fields]
