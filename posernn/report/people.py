"""Draws people: crops with skeletons, and maps of the joints over crops."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

from posernn.pose.skeleton import DECODE_ORDERS, LIMBS, Joint
from posernn.report.style import LEFT, MIDDLE, RIGHT, STYLE

SIDE_COLORS = {"right": RIGHT, "left": LEFT, "middle": MIDDLE}

MAX_WIDTH = 10.0
"""Maximum width of a row of crops, inches."""


def read_pictures(jpegs: Sequence[bytes]) -> UInt8[np.ndarray, "P S S 3"]:
    """Decode crops of one size, RGB."""
    return np.stack([np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")) for jpeg in jpegs])


@matplotlib.rc_context(STYLE)
def sample_people(
    pictures: UInt8[np.ndarray, "P S S 3"],
    crop_to_image: Float[np.ndarray, "P 2 3"],
    poses: Mapping[str, Float[np.ndarray, "P 16 2"]],
    annotated: Bool[np.ndarray, "P 16"],
    notes: Mapping[str, Sequence[str]],
    threshold: float = 0.5,
) -> Figure:
    """Draw people side by side: the truth in the first row, predicted skeletons below; crops in the image's aspect.

    Args:
        pictures: the crops.
        crop_to_image: their affines, which give the aspect of each crop in the image.
        poses: name of the row -> joints, crop px.
        annotated: (P, 16); only annotated joints are drawn.
        notes: name of the row -> text below each person: the number of correct joints. May lack rows.
        threshold: within which joints are correct.
    """
    ratios = np.clip(1 / aspects(crop_to_image), 0.4, 1.6)  # width / height
    height = min(1.55, MAX_WIDTH / ratios.sum())
    figure = Figure(figsize=(0.35 + height * ratios.sum(), 0.45 + (height + 0.2) * len(poses)), layout=_narrow_gaps())
    grid = figure.subplots(len(poses), len(pictures), squeeze=False, width_ratios=ratios.tolist())
    for row, (name, joints) in enumerate(poses.items()):
        for person, axes in enumerate(grid[row]):
            _show_crop(axes, pictures[person], crop_to_image[person])
            draw_skeleton(axes, joints[person], annotated[person])
            if name in notes:
                axes.set_xlabel(notes[name][person], fontsize=8, labelpad=2)
        grid[row, 0].set_ylabel(name, fontsize=10)
    sides = [
        Line2D([], [], color=color, label=f"the person's {side}") for side, color in (("right", RIGHT), ("left", LEFT))
    ]
    if notes:
        sides.append(Line2D([], [], linestyle="none", label=f"below: correct joints @{threshold:g}"))
    figure.legend(handles=sides, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
    return figure


@matplotlib.rc_context(STYLE)
def joint_maps(
    pictures: UInt8[np.ndarray, "P S S 3"],
    crop_to_image: Float[np.ndarray, "P 2 3"],
    maps: Float[np.ndarray, "P 16 H W"],
    pred_crop: Float[np.ndarray, "P 16 2"],
    joint_order: str | None,
) -> Figure:
    """Draw the 16 maps of each person (attention, heat maps) over the crop, in decode order.

    Args:
        pictures: the crops.
        crop_to_image: their affines, which give the aspect of each crop in the image.
        maps: joints in skeleton order, each map summing to 1.
        pred_crop: predicted joints, crop px, drawn as rings.
        joint_order: a key of DECODE_ORDERS; None: all joints at once, drawn in skeleton order.
    """
    columns = len(Joint) // 2
    ratio = float(np.clip(1 / aspects(crop_to_image), 0.5, 1.2).max())
    height = 0.35 + 2.3 * len(pictures)
    figure = Figure(figsize=(columns * ratio, height))
    # All cells have the same size: a fixed layout saves the seconds that constrained layout takes.
    figure.subplots_adjust(0.005, 0.05 / height, 0.995, 1 - 0.45 / height, wspace=0.04, hspace=0.16)
    grid = figure.subplots(2 * len(pictures), columns, squeeze=False)
    side = pictures.shape[1]
    for person in range(len(pictures)):
        grey = pictures[person].mean(axis=-1)
        for step, joint in enumerate(DECODE_ORDERS[joint_order] if joint_order else Joint):
            axes = grid[2 * person + step // columns, step % columns]
            _show_crop(axes, grey, crop_to_image[person])
            # One colour scale per person: a uniform map must not look like a peaked one.
            weight = maps[person, joint] / maps[person].max()  # (H, W)
            axes.imshow(
                weight,
                extent=(-0.5, side - 0.5, side - 0.5, -0.5),
                cmap="inferno",
                vmin=0,
                vmax=1,
                alpha=0.1 + 0.65 * weight,
                interpolation="bilinear",
            )
            axes.set_aspect(aspects(crop_to_image)[person])
            axes.scatter(*pred_crop[person, joint], s=30, facecolor="none", edgecolor="white", linewidth=1.2)
            title = f"{step + 1} {joint.label}" if joint_order else joint.label
            axes.set_title(title, fontsize=7, pad=2, loc="center")
    title = f"Maps of the joints, {'in decode order' if joint_order else 'all at once'}; ring: the predicted joint"
    figure.suptitle(title, x=0.01, y=1 - 0.05 / height, ha="left", va="top", fontsize=10)
    return figure


def draw_skeleton(axes: Axes, joints: Float[np.ndarray, "16 2"], drawn: Bool[np.ndarray, "16"]) -> None:
    """Draw limbs and joints: the person's right and left side in two colours, with dark edges."""
    known = drawn & np.isfinite(joints).all(axis=-1)
    for limb in LIMBS:
        if known[list(limb)].all():
            ends = joints[list(limb)]
            axes.plot(*ends.T, color="#000000", linewidth=3.2, alpha=0.6, solid_capstyle="round")
            axes.plot(*ends.T, color=SIDE_COLORS[side_of(limb)], linewidth=1.8, solid_capstyle="round")
    for joint in Joint:
        if known[joint]:
            axes.plot(*joints[joint], ".", color=SIDE_COLORS[side_of((joint,))], markersize=4)


def _narrow_gaps() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)  # inches


def side_of(joints: Sequence[Joint]) -> str:
    """Return right, left or middle: the person's side that a limb or joint belongs to."""
    names = " ".join(joint.name for joint in joints)
    return "right" if "RIGHT" in names else "left" if "LEFT" in names else "middle"


def aspects(crop_to_image: np.ndarray) -> np.ndarray:
    """Return height divided by width of each crop in the image, (P,)."""
    width, height = np.linalg.norm(crop_to_image[:, :, :2], axis=1).T
    return height / width


def _show_crop(axes: Axes, picture: np.ndarray, affine: np.ndarray) -> None:
    axes.imshow(picture, cmap="gray", interpolation="bilinear")
    axes.set_aspect(float(aspects(affine[None])[0]))
    axes.set(xticks=[], yticks=[], xlim=(-0.5, picture.shape[1] - 0.5), ylim=(picture.shape[0] - 0.5, -0.5))
    axes.spines[:].set_visible(False)
