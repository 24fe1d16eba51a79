"""Augments a batch: mirrors, rotates, scales, shifts, recolours and erases, and moves the joints with the pixels."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from posernn.pose.skeleton import FLIP_ORDER, LOWER_BODY, NUM_JOINTS

Bordered = UInt8[Tensor, "B 3 M M"] | Float[Tensor, "B 3 M M"]
Images = UInt8[Tensor, "B 3 S S"] | Float[Tensor, "B 3 S S"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness. Source: ITU-R BT.601."""

SQUARES = 2
"""Squares that may be erased of a crop, each with the probability `erase`."""
SQUARE_SIDES = (0.08, 0.3)
"""Smallest and largest side of an erased square, as a share of the crop's."""

HALF_BODY_JOINTS = 3
"""Joints that half a body must have to be zoomed into."""
HALF_BODY_SPACE = 1.5
"""Side of the zoomed region, as a multiple of the box of its joints. Source: HRNet `lib/dataset/JointsDataset.py`."""
HALF_BODY_ZOOM = (1.0, 2.0)
"""Smallest and largest zoom."""


class Amounts(NamedTuple):
    """Augmentation parameters of each crop of a batch.

    Attributes:
        mirrored: whether to mirror the crop; right and left joints and their flags are swapped.
        angle: rad, clockwise.
        size: scale factor.
        shift: xy, unit.
        half: 1: zoom into the upper body; -1: into the lower body; 0: neither.
        color: factors of brightness, contrast and saturation.
        squares: x and y of the corner, the side (0: none), unit, and red, green and blue of the erased squares.
    """

    mirrored: Bool[np.ndarray, "B"]
    angle: Float[np.ndarray, "B"]
    size: Float[np.ndarray, "B"]
    shift: Float[np.ndarray, "B 2"]
    half: Int[np.ndarray, "B"]
    color: Float[np.ndarray, "B 3"]
    squares: Float[np.ndarray, "B K 6"]

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
        shift: largest move along x and along y, as a share of the crop's side.
        half_body: probability to zoom into the upper or the lower body.
        erase: probability of each of SQUARES squares to be filled with a random colour. Source: DeVries & Taylor 2017
            (cutout), Zhong et al. 2020 (random erasing).
    """

    flip: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    color: float = 0.0
    shift: float = 0.0
    half_body: float = 0.0
    erase: float = 0.0

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
            shift=random.uniform(-self.shift, self.shift, (num_people, 2)),
            half=(random.random(num_people) < self.half_body) * random.choice([-1, 1], num_people),
            squares=self._draw_squares(num_people, random),
        )

    def _draw_squares(self, num_people: int, random: np.random.Generator) -> Float[np.ndarray, "B K 6"]:
        several = (num_people, SQUARES, 1)
        side = random.uniform(*SQUARE_SIDES, several) * (random.random(several) < self.erase)
        corner = random.random((num_people, SQUARES, 2)) * (1 - side)
        return np.concatenate([corner, side, random.uniform(0, 255, (num_people, SQUARES, 3))], axis=2)


def augment(
    images: Bordered,
    joints_unit: Float[Tensor, "B 16 2"],
    annotated: Bool[Tensor, "B 16"],
    amounts: Amounts,
    border: int = 0,
) -> tuple[Images, Float[Tensor, "B 16 2"], Bool[Tensor, "B 16"]]:
    """Change each crop by its own amounts. Nothing is changed in place.

    Args:
        images: (B, 3, M, M), pixels from 0 to 255.
        joints_unit: (B, J, 2) xy, unit of the crop without its border.
        annotated: (B, J).
        amounts: augmentation parameters of each crop.
        border: px on each side of the images that are not part of the crop: what a rotated crop shows in its corners.

    Returns:
        images (B, 3, S, S) without their border, joints_unit and annotated. A joint that leaves the crop stays
        annotated. Images stay uint8 if they are at most mirrored.
    """
    side = images.shape[-1] - 2 * border  # S
    warped = _is_warped(amounts)
    if amounts.mirrored.any() or warped:
        center = (side - 1) / (2 * side)  # unit: midway between the centres of the first and the last pixel
        linear, shift = _warps(joints_unit - center, annotated, amounts)  # (B, 2, 2), (B, 2)
        swap = torch.from_numpy(amounts.mirrored).to(images.device)[:, None]  # (B, 1)
        if warped:
            images = _warp_images(images.float(), linear, shift, side)
        else:  # the same pixels as the warp gives, ten times faster
            images = torch.where(swap[..., None, None], images.flip(-1), images)
        joints_unit = (joints_unit - center) @ linear.transpose(1, 2) + shift[:, None] + center
        order = list(FLIP_ORDER)
        joints_unit = torch.where(swap[..., None], joints_unit[:, order], joints_unit)
        annotated = torch.where(swap, annotated[:, order], annotated)
    images = crop_center(images, side)
    if (amounts.color != 1).any():
        factors = torch.from_numpy(amounts.color.T.astype(np.float32)).to(images.device)  # (3, B)
        images = _recolor(images.float(), factors[..., None, None, None])
    if amounts.squares[..., 2].any():
        images = _erase(images.float(), torch.from_numpy(amounts.squares).to(images.device, torch.float32))
    return images, joints_unit, annotated


def crop_center(images: Bordered, side: int) -> Images:
    """Cut the border off: (B, 3, M, M) -> (B, 3, S, S)."""
    border = (images.shape[-1] - side) // 2
    return images[..., border : border + side, border : border + side]


def _is_warped(amounts: Amounts) -> bool:
    return bool(amounts.angle.any() or (amounts.size != 1).any() or amounts.shift.any() or amounts.half.any())


def _warps(
    joints: Float[Tensor, "B 16 2"], annotated: Bool[Tensor, "B 16"], amounts: Amounts
) -> tuple[Float[Tensor, "B 2 2"], Float[Tensor, "B 2"]]:
    """Compute the affines that zoom, mirror, rotate clockwise on the screen, scale and shift, about the crop's centre.

    Args:
        joints: xy about the crop's centre, unit.
        annotated: (B, J).
        amounts: augmentation parameters of each crop.

    Returns:
        linear part and shift: `moved = linear @ joints + shift`.
    """
    angle = amounts.angle
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1).reshape(-1, 2, 2)
    turn[amounts.mirrored, :, 0] *= -1
    linear = torch.from_numpy((turn * amounts.size[:, None, None]).astype(np.float32)).to(joints)
    shift = torch.from_numpy(amounts.shift).to(joints)
    if amounts.half.any():
        zoom, middle = _half_bodies(joints, annotated, torch.from_numpy(amounts.half).to(joints.device))
        linear = linear * zoom[:, None, None]
        shift = shift - (linear @ middle[..., None])[..., 0]
    return linear, shift


def _half_bodies(
    joints: Float[Tensor, "B 16 2"], annotated: Bool[Tensor, "B 16"], half: Int[Tensor, "B"]
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B 2"]]:
    """Compute zoom and centre of the chosen half of each body; 1 and 0 where there is none. Source: HRNet."""
    lower = torch.zeros(NUM_JOINTS, dtype=torch.bool, device=joints.device)
    lower[list(LOWER_BODY)] = True
    chosen = annotated & (lower == (half < 0)[:, None])  # (B, J)
    there = (half != 0) & (chosen.sum(dim=1) >= HALF_BODY_JOINTS)  # (B,)
    low = torch.where(chosen[..., None], joints, torch.inf).amin(dim=1)  # (B, 2)
    high = torch.where(chosen[..., None], joints, -torch.inf).amax(dim=1)
    zoom = (1 / (HALF_BODY_SPACE * (high - low).amax(dim=1)).clamp(min=1e-3)).clamp(*HALF_BODY_ZOOM)
    return torch.where(there, zoom, 1.0), torch.where(there[:, None], (low + high) / 2, 0.0)


def _warp_images(
    images: Float[Tensor, "B 3 M M"], linear: Float[Tensor, "B 2 2"], shift: Float[Tensor, "B 2"], side: int
) -> Float[Tensor, "B 3 S S"]:
    # grid_sample needs the source position of each output pixel, in coordinates from -1 to 1 about the same centre:
    # twice the unit of the output, and S / M of that in the input, which is larger by its border.
    back = torch.linalg.inv(linear)
    moved = -2 * (back @ shift[..., None])  # (B, 2, 1)
    theta = torch.cat([back, moved], dim=2) * (side / images.shape[-1])  # (B, 2, 3)
    grid = torch.nn.functional.affine_grid(theta, [*images.shape[:2], side, side], align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, align_corners=False)


def _recolor(images: Float[Tensor, "B 3 S S"], factors: Float[Tensor, "3 B 1 1 1"]) -> Float[Tensor, "B 3 S S"]:
    brightness, contrast, saturation = factors
    luma = images.new_tensor(LUMA)[:, None, None]  # (3, 1, 1)
    images = images * brightness
    mean = (images * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)  # (B, 1, 1, 1)
    images = mean + contrast * (images - mean)
    grey = (images * luma).sum(dim=1, keepdim=True)  # (B, 1, S, S)
    return (grey + saturation * (images - grey)).clamp(0, 255)


def _erase(images: Float[Tensor, "B 3 S S"], squares: Float[Tensor, "B K 6"]) -> Float[Tensor, "B 3 S S"]:
    side = images.shape[-1]
    places = (torch.arange(side, device=images.device) + 0.5) / side
    for square in squares.unbind(dim=1):  # (B, 6)
        low, high = square[:, :2, None], square[:, :2, None] + square[:, 2:3, None]
        within_x, within_y = ((low <= places) & (places < high)).unbind(dim=1)  # (B, S) each
        erased = (within_y[:, :, None] & within_x[:, None, :])[:, None]  # (B, 1, S, S)
        images = torch.where(erased, square[:, 3:, None, None], images)
    return images
