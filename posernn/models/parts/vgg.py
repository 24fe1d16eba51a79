"""The trunk that every model shares: VGG16's 13 convolutions, each followed by ReLU and batch normalisation.

Axis letters: B batch, C channels, H W map, S side of the crop.
Source: Simonyan & Zisserman 2015, configuration D; Chen & Low, Table 1.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

LAYERS = (
    64,
    64,
    "pool",
    128,
    128,
    "pool",
    256,
    256,
    256,
    "pool",
    512,
    512,
    512,
    "pool",
    512,
    512,
    512,
    "pool",
)
"""VGG16: channels of each 3x3 convolution, and where the map is halved."""


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green, blue in [0, 1]: what torchvision's own weights expect."""


def normalize(images: UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 3 S S"]:
    """Scale pixels (0 to 255) to ImageNet's mean 0 and standard deviation 1, channel by channel."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device)[:, None, None] * 255  # (3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device)[:, None, None] * 255
    return (images - mean) / std


def scaled(channels: int, width: float) -> int:
    """A share of VGG16's channels, at least one."""
    return max(1, round(channels * width))


def start_at_center(project: nn.Linear) -> None:
    """Let the layer that gives coordinates start with the crop's centre for every joint and person, or nearly so.

    Source: small normal weights as in Xiao et al. 2018 (SimpleBaselines); see docs/decisions/0009.
    """
    if project.weight.is_meta:  # shapes alone: PyTorch would import its compiler, for seconds, to draw nothing
        return
    nn.init.normal_(project.weight, std=0.001)
    nn.init.constant_(project.bias, 0.5)


def make_layers(width: float, *, last_pool: bool) -> nn.Sequential:
    """Build the convolutions.

    The normalisation comes after the non-linearity, as the paper has it.

    Args:
        width: share of VGG16's channels; 1.0 is the paper's.
        last_pool: whether the fifth pool is kept. Attention goes without, for a finer map.
    """
    layers: list[nn.Module] = []
    channels_in = 3
    for layer in LAYERS if last_pool else LAYERS[:-1]:
        if layer == "pool":
            layers.append(nn.MaxPool2d(kernel_size=2))
            continue
        channels = scaled(int(layer), width)
        layers += [
            nn.Conv2d(channels_in, channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(channels),
        ]
        channels_in = channels
    return nn.Sequential(*layers)


class Features(nn.Module):
    """Trunk and the two fully connected layers: one feature vector for a crop.

    The fully connected layers have no batch normalisation: see docs/decisions/0004.

    Args:
        crop_size: S, px; a multiple of 32.
        width: share of VGG16's channels and of its 4,096 features.
    """

    def __init__(self, crop_size: int, width: float) -> None:
        super().__init__()
        map_size = crop_size // 32
        self.num_features = scaled(4096, width)
        self.trunk = make_layers(width, last_pool=True)
        self.fully_connected = nn.Sequential(
            nn.Flatten(),
            nn.Linear(scaled(512, width) * map_size**2, self.num_features),
            nn.ReLU(inplace=True),
            nn.Linear(self.num_features, self.num_features),
            nn.ReLU(inplace=True),
        )

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D"]:
        """Images, normalised, to features."""
        return self.fully_connected(self.trunk(images))
