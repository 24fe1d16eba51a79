"""One joint after another, from one look at the picture. Source: Chen & Low, section 4.2."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posernn.models.parts.vgg import Features, start_at_center
from posernn.pose.skeleton import DECODE_ORDERS, NUM_JOINTS


def inverse_order(joint_order: str) -> list[int]:
    """For each joint of the skeleton, the step in which it is decoded: steps[:, inverse_order] is in joint order."""
    order = DECODE_ORDERS[joint_order]
    return [order.index(joint) for joint in sorted(order)]


def initialize(recurrent: nn.Module) -> None:
    """Start an LSTM (or LSTMCell) with gates that are neither open nor shut.

    PyTorch draws all weights by the hidden size alone; 4,096 inputs would then saturate the gates of 128 units, and a
    saturated LSTM decodes a constant pose.

    Source: Glorot & Bengio 2010 (inputs); Saxe et al. 2014 (orthogonal); Jozefowicz et al. 2015 (forget bias of 1).
    """
    if next(recurrent.parameters()).is_meta:  # as in `start_at_center`
        return
    for name, parameter in recurrent.named_parameters():
        if name.startswith("weight_ih"):
            for gate in parameter.chunk(4):
                nn.init.xavier_uniform_(gate)
        elif name.startswith("weight_hh"):
            for gate in parameter.chunk(4):
                nn.init.orthogonal_(gate)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih"):
                nn.init.ones_(parameter.chunk(4)[1])  # gates are in the order input, forget, cell, output


class Lstm(nn.Module):
    """The trunk's features start the state of stacked LSTMs and are the input of each of the 16 steps.

    Args:
        crop_size: S, px; a multiple of 32.
        trunk_width: share of VGG16's channels.
        layers: number of stacked LSTMs.
        hidden_size: H, of each of them.
        joint_order: a name in DECODE_ORDERS: which joint is decoded in which step.
    """

    def __init__(self, *, crop_size: int, trunk_width: float, layers: int, hidden_size: int, joint_order: str) -> None:
        super().__init__()
        self.joint_order = joint_order
        self.step_of_joint = inverse_order(joint_order)
        self.features = Features(crop_size, trunk_width)
        num_features = self.features.num_features
        self.initial_hidden = nn.Linear(num_features, layers * hidden_size)
        self.initial_cell = nn.Linear(num_features, layers * hidden_size)
        self.lstm = nn.LSTM(num_features, hidden_size, num_layers=layers, batch_first=True)
        initialize(self.lstm)
        self.project = nn.Linear(hidden_size, 2)
        start_at_center(self.project)

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 16 2"]:
        """Predict joints from crops.

        Args:
            images: (B, 3, S, S), normalised.
        Returns:
            (B, J, 2) xy, unit, in the order of the skeleton whatever the order of decoding.
        """
        features = self.features(images)  # (B, D)
        layers, hidden_size = self.lstm.num_layers, self.lstm.hidden_size
        hidden = torch.tanh(self.initial_hidden(features)).unflatten(1, (layers, hidden_size))  # (B, L, H)
        cell = self.initial_cell(features).unflatten(1, (layers, hidden_size))  # (B, L, H)
        state = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        inputs = features[:, None].expand(-1, NUM_JOINTS, -1)  # (B, T, D)
        outputs, _ = self.lstm(inputs, state)  # (B, T, H)
        return self.project(outputs)[:, self.step_of_joint]  # (B, T, 2) -> (B, J, 2)
