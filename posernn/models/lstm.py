"""Predicts one joint after another, with or without attention. Source: Chen & Low, sections 4.2 and 4.3."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from posernn.models import contract
from posernn.models.contract import Prediction, TrunkWidth, Truth
from posernn.models.parts.losses import LOSSES
from posernn.models.parts.recurrent import initialize, inverse_order
from posernn.models.parts.vgg import Features, make_layers, normalize, scaled, start_at_center
from posernn.pose.skeleton import NUM_JOINTS


class Settings(contract.Settings):
    """Parameters of the LSTM; comments are in params.yaml."""

    trunk_width: TrunkWidth
    loss: Literal["l2", "l1", "smooth_l1"]
    attention: bool
    joint_embedding: bool = False  # runs from before have none
    layers: Annotated[int, Field(ge=1, le=8)]
    hidden_size: Annotated[int, Field(ge=1)]
    joint_order: Literal["easy_first", "hard_first", "skeleton"]


TINY = tuple(
    Settings(
        crop_size=32,
        trunk_width=0.0625,
        loss="l2",
        attention=attention,
        joint_embedding=False,
        layers=2,
        hidden_size=32,
        joint_order="easy_first",
    )
    for attention in (False, True)
)


def build(settings: Settings) -> nn.Module:
    """Build the LSTM with fresh weights."""
    return AttentionLstm(settings) if settings.attention else Lstm(settings)


class Lstm(nn.Module):
    """Stacked LSTMs: the trunk's features start their state and are the input of each of the 16 steps.

    With `joint_embedding`, which the paper does not have, a step's input also says which joint it predicts; without it
    all inputs are the same, and the state has to count the steps.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        layers, hidden_size = settings.layers, settings.hidden_size
        self.loss = LOSSES[settings.loss]
        self.step_of_joint = inverse_order(settings.joint_order)
        self.features = Features(settings.crop_size, settings.trunk_width)
        num_features = self.features.num_features
        self.initial_hidden = nn.Linear(num_features, layers * hidden_size)
        self.initial_cell = nn.Linear(num_features, layers * hidden_size)
        self.lstm = nn.LSTM(num_features, hidden_size, num_layers=layers, batch_first=True)
        initialize(self.lstm)
        self.project = nn.Linear(hidden_size, 2)
        start_at_center(self.project)
        self.joint = nn.Embedding(NUM_JOINTS, num_features) if settings.joint_embedding else None  # of each step

    def forward(
        self, images: UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"], truth: Truth | None = None
    ) -> Prediction:
        """Predict joints from crops; see `contract.Model`."""
        features = self.features(normalize(images))  # (B, D)
        layers, hidden_size = self.lstm.num_layers, self.lstm.hidden_size
        hidden = torch.tanh(self.initial_hidden(features)).unflatten(1, (layers, hidden_size))  # (B, L, H)
        cell = self.initial_cell(features).unflatten(1, (layers, hidden_size))  # (B, L, H)
        state = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        inputs = features[:, None].expand(-1, NUM_JOINTS, -1)  # (B, T, D)
        if self.joint is not None:
            inputs = inputs + self.joint.weight
        outputs, _ = self.lstm(inputs, state)  # (B, T, H)
        joints_unit = self.project(outputs).float()[:, self.step_of_joint]  # (B, T, 2) -> (B, J, 2)
        return Prediction(joints_unit, loss=self.loss(joints_unit, truth.joints_unit) if truth else None)


class AttentionLstm(nn.Module):
    """Stacked LSTMs over annotation vectors: the places of the trunk's last map before the fifth pool.

    At each step the input is a weighted mean of the annotation vectors, with weights that come from the state, and from
    the step's joint with `joint_embedding`; see `Lstm`. At 224 px and width 1.0 there are 14 x 14 = 196 annotation
    vectors of 512.

    Source: soft attention as in Xu et al. 2015.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        layers, hidden_size = settings.layers, settings.hidden_size
        self.loss = LOSSES[settings.loss]
        self.step_of_joint = inverse_order(settings.joint_order)
        self.map_size = settings.crop_size // 16
        num_features = scaled(512, settings.trunk_width)
        self.trunk = make_layers(settings.trunk_width, last_pool=False)
        self.initial_hidden = nn.Linear(num_features, layers * hidden_size)
        self.initial_cell = nn.Linear(num_features, layers * hidden_size)
        self.score_annotation = nn.Linear(num_features, hidden_size)
        self.score_hidden = nn.Linear(hidden_size, hidden_size, bias=False)
        self.score = nn.Linear(hidden_size, 1, bias=False)
        self.cells = nn.ModuleList(
            nn.LSTMCell(num_features if layer == 0 else hidden_size, hidden_size) for layer in range(layers)
        )
        for cell in self.cells:
            initialize(cell)
        self.project = nn.Linear(hidden_size, 2)
        start_at_center(self.project)
        self.joint = self.score_joint = None
        if settings.joint_embedding:
            self.joint = nn.Embedding(NUM_JOINTS, num_features)  # of each step
            self.score_joint = nn.Linear(num_features, hidden_size, bias=False)

    def annotate(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B P D"]:
        """Compute the annotation vectors, one for each of the P places of the map, row by row."""
        return self.trunk(images).flatten(2).transpose(1, 2)  # (B, D, H, W) -> (B, P, D)

    def decode(self, annotations: Float[Tensor, "B P D"]) -> tuple[Float[Tensor, "B 16 2"], Float[Tensor, "B 16 P"]]:
        """Decode joints from annotation vectors.

        Returns:
            (B, T, 2) xy, unit, and (B, T, P) attention, which sums to 1 over the places; both in decode order.
        """
        mean = annotations.mean(dim=1)  # (B, D)
        num_layers = len(self.cells)
        hidden = list(torch.tanh(self.initial_hidden(mean)).chunk(num_layers, dim=1))  # L x (B, H)
        cell = list(self.initial_cell(mean).chunk(num_layers, dim=1))  # L x (B, H)
        keys = self.score_annotation(annotations)  # (B, P, H); the same for all steps
        points, maps = [], []
        for step in range(NUM_JOINTS):
            query = self.score_hidden(hidden[-1])[:, None]  # (B, 1, H)
            if self.joint is not None and self.score_joint is not None:
                query = query + self.score_joint(self.joint.weight[step])
            alpha = self.score(torch.tanh(keys + query)).squeeze(2).softmax(dim=1)  # (B, P)
            step_input = torch.einsum("bp,bpd->bd", alpha, annotations)  # (B, D)
            if self.joint is not None:
                step_input = step_input + self.joint.weight[step]
            for layer, lstm_cell in enumerate(self.cells):
                hidden[layer], cell[layer] = lstm_cell(step_input, (hidden[layer], cell[layer]))
                step_input = hidden[layer]
            points.append(self.project(step_input))
            maps.append(alpha)
        return torch.stack(points, dim=1), torch.stack(maps, dim=1)

    def forward(
        self, images: UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"], truth: Truth | None = None
    ) -> Prediction:
        """Predict joints from crops, with the attention as maps; see `contract.Model`."""
        points, attention = self.decode(self.annotate(normalize(images)))
        joints_unit = points.float()[:, self.step_of_joint]  # (B, J, 2)
        return Prediction(
            joints_unit,
            loss=self.loss(joints_unit, truth.joints_unit) if truth else None,
            maps=attention.float()[:, self.step_of_joint].unflatten(2, (self.map_size, self.map_size)),
        )
