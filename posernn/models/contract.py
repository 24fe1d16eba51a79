"""What every model promises, so that the training loop, evaluation and report treat all of them alike.

A model is one file in this folder, found by its name. The file has:

- `Settings`: its parameters, a subclass of `contract.Settings`; params.yaml has a section of the same name as the file.
- `build(settings)`: builds the module with fresh weights.
- `TINY`: settings with which the tests train it in seconds.
- `load_pretrained(model, settings)`, optional: loads pretrained weights into a fresh model, before a training; loading
  a trained model does not call it.

A module that predicts the other joints where some are given has `complete(images, given)`; see chain.py.

The module's `forward(images, truth=None)` maps crops to a `Prediction`. The normalisation of pixels, the loss of each
joint and the order of decoding are the model's own; the mean over annotated joints, the optimizer and the learning
rate are the loop's. A module named `trunk` gets a learning rate of its own (`train.trunk_lr`). So heat maps,
intermediate supervision, teacher forcing and refinement are models, not branches of the loop.

Axis letters: B batch, J joints in skeleton order, S side of the crop, H W map.
"""

from typing import Annotated, NamedTuple, Protocol

from jaxtyping import Bool, Float, UInt8
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

CropSize = Annotated[int, Field(ge=32, le=4096, multiple_of=32)]
TrunkWidth = Annotated[float, Field(gt=0, le=4)]


class Settings(BaseModel):
    """Parameters of a model; a model's own are fields of its subclass.

    `crop_size`, and `trunk_width` where a model has it, are taken from the data set's section of params.yaml.

    Attributes:
        crop_size: S, px.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    crop_size: CropSize


class Truth(NamedTuple):
    """Ground truth of a batch.

    Attributes:
        joints_unit: (B, J, 2) xy, unit; 0 where not annotated.
        annotated: (B, J).
    """

    joints_unit: Float[Tensor, "B 16 2"]
    annotated: Bool[Tensor, "B 16"]


class Prediction(NamedTuple):
    """What a model says of a batch.

    Attributes:
        joints_unit: (B, J, 2) xy, unit: crop px divided by the crop's side; float32.
        loss: (B, J), given the truth; joints that are not annotated have no part in the mean, whatever stands there.
        confidence: (B, J) in [0, 1].
        log_prob: (B, J) nats, given the truth.
        maps: (B, J, H, W), each summing to 1: where the model looked for a joint, or where it may be.
    """

    joints_unit: Float[Tensor, "B 16 2"]
    loss: Float[Tensor, "B 16"] | None = None
    confidence: Float[Tensor, "B 16"] | None = None
    log_prob: Float[Tensor, "B 16"] | None = None
    maps: Float[Tensor, "B 16 H W"] | None = None


class Model(Protocol):
    """The call that a model's module answers; it is an `nn.Module`."""

    def __call__(
        self, images: UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"], truth: Truth | None = None
    ) -> Prediction:
        """Predict joints from crops.

        Args:
            images: (B, 3, S, S) RGB, pixels from 0 to 255; float where they were augmented.
            truth: in training; in evaluation for models that give `log_prob`.
        """
