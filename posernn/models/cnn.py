"""Predicts every joint at once. Source: Chen & Low, section 4.1."""

from typing import Literal

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from posernn.models import contract
from posernn.models.contract import Prediction, TrunkWidth, Truth
from posernn.models.parts.losses import LOSSES
from posernn.models.parts.vgg import Features, normalize, start_at_center
from posernn.pose.skeleton import NUM_JOINTS


class Settings(contract.Settings):
    """Parameters of the CNN; comments are in params.yaml."""

    trunk_width: TrunkWidth
    loss: Literal["l2", "l1", "smooth_l1"]


TINY = (Settings(crop_size=32, trunk_width=0.0625, loss="l2"),)


class Cnn(nn.Module):
    """VGG16 that ends in 32 numbers: x and y of 16 joints."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.loss = LOSSES[settings.loss]
        self.features = Features(settings.crop_size, settings.trunk_width)
        self.project = nn.Linear(self.features.num_features, NUM_JOINTS * 2)
        start_at_center(self.project)

    def forward(
        self, images: UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"], truth: Truth | None = None
    ) -> Prediction:
        """Predict joints from crops; see `contract.Model`."""
        features = self.features(normalize(images))  # (B, D)
        joints_unit = self.project(features).float().unflatten(1, (NUM_JOINTS, 2))  # (B, J, 2)
        return Prediction(joints_unit, loss=self.loss(joints_unit, truth.joints_unit) if truth else None)


build = Cnn
