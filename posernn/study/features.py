"""Features of all people, computed once, that the decoders of a study are trained on.

Maps of people whom the trunk was trained on are more certain than those of others, so history looks less useful on them
than it is. Half of the people train the trunk; the other half, and the held-out people, are seen by the decoders.

Axis letters: N people, V views, C channels, H W map.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from posernn.data.augmentation import Augmentation, augment, crop_center
from posernn.data.batches import Crops
from posernn.runtime.errors import InputError
from posernn.runtime.files import replacing_folder
from posernn.runtime.progress import Advance, silent

BATCH = 64
FEATURES, JOINTS, ANNOTATED = "features.npy", "joints_unit.npy", "annotated.npy"


def halves(images: Int[np.ndarray, "N"], seed: int) -> Bool[np.ndarray, "N"]:
    """Choose who trains the trunk: half of the images with all of their people."""
    known = np.unique(images)
    chosen = np.random.default_rng([seed, 3]).permutation(known)[: len(known) // 2]
    return np.isin(images, chosen)


def subset(crops: Crops, rows: Int[np.ndarray, "K"]) -> Crops:
    """Return some of the people."""
    return Crops(
        images=lambda people: crops.images(rows[people]),
        joints_unit=crops.joints_unit[rows],
        annotated=crops.annotated[rows],
        crop_size=crops.crop_size,
        border=crops.border,
    )


def calibration_split(num: int, share: float, seed: int) -> tuple[Int[np.ndarray, "K"], Int[np.ndarray, "M"]]:
    """Choose the rows that train a decoder, and the share that fits its temperature instead: at least two."""
    rows = np.random.default_rng([seed, 5]).permutation(num)
    held_out = max(2, int(num * share))
    return np.sort(rows[held_out:]), np.sort(rows[:held_out])


@torch.inference_mode()
def write(
    folder: Path,
    model: nn.Module,
    crops: Crops,
    augmentation: Augmentation,
    *,
    views: int,
    seed: int,
    advance: Advance = silent,
) -> None:
    """Write the features of each person in several views: the crop as it is, then augmented ones.

    Args:
        folder: replaced; features.npy is (V, N, C, H, W) of float16, joints_unit.npy (V, N, 16, 2), annotated.npy.
        model: with `features`, in eval mode.
        crops: of the people.
        augmentation: of all views but the first.
        views: V.
        seed: of the augmentation.
        advance: called with the people done and all people, over all views.
    """
    num = len(crops)
    with replacing_folder(folder) as partial:
        arrays: list[np.ndarray] = []
        for view in range(views):
            changes = augmentation if view else Augmentation()
            for start in range(0, num, BATCH):
                people = np.arange(start, min(start + BATCH, num))
                amounts = changes.draw(len(people), np.random.default_rng([seed, view, start, 4]))
                changed = augment(
                    crops.images(people), crops.joints_unit[people], crops.annotated[people], amounts, crops.border
                )
                batch = [model.features(changed[0]).half().numpy(), changed[1].numpy(), changed[2].numpy()]  # type: ignore[operator]
                if not arrays:
                    arrays = [
                        np.lib.format.open_memmap(
                            partial / name, mode="w+", dtype=values.dtype, shape=(views, num, *values.shape[1:])
                        )
                        for name, values in zip((FEATURES, JOINTS, ANNOTATED), batch, strict=True)
                    ]
                for array, values in zip(arrays, batch, strict=True):
                    array[view, people] = values
                advance(view * num + int(people[-1]) + 1, views * num)


@torch.inference_mode()
def compute(model: nn.Module, crops: Crops) -> Crops:
    """Compute the features of all people, crops as they are, and keep them in memory.

    Args:
        model: with `features`, in eval mode.
        crops: of the people.
    """
    rows = np.arange(len(crops))
    parts = [
        model.features(crop_center(crops.images(rows[start : start + BATCH]), crops.crop_size))  # type: ignore[operator]
        for start in range(0, len(crops), BATCH)
    ]
    features = torch.cat(parts).contiguous(memory_format=torch.channels_last)
    return Crops(
        images=lambda people: features[people],
        joints_unit=crops.joints_unit,
        annotated=crops.annotated,
        crop_size=crops.crop_size,
    )


def read(folder: Path, crop_size: int, rows: Int[np.ndarray, "K"] | None = None, *, views: int | None = None) -> Crops:
    """Read features as the loop reads crops: each view of a person is a row, the views one after another.

    Args:
        folder: of `write`.
        crop_size: S, px.
        rows: people; None: all.
        views: the first so many; None: all.

    Raises:
        InputError: there are no features.
    """
    try:
        features, joints, annotated = (
            np.load(folder / name, mmap_mode="r")[:views] for name in (FEATURES, JOINTS, ANNOTATED)
        )
    except OSError as error:
        raise InputError(f"{folder}: expected features, got {error.strerror}; run the stage features") from error
    rows = np.arange(features.shape[1]) if rows is None else rows
    num = len(rows)

    def images(people: Int[np.ndarray, "B"]) -> Float[Tensor, "B C H W"]:
        values = torch.from_numpy(features[people // num, rows[people % num]].astype(np.float32))
        return values.contiguous(memory_format=torch.channels_last)  # convolutions are quickest in it

    return Crops(
        images=images,
        joints_unit=torch.from_numpy(np.concatenate(joints[:, rows])),
        annotated=torch.from_numpy(np.concatenate(annotated[:, rows])),
        crop_size=crop_size,
    )
