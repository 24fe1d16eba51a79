"""Places in the crop as vectors: cells and joints have the same code, so that a product of two says how near they are.

Axis letters: B batch, W cells along a side, F features of a place.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FREQUENCIES = 6
"""Sines and cosines of x and of y, from half a wave in the crop to 16 waves."""

NUM_FEATURES = 2 + 4 * FREQUENCIES


def cell_centers(cells: int, side: int, device: torch.device) -> Float[Tensor, "W"]:
    """Compute x of the centres of the cells of a map, and y.

    Args:
        cells: W.
        side: of the crop, px: unit 0 is the centre of its first pixel.
        device: of the result.

    Returns:
        (W,) unit.
    """
    return (torch.arange(cells, dtype=torch.float32, device=device) + 0.5) / cells - 0.5 / side


def in_cells(
    places_unit: Float[Tensor, "*B 2"], cells: int, side: int
) -> tuple[Float[Tensor, "*B 2"], Bool[Tensor, "*B"]]:
    """Return xy in cells, whose centres are integers; and whether the places are in the crop."""
    xy = (places_unit + 0.5 / side) * cells
    return xy - 0.5, ((xy >= 0) & (xy < cells)).all(dim=-1)


def cell_of(places_unit: Float[Tensor, "*B 2"], cells: int, side: int) -> tuple[Int[Tensor, "*B"], Bool[Tensor, "*B"]]:
    """Find the cell in which places are, counted row by row, or the nearest; and whether they are in the crop."""
    xy, inside = in_cells(places_unit, cells, side)
    column, row = (xy + 0.5).floor().long().clamp(0, cells - 1).unbind(dim=-1)
    return row * cells + column, inside


def place_features(places_unit: Float[Tensor, "*B 2"]) -> Float[Tensor, "*B F"]:
    """Encode xy, unit, as themselves and as sines and cosines. Source: Vaswani et al. 2017; Tancik et al. 2020."""
    factors = math.pi * 2.0 ** torch.arange(FREQUENCIES, device=places_unit.device)
    angles = (places_unit[..., None] * factors).flatten(-2)  # (*B, 2 * FREQUENCIES)
    return torch.cat([places_unit - 0.5, angles.sin(), angles.cos()], dim=-1)


def cell_features(cells: int, side: int, like: Tensor) -> Float[Tensor, "F W W"]:
    """Encode the centres of the cells of a map; `like` gives dtype and device. See `cell_centers`."""
    centers = cell_centers(cells, side, like.device)
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    return place_features(torch.stack([x, y], dim=-1)).permute(2, 0, 1).to(like)


def gaussians(places_unit: Float[Tensor, "*B 2"], cells: int, side: int, sigma: float) -> Float[Tensor, "*B W W"]:
    """Draw a Gaussian of `sigma` cells, 1 at its centre, around each place."""
    centers = cell_centers(cells, side, places_unit.device)
    distance = (places_unit[..., None] - centers) * cells / sigma  # (*B, 2, W)
    along_x, along_y = (-0.5 * distance.square()).exp().unbind(dim=-2)
    return along_y[..., :, None] * along_x[..., None, :]
