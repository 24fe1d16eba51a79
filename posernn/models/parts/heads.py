"""Top-down head: features at several strides -> one feature map at the finest.

Axis letters: B batch, C channels, H W map.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class TopDown(nn.Module):
    """Adds coarse features to fine ones, until all are at the finest stride.

    Args:
        channels_in: channels of the features, fine to coarse; each map is half as large as the one before.
        channels: of the result.

    Source: Lin et al. 2017 (feature pyramid networks); depthwise separable convolutions as in Tan et al. 2020 (BiFPN).
    """

    def __init__(self, channels_in: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, channels, kernel_size=1, bias=False), nn.BatchNorm2d(channels))
            for c in channels_in
        )
        # The finest map costs three quarters of the head: its kernels are smaller.
        self.merge = nn.ModuleList(separable(channels, 5 if place else 3) for place in range(len(channels_in)))

    def forward(self, features: list[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B C H W"]:
        """Merge features, fine to coarse, to one map at the stride of the first."""
        merged: Tensor | None = None
        for lateral, merge, feature in reversed(list(zip(self.lateral, self.merge, features, strict=True))):
            added = lateral(feature)
            if merged is not None:
                added = added + functional.interpolate(merged, scale_factor=2.0, mode="nearest")
            added = functional.relu(added)
            merged = added + merge(added)
        assert merged is not None  # there is at least one stride
        return merged


def separable(channels: int, kernel_size: int) -> nn.Sequential:
    """Build a convolution of each channel, then a 1x1 convolution over the channels. Source: Howard et al. 2017."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
