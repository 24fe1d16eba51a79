"""VGG16 as the trunk of the paper's models: 13 convolutions, each followed by ReLU and batch normalisation.

Axis letters: B batch, C channels, H W map, S side of the crop.
Source: Simonyan & Zisserman 2015, configuration D; Chen & Low, Table 1.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

POOL = 0
LAYERS = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL)
"""Channels of each 3x3 convolution, and the places of the 2x2 max pools."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue in [0, 1], as torchvision's weights expect them."""


def normalize(
    images: UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"],
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Float[Tensor, "B 3 S S"]:
    """Scale pixels (0 to 255) so that `mean` becomes 0 and `std` 1, channel by channel; both are in [0, 1]."""
    means = torch.tensor(mean, device=images.device)[:, None, None] * 255  # (3, 1, 1)
    stds = torch.tensor(std, device=images.device)[:, None, None] * 255
    return (images - means) / stds


def scaled(channels: int, width: float) -> int:
    """Scale a number of channels by the width of the trunk, to at least one."""
    return max(1, round(channels * width))


def start_at_center(project: nn.Linear) -> None:
    """Initialise the layer that gives coordinates so that it predicts about the crop's centre for every joint.

    Source: small normal weights as in Xiao et al. 2018 (SimpleBaselines); see docs/decisions/0009.
    """
    if project.weight.is_meta:  # nothing to draw, and PyTorch would import its compiler for it (2 s)
        return
    nn.init.normal_(project.weight, std=0.001)
    nn.init.constant_(project.bias, 0.5)


def make_layers(width: float, *, last_pool: bool) -> nn.Sequential:
    """Build the convolutions.

    The normalisation comes after the non-linearity, as the paper has it.

    Args:
        width: share of VGG16's channels; 1.0 is the paper's.
        last_pool: whether the fifth pool is kept; without it the map is twice as fine.
    """
    layers: list[nn.Module] = []
    channels_in = 3
    for layer in LAYERS if last_pool else LAYERS[:-1]:
        if layer == POOL:
            layers.append(nn.MaxPool2d(kernel_size=2))
            continue
        channels = scaled(layer, width)
        layers += [
            nn.Conv2d(channels_in, channels, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(channels),
        ]
        channels_in = channels
    return nn.Sequential(*layers)


class Features(nn.Module):
    """The trunk and two fully connected layers, which give one feature vector per crop.

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
        """Compute the features of normalised images."""
        return self.fully_connected(self.trunk(images))
