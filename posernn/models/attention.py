"""One joint after another, with a new look at the picture for each. Source: Chen & Low, section 4.3.

Soft attention as in Xu et al. 2015: at each step a weighted mean of the map's places is the input, and the weights
come from the state.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posernn.models.lstm import initialize, inverse_order
from posernn.models.parts.vgg import make_layers, scaled, start_at_center
from posernn.pose.skeleton import NUM_JOINTS


class AttentionLstm(nn.Module):
    """Stacked LSTMs over annotation vectors, the places of the trunk's last map before the fifth pool.

    At 224 px and width 1.0 there are 14 x 14 = 196 annotation vectors of 512.

    Args:
        crop_size: S, px; a multiple of 32.
        trunk_width: share of VGG16's channels.
        layers: L, number of stacked LSTMs.
        hidden_size: H, of each of them.
        joint_order: a name in DECODE_ORDERS: which joint is decoded in which step.
    """

    def __init__(self, *, crop_size: int, trunk_width: float, layers: int, hidden_size: int, joint_order: str) -> None:
        super().__init__()
        self.joint_order = joint_order
        self.step_of_joint = inverse_order(joint_order)
        self.map_size = crop_size // 16
        num_features = scaled(512, trunk_width)
        self.trunk = make_layers(trunk_width, last_pool=False)
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

    def annotate(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B P D"]:
        """Give the annotation vectors: one for each of the P places of the map, row by row."""
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
        for _ in range(NUM_JOINTS):
            query = self.score_hidden(hidden[-1])[:, None]  # (B, 1, H)
            alpha = self.score(torch.tanh(keys + query)).squeeze(2).softmax(dim=1)  # (B, P)
            step_input = torch.einsum("bp,bpd->bd", alpha, annotations)  # (B, D)
            for layer, lstm_cell in enumerate(self.cells):
                hidden[layer], cell[layer] = lstm_cell(step_input, (hidden[layer], cell[layer]))
                step_input = hidden[layer]
            points.append(self.project(step_input))
            maps.append(alpha)
        return torch.stack(points, dim=1), torch.stack(maps, dim=1)

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 16 2"]:
        """Predict joints from crops.

        Args:
            images: (B, 3, S, S), normalised.
        Returns:
            (B, J, 2) xy, unit, in the order of the skeleton whatever the order of decoding.
        """
        points, _ = self.decode(self.annotate(images))
        return points[:, self.step_of_joint]

    def attention_maps(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 16 M M"]:
        """Where each joint's step looked: (B, J, M, M) in the order of the skeleton, each map summing to 1."""
        _, maps = self.decode(self.annotate(images))
        return maps[:, self.step_of_joint].unflatten(2, (self.map_size, self.map_size))
