"""A trained model for photos: boxes of people -> joints in the pixels of the photo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor, nn

from posernn import models
from posernn.data.cropping import render
from posernn.data.joint_names import joint_of
from posernn.evaluation.predict import predict
from posernn.inference import boxes, photos
from posernn.inference.boxes import Crops
from posernn.models.contract import Prediction
from posernn.models.parts.decoders import History
from posernn.pose import geometry
from posernn.pose.skeleton import NUM_JOINTS, Joint
from posernn.runtime.errors import InputError
from posernn.runtime.files import read_json

Given = Mapping[str, Sequence[float] | np.ndarray]
"""Joints that are known: name -> xy, image px."""


@dataclass(frozen=True, eq=False)
class Poses:
    """The people of one photo; its pixels are 0-based, with pixel centres at integers.

    Attributes:
        boxes_image: (P, 4) xyxy, image px: what was taken for the box of each person.
        joints_image: (P, 16, 2) xy, image px, in the order of `posernn.pose.skeleton.Joint`.
        confidence: (P, 16) in [0, 1]; None: the model gives none.
    """

    boxes_image: Float[np.ndarray, "P 4"]
    joints_image: Float[np.ndarray, "P 16 2"]
    confidence: Float[np.ndarray, "P 16"] | None

    def __len__(self) -> int:
        return len(self.boxes_image)


@dataclass(frozen=True, eq=False)
class Estimator:
    """A trained model with what it has to know about its crops; made by `load`.

    Attributes:
        module: in eval mode.
        side: of its crops, px.
        crops: how its training crops were cut.
        detector_weights: file for the detector; None: download it.
    """

    module: nn.Module
    side: int
    crops: Crops
    detector_weights: Path | None = None

    def predict(
        self,
        image: photos.ImageLike,
        boxes: ArrayLike | Literal["whole"] | None = None,
        *,
        given: Given | None = None,
    ) -> Poses:
        """Predict the joints of the people in a photo.

        Args:
            image: a path, a Pillow image, or an array (H, W, 3) of uint8, RGB. Photos are turned upright by their EXIF
                orientation.
            boxes: (P, 4) or (4,) xyxy, px of the upright photo, around each person; "whole": the photo shows one
                person, who fills it; None: torchvision's detector finds the people.
            given: joints of a single person that are known, name such as "left_wrist" -> xy, px of the upright photo:
                they stay, and a chain predicts the others from them.
        Returns:
            the people, in the order of the boxes; those that were detected by falling score.
        Raises:
            InputError: the file cannot be read, a box lies outside of the photo, or the detector cannot be downloaded.
            ValueError: the image is none of these.

        >>> import posernn
        >>> model = posernn.load("runs/model")
        >>> poses = model.predict("photo.jpg", boxes=[40, 10, 260, 480])
        >>> poses.joints_image.shape
        (1, 16, 2)
        """
        picture = photos.to_image(image)
        name = str(image) if isinstance(image, str | Path) else "the image"
        return self.predict_people(picture, self._boxes_of(picture, boxes, name), given)

    def predict_people(
        self,
        picture: Image.Image,
        boxes_image: Float[np.ndarray, "P 4"],
        given: Given | None = None,
    ) -> Poses:
        """Predict the joints of people whose boxes are known.

        Args:
            picture: RGB, upright.
            boxes_image: (P, 4) xyxy, image px; accepted by `boxes.check`.
            given: see `predict`.
        """
        if not len(boxes_image):
            return Poses(boxes_image, np.zeros((0, 16, 2)), None)
        cuts = [boxes.crop_box(box, picture.size, self.crops) for box in boxes_image]
        crops = np.stack([np.asarray(render(picture, cut, self.side)) for cut in cuts])  # (P, S, S, 3)
        affines = np.stack([geometry.crop_to_image(cut, self.side) for cut in cuts])  # (P, 2, 3)
        images = torch.from_numpy(crops).permute(0, 3, 1, 2)
        found = predict(self.module, images) if given is None else self._complete(images, affines, given)
        joints = geometry.transform(self.side * found.joints_unit.double().numpy(), affines)
        return Poses(boxes_image, joints, None if found.confidence is None else found.confidence.double().numpy())

    @torch.inference_mode()
    def _complete(
        self, images: UInt8[Tensor, "P 3 S S"], affines: Float[np.ndarray, "P 2 3"], given: Given
    ) -> Prediction:
        """Predict the joints of one person of whom some are given."""
        complete = getattr(self.module, "complete", None)
        if complete is None:
            raise InputError("given: expected a chain, got a model that tells no joint of another; train arch: chain")
        if len(images) != 1:
            raise InputError(f"given: expected one person, got {len(images)}; name one box")
        joints, known = np.zeros((1, NUM_JOINTS, 2)), np.zeros((1, NUM_JOINTS), dtype=bool)
        for name, place in given.items():
            joint = joint_of(name)
            if joint is None:
                names = ", ".join(joint.name.lower() for joint in Joint)
                raise InputError(f"given: expected a joint, got {name!r}; there are {names}")
            joints[0, joint], known[0, joint] = place, True
        joints_unit = geometry.transform(joints, geometry.invert(affines)) / self.side
        try:
            return complete(images, History(torch.from_numpy(joints_unit).float(), torch.from_numpy(known)))
        except ValueError as error:
            raise InputError(f"given: {error}") from error

    def find_people(self, picture: Image.Image) -> Float[np.ndarray, "P 4"]:
        """Find the boxes of the people in an RGB picture; see `detector.find_people`."""
        from posernn.inference import detector  # torchvision takes seconds

        return detector.find_people(self._detector, picture)

    def load_detector(self) -> None:
        """Load the detector now instead of at its first use, which may have to download it."""
        self._detector  # noqa: B018

    @cached_property
    def _detector(self) -> nn.Module:
        from posernn.inference import detector

        return detector.load(self.detector_weights)

    def _boxes_of(self, picture: Image.Image, given: object, name: str) -> Float[np.ndarray, "P 4"]:
        if given is None:
            return self.find_people(picture)
        if isinstance(given, str) and given == "whole":
            return boxes.whole(picture.size)
        boxes_image = boxes.as_boxes("boxes", given)
        boxes.check("boxes", boxes_image, picture.size, name)
        return boxes_image


def load(model: str | Path, *, detector_weights: str | Path | None = None) -> Estimator:
    """Load a trained model for photos.

    Args:
        model: folder of a run, such as runs/model; or the name of a model in the package, such as rendered-small.
        detector_weights: file of the detector that finds people where no boxes are given; None: it is downloaded once,
            when it is needed.
    Raises:
        InputError: no such run or name; a file of it is missing or broken.

    >>> import posernn
    >>> posernn.load("runs/model").side
    32
    """
    folder = models.folder_of(model)
    module = models.load(folder)
    description = read_json(folder / "model.json")
    try:
        crops = Crops(**description["crops"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f'{folder / "model.json"}: expected "crops": {{"box": ..., "padding": ..., "keep_aspect": ...}}, how the '
            "training crops were cut, got none; add the values of params.yaml, or train again"
        ) from error
    return Estimator(module, description["crop_size"], crops, Path(detector_weights) if detector_weights else None)
