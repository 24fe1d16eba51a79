"""Predicts every joint at once as a map of probabilities, from a trunk that was trained on ImageNet.

Source: Xiao et al. 2018 (SimpleBaselines), with the top-down head of Lin et al. 2017 and a distribution over cells.
"""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from posernn.models.contract import Prediction, Truth
from posernn.models.parts.heads import TopDown
from posernn.models.parts.readouts import Decode, Distribution, FcReadout, MapReadout, mirrored
from posernn.models.parts.trunks import Images, TrunkModel, TrunkSettings, load_weights


class Settings(TrunkSettings):
    """Parameters of the heat map model; comments are in params.yaml."""

    channels: Annotated[int, Field(ge=1)]
    readout: Literal["map", "fc"]
    sigma: Annotated[float, Field(ge=0, le=16)]
    decode: Decode
    flip_test: bool


_TINY = Settings(
    crop_size=64,
    trunk_width=0.0625,
    trunk="test_efficientnet",
    weights="none",
    frozen_stride=0,
    frozen_norm=False,
    channels=32,
    readout="map",
    sigma=1.0,
    decode="local",
    flip_test=True,
)
TINY = (_TINY, _TINY.model_copy(update={"trunk": "vgg16", "readout": "fc", "flip_test": False}))


def build(settings: Settings) -> nn.Module:
    """Build the model with fresh weights."""
    return Heatmap(settings) if settings.readout == "map" else Regression(settings)


def load_pretrained(model: "Heatmap | Regression", settings: Settings) -> None:
    """Load the trunk's weights into a fresh model."""
    load_weights(model.trunk, settings.weights)


class Heatmap(TrunkModel):
    """A trunk, a top-down head to stride 4, and a distribution over the cells and outside for each joint."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.sigma, self.decode, self.flip_test = settings.sigma, settings.decode, settings.flip_test
        self.head = TopDown(self.trunk.channels, settings.channels)
        self.readout = MapReadout(settings.channels, self.trunk.channels[-1])

    def features(self, images: Images) -> Float[Tensor, "B C H W"]:
        """Compute the features that the maps are read from: those of stride 4."""
        return self.head(self.trunk(images))

    def logits(self, images: Images) -> Float[Tensor, "B 16 P"]:
        """Compute the logits of each joint's cells and of outside."""
        features = self.trunk(images)
        return self.readout(self.head(features), features[-1])

    def forward(self, images: Images, truth: Truth | None = None) -> Prediction:
        """Predict joints from crops, with their maps; see `contract.Model`."""
        logits = self.logits(images)
        if self.flip_test and not self.training:
            logits = (logits + mirrored(self.logits(images.flip(-1)))) / 2
        found = Distribution.of(logits, int(images.shape[-1]))
        joints_unit, confidence = found.decode(self.decode)
        return Prediction(
            joints_unit,
            loss=found.cross_entropy(truth.joints_unit, self.sigma) if truth else None,
            confidence=confidence,
            log_prob=found.log_prob(truth.joints_unit) if truth else None,
            maps=found.maps(),
        )


class Regression(TrunkModel):
    """The same trunk, with fully connected coordinates and their spread instead of maps."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.readout = FcReadout(self.trunk.channels[-1])

    def forward(self, images: Images, truth: Truth | None = None) -> Prediction:
        """Predict joints from crops; the loss is the negative log likelihood. See `contract.Model`."""
        found = self.readout(self.trunk(images)[-1])
        log_prob = found.log_prob(truth.joints_unit) if truth else None
        return Prediction(
            found.joints_unit,
            loss=None if log_prob is None else -log_prob,
            confidence=found.confidence(),
            log_prob=log_prob,
        )
