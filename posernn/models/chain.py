"""Predicts one joint after another as maps of probabilities: p(y | x) as a product of p(y_t | y_<t, x).

The trunk, the head and the maps are those of `heatmap`; what differs is what a joint is told of the joints before it.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from posernn.models.contract import Prediction, Truth
from posernn.models.parts.decoders import Decoder, Feedback, History
from posernn.models.parts.heads import TopDown
from posernn.models.parts.histories import Regime, history_of
from posernn.models.parts.lstm_decoders import LocatorDecoder, LstmDecoder
from posernn.models.parts.readouts import Decode, Distribution, mirrored
from posernn.models.parts.search import given_first, greedy, teacher_forced
from posernn.models.parts.transformer_decoder import TransformerDecoder
from posernn.models.parts.trunks import Images, TrunkModel, TrunkSettings, load_weights
from posernn.pose.skeleton import CHAIN_ORDERS, NUM_JOINTS, SCORED_JOINTS


class Settings(TrunkSettings):
    """Parameters of the chain; comments are in params.yaml."""

    channels: Annotated[int, Field(ge=1)]
    decoder: Literal["parallel", "lstm", "transformer"]
    feedback: Feedback
    attention: bool
    locator: bool
    layers: Annotated[int, Field(ge=1, le=8)]
    width: Annotated[int, Field(ge=4, le=2048, multiple_of=4)]
    joint_order: Literal["torso_first", "torso_last", "limb_by_limb", "mpii"]
    random_order: bool
    history: Regime
    jitter: Annotated[float, Field(ge=0, le=16)]
    sigma: Annotated[float, Field(ge=0, le=16)]
    decode: Decode
    flip_test: bool

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        """Check what goes with what."""
        if self.decoder == "parallel" and self.feedback != "none":
            raise ValueError(f"decoder parallel has no feedback: expected feedback: none, got {self.feedback}")
        if self.decoder != "lstm" and (self.attention or self.locator):
            raise ValueError(f"attention and locator belong to decoder: lstm, got decoder: {self.decoder}")
        if self.attention and self.locator:
            raise ValueError("expected attention or locator, got both: the locator is an attention that is the map")
        if self.history != "truth" and self.feedback == "none":
            raise ValueError(
                f"history {self.history} is told by feedback: expected coordinates, all_coordinates or map, got none"
            )
        return self


_TINY = Settings(
    crop_size=32,
    trunk_width=0.0625,
    trunk="test_efficientnet",
    weights="none",
    frozen_stride=0,
    frozen_norm=False,
    channels=16,
    decoder="transformer",
    feedback="coordinates",
    attention=False,
    locator=False,
    layers=1,
    width=32,
    joint_order="torso_first",
    random_order=False,
    history="masked",
    jitter=0.5,
    sigma=1.0,
    decode="local",
    flip_test=False,
)
TINY = (
    _TINY,
    _TINY.model_copy(
        update={"decoder": "parallel", "feedback": "none", "history": "truth", "flip_test": True, "crop_size": 64}
    ),
    _TINY.model_copy(update={"decoder": "lstm", "locator": True, "history": "truth", "random_order": True}),
    _TINY.model_copy(update={"feedback": "all_coordinates", "history": "scheduled", "random_order": True}),
)


def build(settings: Settings) -> nn.Module:
    """Build the model with fresh weights."""
    return Chain(settings)


def load_pretrained(model: "Chain", settings: Settings) -> None:
    """Load the trunk's weights into a fresh model."""
    load_weights(model.trunk, settings.weights)


class Chain(TrunkModel):
    """A trunk, a top-down head to stride 4, and a decoder over its features."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.flip_test = settings.flip_test
        self.head = TopDown(self.trunk.channels, settings.channels)
        self.decoding = Decoding(settings)

    def features(self, images: Images) -> Float[Tensor, "B C H W"]:
        """Compute what the decoder reads: features at stride 4."""
        return self.head(self.trunk(images))

    def forward(self, images: Images, truth: Truth | None = None) -> Prediction:
        """Predict joints from crops; see `Decoding`."""
        features = self.features(images)
        if self.training or not self.flip_test:
            return self.decoding(features, truth)
        return self.decoding(features, truth, mirror_features=self.features(images.flip(-1)))

    def complete(self, images: Images, given: History) -> Prediction:
        """Predict the joints of crops of which some are given, for example by clicks; see `Decoding.order_of`.

        Args:
            images: see `contract.Model`.
            given: joints, unit of the crop.

        Raises:
            ValueError: the decoder tells no joint of another.
        """
        return self.decoding.complete(self.features(images), given)


class Decoding(nn.Module):
    """A decoder with its training: features at stride 4 -> a prediction.

    In training mode all steps are told the history that the settings name. In eval mode each joint is told those that
    were predicted before it; given the truth, `log_prob` is that of the joints given the true ones before them.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.decoder = make_decoder(settings)

    def order(self, features: Float[Tensor, "B C H W"]) -> Int[Tensor, "B 16"]:
        """Choose the joint of each step: a random one for each batch of a training, or that of the settings."""
        order = torch.tensor(CHAIN_ORDERS[self.settings.joint_order], device=features.device)
        if self.training and self.settings.random_order:
            scored = torch.tensor(SCORED_JOINTS, device=features.device)
            last = order[len(SCORED_JOINTS) :]  # thorax and pelvis
            order = torch.cat([scored[torch.randperm(len(scored), device=features.device)], last])
        return order.expand(features.shape[0], NUM_JOINTS)

    def order_of(self, given: History, features: Float[Tensor, "B C H W"]) -> Int[Tensor, "B 16"]:
        """Choose the joint of each step where some are given: these come first, if the chain was trained in all orders.

        A chain of one order keeps it: the joints that come after a given one are told of it.
        """
        order = self.order(features)
        return given_first(order, given) if self.settings.random_order else order

    def forward(
        self,
        features: Float[Tensor, "B C H W"],
        truth: Truth | None = None,
        mirror_features: Float[Tensor, "B C H W"] | None = None,
    ) -> Prediction:
        """Predict joints from features.

        Args:
            features: at stride 4.
            truth: see `contract.Model`.
            mirror_features: of the mirrored crops: the logits of both are averaged, each given its own history.
        """
        settings, decoder = self.settings, self.decoder
        scene, order = decoder.scene(features), self.order(features)
        forced = None
        if truth:
            size = settings.crop_size
            regime, jitter = (settings.history, settings.jitter * 4 / size) if self.training else ("truth", 0.0)
            told = history_of(regime, truth, decoder, scene, order, jitter=jitter)
            forced = Distribution.of(teacher_forced(decoder, scene, order, told), size)
        if self.training and forced is not None:
            found = forced
        else:
            logits = greedy(decoder, scene, order, how=settings.decode).logits
            if mirror_features is not None:
                mirror = greedy(decoder, decoder.scene(mirror_features), order, how=settings.decode).logits
                logits = (logits + mirrored(mirror)) / 2
            found = Distribution.of(logits, settings.crop_size)
        return self._prediction(found, truth, forced)

    def complete(self, features: Float[Tensor, "B C H W"], given: History) -> Prediction:
        """Predict the joints of which some are given; see `Chain.complete`."""
        if not self.decoder.sees_history:
            raise ValueError("expected a chain with feedback, got one without: no joint is told of another")
        order = self.order_of(given, features)
        decoded = greedy(self.decoder, self.decoder.scene(features), order, given=given, how=self.settings.decode)
        found = self._prediction(Distribution.of(decoded.logits, self.settings.crop_size), None, None)
        assert found.confidence is not None  # maps have one
        return found._replace(
            joints_unit=decoded.joints_unit, confidence=torch.where(given.known, 1.0, found.confidence)
        )

    def _prediction(self, found: Distribution, truth: Truth | None, forced: Distribution | None) -> Prediction:
        joints_unit, confidence = found.decode(self.settings.decode)
        return Prediction(
            joints_unit,
            loss=forced.cross_entropy(truth.joints_unit, self.settings.sigma) if truth and forced else None,
            confidence=confidence,
            log_prob=forced.log_prob(truth.joints_unit) if truth and forced else None,
            maps=found.maps(),
        )


def make_decoder(settings: Settings) -> Decoder:
    """Build the decoder that the settings name, with fresh weights."""
    common = (settings.channels, settings.width, settings.crop_size, settings.feedback)
    if settings.decoder != "lstm":
        return TransformerDecoder(*common, settings.layers, heads=4)
    if settings.locator:
        return LocatorDecoder(*common, settings.layers)
    return LstmDecoder(*common, settings.layers, settings.attention)
