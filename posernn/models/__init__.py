"""Models by name: each file of this folder is one, see contract.py."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json, write_json, write_tensors

if TYPE_CHECKING:  # torch takes seconds to import, and params.py only wants the names
    from torch import nn

    from posernn.models.contract import Settings

PRETRAINED = Path(__file__).parent / "pretrained"
"""A folder for each model in the package, as `save` writes it; the weights are float16."""


def architectures() -> list[str]:
    """List the names of all architectures: the files of this folder but for the contract."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "contract"))


def module_of(arch: str) -> Any:
    """Import the file of an architecture: its `Settings`, `build`, `TINY` and, where it has one, `load_pretrained`.

    Raises:
        ValueError: there is no such file.
    """
    if arch not in architectures():
        raise ValueError(f"models: expected one of {', '.join(architectures())}, got {arch!r}")
    return import_module(f"posernn.models.{arch}")


def switches_in_name(settings: Mapping[str, Any]) -> list[str]:
    """List the switches that are on and that readers know a model by: attention, as in "lstm with attention"."""
    return [name for name in ("attention",) if settings.get(name) is True]


def build(arch: str, settings: "Settings") -> "nn.Module":
    """Build a model with fresh weights.

    Raises:
        ValueError: no architecture of that name.
    """
    return module_of(arch).build(settings)


def load_pretrained(arch: str, model: "nn.Module", settings: "Settings") -> None:
    """Load pretrained weights into a fresh model, where its architecture has any.

    Raises:
        InputError: the weights are missing, or are those of another model.
    """
    if load_weights := getattr(module_of(arch), "load_pretrained", None):
        load_weights(model, settings)


def save(
    folder: Path, model: "nn.Module", arch: str, settings: "Settings", crops: Mapping[str, Any] | None = None
) -> None:
    """Write weights.safetensors, and model.json with all that is needed to build the model again.

    Args:
        folder: is created.
        model: of which the weights are written.
        arch: its architecture.
        settings: it was built with.
        crops: `box`, `padding` and `keep_aspect` of the crops that it was trained on: photos are cropped alike.
    """
    write_tensors(folder / "weights.safetensors", model.state_dict())
    cut = {} if crops is None else {"crops": dict(crops)}
    write_json(folder / "model.json", {"arch": arch, **settings.model_dump(), **cut})


def pretrained() -> list[str]:
    """List the names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/model.json"))


def folder_of(model: "str | Path") -> Path:
    """Return the folder of a model: a run's own, or that of a model in the package.

    Args:
        model: folder of a run, or one of `pretrained()`; a folder of that name takes precedence.
    Raises:
        InputError: neither.
    """
    if Path(model).is_dir():
        return Path(model)
    if str(model) in pretrained():
        return PRETRAINED / str(model)
    names = ", ".join(pretrained()) or "none in this installation"
    raise InputError(
        f"{model}: expected the folder of a run or the name of a model in the package ({names}), got neither; "
        "name a folder such as runs/model"
    )


def weights_file(source: str) -> Path:
    """Return the weights of a run, of a model in the package, or a file of weights as it is.

    Raises:
        InputError: it is none of these.
    """
    return Path(source) if Path(source).is_file() else folder_of(source) / "weights.safetensors"


def load(folder: Path) -> "nn.Module":
    """Build the model of a run again, with its weights, in eval mode.

    Raises:
        InputError: a file is missing or broken, or weights and model.json are not of the same model.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = read_json(folder / "model.json")
    weights_path = folder / "weights.safetensors"
    try:
        module = module_of(description.pop("arch"))
        description.pop("crops", None)
        settings = module.Settings.model_validate(description)
        with torch.device("meta"):  # shapes without memory: only the file of weights says whether the sizes are honest
            model = module.build(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{folder / 'model.json'}: expected a model of posernn, got {where}: {first['msg']}"
        ) from error
    except (AttributeError, TypeError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise InputError(f"{folder / 'model.json'}: expected a model of posernn, got {error}") from error
    try:
        model.load_state_dict(load_file(weights_path), assign=True)
    except FileNotFoundError as error:
        raise InputError(f"{weights_path}: expected weights, got nothing; train first") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights_path}: expected safetensors, got {error}") from error
    except RuntimeError as error:
        first_line = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"{weights_path}: expected the weights of model.json's model, got: {first_line}") from error
    return model.float().eval()
