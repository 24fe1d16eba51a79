"""Every joint at once. Source: Chen & Low, section 4.1."""

from jaxtyping import Float
from torch import Tensor, nn

from posernn.models.parts.vgg import Features, start_at_center
from posernn.pose.skeleton import NUM_JOINTS


class Cnn(nn.Module):
    """VGG16 that ends in 32 numbers: x and y of 16 joints.

    Args:
        crop_size: S, px; a multiple of 32.
        trunk_width: share of VGG16's channels.
    """

    def __init__(self, *, crop_size: int, trunk_width: float) -> None:
        super().__init__()
        self.features = Features(crop_size, trunk_width)
        self.project = nn.Linear(self.features.num_features, NUM_JOINTS * 2)
        start_at_center(self.project)

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 16 2"]:
        """Predict joints from crops.

        Args:
            images: (B, 3, S, S), normalised.
        Returns:
            (B, J, 2) xy, unit.
        """
        return self.project(self.features(images)).unflatten(1, (NUM_JOINTS, 2))
