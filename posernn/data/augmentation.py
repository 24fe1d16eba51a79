"""Augments a batch: mirrors, rotates, scales and recolours crops, and moves their joints with them."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from posernn.pose.skeleton import FLIP_ORDER

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness. Source: ITU-R BT.601."""


class Amounts(NamedTuple):
    """Augmentation parameters of each crop of a batch.

    Attributes:
        mirrored: whether to mirror the crop; right and left joints and their flags are swapped.
        angle: rad, clockwise.
        size: scale factor.
        color: factors of brightness, contrast and saturation.
    """

    mirrored: Bool[np.ndarray, "B"]
    angle: Float[np.ndarray, "B"]
    size: Float[np.ndarray, "B"]
    color: Float[np.ndarray, "B 3"]

    def of(self, people: slice) -> "Amounts":
        """Return the parameters of a part of the batch."""
        return Amounts(*(amounts[people] for amounts in self))


class Augmentation(NamedTuple):
    """How much training crops are changed at random; 0 is off.

    Attributes:
        flip: probability of mirroring.
        rotation: largest angle either way, degrees.
        scale: crops become up to (1 + scale) times larger or smaller.
        color: largest relative change of brightness, contrast and saturation.
    """

    flip: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    color: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether anything is changed."""
        return any(self)

    def draw(self, num_people: int, random: np.random.Generator) -> Amounts:
        """Draw the augmentation parameters of a batch of `num_people` crops."""
        return Amounts(
            mirrored=random.random(num_people) < self.flip,
            angle=np.deg2rad(random.uniform(-self.rotation, self.rotation, num_people)),
            size=(1 + self.scale) ** random.uniform(-1, 1, num_people),
            color=random.uniform(1 - self.color, 1 + self.color, (3, num_people)).T,
        )


def augment(
    images: UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"],
    joints_unit: Float[Tensor, "B J 2"],
    annotated: Bool[Tensor, "B J"],
    amounts: Amounts,
) -> tuple[UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"], Float[Tensor, "B J 2"], Bool[Tensor, "B J"]]:
    """Mirror, rotate, scale and recolour each crop by its own amounts. Nothing is changed in place.

    Args:
        images: (B, 3, S, S), pixels from 0 to 255.
        joints_unit: (B, J, 2) xy.
        annotated: (B, J).
        amounts: augmentation parameters of each crop.

    Returns:
        images, joints_unit and annotated. A joint that leaves the crop stays annotated. Images stay uint8 if they are
        at most mirrored.
    """
    warped = bool(amounts.angle.any() or (amounts.size != 1).any())
    if warped or amounts.mirrored.any():
        warp = torch.from_numpy(_warps(amounts.mirrored, amounts.angle, amounts.size)).to(joints_unit)  # (B, 2, 2)
        swap = torch.from_numpy(amounts.mirrored).to(images.device)[:, None]  # (B, 1)
        if warped:
            images = _warp_images(images.float(), warp)
        else:  # the same pixels as the warp gives, ten times faster
            images = torch.where(swap[..., None, None], images.flip(-1), images)
        joints_unit = _warp_joints(joints_unit, warp, images.shape[-1])
        order = list(FLIP_ORDER)
        joints_unit = torch.where(swap[..., None], joints_unit[:, order], joints_unit)
        annotated = torch.where(swap, annotated[:, order], annotated)
    if (amounts.color != 1).any():
        factors = torch.from_numpy(amounts.color.T.astype(np.float32)).to(images.device)  # (3, B)
        images = _recolor(images.float(), factors[..., None, None, None])
    return images, joints_unit, annotated


def _warps(
    mirrored: Bool[np.ndarray, "B"], angle: Float[np.ndarray, "B"], size: Float[np.ndarray, "B"]
) -> Float[np.ndarray, "B 2 2"]:
    """Return the matrices that mirror, then rotate clockwise on the screen and scale, about the crop's centre."""
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1).reshape(-1, 2, 2)
    turn[mirrored, :, 0] *= -1
    return (turn * size[:, None, None]).astype(np.float32)


def _warp_joints(
    joints_unit: Float[Tensor, "B J 2"], warp: Float[Tensor, "B 2 2"], side: int
) -> Float[Tensor, "B J 2"]:
    center = (side - 1) / (2 * side)  # unit: midway between the centres of the first and the last pixel
    return (joints_unit - center) @ warp.transpose(1, 2) + center


def _warp_images(images: Float[Tensor, "B 3 S S"], warp: Float[Tensor, "B 2 2"]) -> Float[Tensor, "B 3 S S"]:
    # grid_sample needs the source position of each output pixel, in coordinates from -1 to 1 about the same centre.
    back = torch.linalg.inv(warp)
    theta = torch.cat([back, torch.zeros_like(back[:, :, :1])], dim=2)  # (B, 2, 3)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, align_corners=False)


def _recolor(images: Float[Tensor, "B 3 S S"], factors: Float[Tensor, "3 B 1 1 1"]) -> Float[Tensor, "B 3 S S"]:
    brightness, contrast, saturation = factors
    luma = images.new_tensor(LUMA)[:, None, None]  # (3, 1, 1)
    images = images * brightness
    mean = (images * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)  # (B, 1, 1, 1)
    images = mean + contrast * (images - mean)
    grey = (images * luma).sum(dim=1, keepdim=True)  # (B, 1, S, S)
    return (grey + saturation * (images - grey)).clamp(0, 255)
