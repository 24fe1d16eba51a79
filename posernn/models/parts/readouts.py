"""Readouts: features -> a distribution p(y_j | x) over the place of each joint -> joints.

Axis letters: B batch, J joints, C channels, H W map (its places are cells), P cells and one place outside,
S side of the crop.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from posernn.models.parts.heads import separable
from posernn.models.parts.places import cell_centers, cell_of, in_cells
from posernn.models.parts.vgg import start_at_center
from posernn.pose.skeleton import FLIP_ORDER, NUM_JOINTS

WINDOW = 3
"""Cells on each side of the mode that count for a local expectation and for the confidence."""

NEAR = 0.1
"""Distance that the confidence of a Laplace distribution is about, unit."""

LOG_SCALES = (-7.0, 1.0)
"""Bounds of the logarithm of a Laplace scale: 0.1 px of a crop of 128 px, and more than the crop."""

START = 2.5
"""What is subtracted from the log scale's logit, which starts at 0.5: a scale of about an eighth of the crop."""

Decode = Literal["mean", "mode", "local"]


class Distribution(NamedTuple):
    """The place of each joint, as logarithms of probabilities that sum to 1 over the cells and outside.

    Attributes:
        cells: (B, J, H, W) of the crop's cells.
        outside: (B, J): the joint is outside the crop.
        side: S, px.
    """

    cells: Float[Tensor, "B J H W"]
    outside: Float[Tensor, "B J"]
    side: int

    @classmethod
    def of(cls, logits: Float[Tensor, "B J P"], side: int) -> "Distribution":
        """Normalise logits of the cells, row by row, and of outside, which is the last."""
        log_p = logits.float().log_softmax(dim=2)
        cells = num_cells(logits)
        return cls(log_p[..., :-1].unflatten(2, (cells, cells)), log_p[..., -1], side)

    @property
    def centers(self) -> Float[Tensor, "W"]:
        """x of the cells' centres, and y, unit."""
        return cell_centers(int(self.cells.shape[-1]), self.side, self.cells.device)

    def maps(self) -> Float[Tensor, "B J H W"]:
        """Compute the probability of each cell, given that the joint is in the crop."""
        return self.cells.flatten(2).softmax(dim=2).unflatten(2, self.cells.shape[2:])

    def decode(self, how: Decode) -> tuple[Float[Tensor, "B J 2"], Float[Tensor, "B J"]]:
        """Decode joints.

        Args:
            how: mean: the expectation over the crop; mode: the centre of the most probable cell; local: the expectation
                over the cells around it.

        Returns:
            (B, J, 2) xy, unit, and the confidence (B, J): the probability of the cells around the most probable one.
        """
        size = self.cells.shape[-1]
        places = torch.arange(size, device=self.cells.device)
        mode = self.cells.flatten(2).argmax(dim=2)[..., None]  # (B, J, 1)
        column, row = mode % size, torch.div(mode, size, rounding_mode="floor")
        in_row, in_column = (places - row).abs() <= WINDOW, (places - column).abs() <= WINDOW  # (B, J, H), (B, J, W)
        nearby = self.cells.exp() * (in_row[..., :, None] & in_column[..., None, :])  # (B, J, H, W)
        confidence = nearby.sum(dim=(2, 3))
        if how == "mode":
            return torch.cat([self.centers[column], self.centers[row]], dim=2), confidence
        # Divided by the largest, so that nothing underflows where the joint is most probably outside.
        weights = (self.cells - self.cells.amax(dim=(2, 3), keepdim=True)).exp()
        if how == "local":
            weights = weights * (in_row[..., :, None] & in_column[..., None, :])
        weights = weights / weights.sum(dim=(2, 3), keepdim=True)
        x = (weights.sum(dim=2) * self.centers).sum(dim=2)
        y = (weights.sum(dim=3) * self.centers).sum(dim=2)
        return torch.stack([x, y], dim=2), confidence

    def cross_entropy(self, joints_unit: Float[Tensor, "B J 2"], sigma: float) -> Float[Tensor, "B J"]:
        """Compute the cross-entropy with a Gaussian of `sigma` cells around each joint, nats: (B, J).

        The Gaussian is normalised over the crop's cells; with sigma 0 all is in the joint's own cell. A joint outside
        the crop is outside.

        Source: Li et al. 2022 (SimCC) for the cross-entropy with a Gaussian; Tompson et al. 2014 for the Gaussian.
        """
        size = int(self.cells.shape[-1])
        cell, inside = in_cells(joints_unit, size, self.side)
        cell = cell.clamp(0, size - 1)
        places = torch.arange(size, device=self.cells.device)
        distance = places - (cell if sigma else (cell + 0.5).floor())[..., None]  # (B, J, 2, W), cells
        target = (-0.5 * (distance / sigma).square()).softmax(dim=3) if sigma else (distance == 0).to(self.cells)
        x, y = target.unbind(dim=2)  # (B, J, W), (B, J, H)
        expected = ((self.cells * x[..., None, :]).sum(dim=3) * y).sum(dim=2)
        return -torch.where(inside, expected, self.outside)

    def log_prob(self, joints_unit: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J"]:
        """Compute log p(y_j | x) of joints: (B, J).

        In the crop it is a density, constant within a cell, in nats per unit² (a uniform one has 0, where the joint is
        certainly in the crop). Outside, where no area is known, it is the logarithm of the probability of being
        outside. Both are comparable between models of any number of cells, but not with each other.
        """
        size = int(self.cells.shape[-1])
        cell, inside = cell_of(joints_unit, size, self.side)
        of_cell = self.cells.flatten(2).gather(2, cell[..., None])[..., 0]  # (B, J)
        return torch.where(inside, of_cell + 2 * torch.log(torch.tensor(float(size))).to(of_cell), self.outside)


class MapReadout(nn.Module):
    """Computes one logit per joint and cell, from the finest features, and one for outside, from the coarsest.

    Args:
        channels: of the finest features.
        coarse_channels: of the coarsest.
    """

    def __init__(self, channels: int, coarse_channels: int) -> None:
        super().__init__()
        self.mix = separable(channels, 5)
        self.cells = nn.Conv2d(channels, NUM_JOINTS, kernel_size=1)
        self.outside = nn.Linear(coarse_channels, NUM_JOINTS)

    def forward(self, fine: Float[Tensor, "B C H W"], coarse: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B J P"]:
        """Compute the logits of the cells, row by row, and of outside."""
        outside = self.outside(coarse.mean(dim=(2, 3)))  # (B, J)
        return torch.cat([self.cells(self.mix(fine)).flatten(2), outside[..., None]], dim=2)


def num_cells(logits: Float[Tensor, "B J P"]) -> int:
    """Compute W, which is H, from the number of logits of a joint."""
    return math.isqrt(int(logits.shape[2]) - 1)  # int: a tensor while the model is exported


def mirrored(logits: Float[Tensor, "B J P"]) -> Float[Tensor, "B J P"]:
    """Turn the logits of a mirrored crop into those of the crop: right and left change places and names."""
    size = num_cells(logits)
    logits = logits[:, list(FLIP_ORDER)]
    cells = logits[..., :-1].unflatten(2, (size, size)).flip(3).flatten(2)
    return torch.cat([cells, logits[..., -1:]], dim=2)


class Laplace(NamedTuple):
    """The place of each joint, as a Laplace distribution along x and one along y.

    Attributes:
        joints_unit: (B, J, 2) centres.
        log_scale: (B, J): logarithm of the mean of |dx|, and of |dy|, unit.
    """

    joints_unit: Float[Tensor, "B J 2"]
    log_scale: Float[Tensor, "B J"]

    def log_prob(self, joints_unit: Float[Tensor, "B J 2"]) -> Float[Tensor, "B J"]:
        """Compute the logarithm of the density, nats per unit²: (B, J)."""
        distance = (joints_unit - self.joints_unit).abs().sum(dim=2)
        return -distance / self.log_scale.exp() - 2 * (self.log_scale + math.log(2))

    def confidence(self) -> Float[Tensor, "B J"]:
        """Compute the probability of a place within NEAR of the centre along x and along y."""
        return (1 - (-NEAR / self.log_scale.exp()).exp()).square()


class FcReadout(nn.Module):
    """Computes coordinates and their spread from the mean of the coarsest features.

    Source: Chen & Low, section 4.1, for the coordinates; Li et al. 2021 (RLE) for a Laplace distribution with a learned
    scale.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, NUM_JOINTS * 3)
        start_at_center(self.project)

    def forward(self, coarse: Float[Tensor, "B C H W"]) -> Laplace:
        """Compute the distribution of each joint."""
        values = self.project(coarse.mean(dim=(2, 3))).float().unflatten(1, (NUM_JOINTS, 3))  # (B, J, 3)
        return Laplace(values[..., :2], (values[..., 2] - START).clamp(*LOG_SCALES))
