"""Renders people in MPII's file format: a release for trying the whole pipeline without a download.

poses -> body (joints in space) -> figure (surfaces: cones) -> rendering (pixels). scenes composes one picture,
annotation derives its ground truth, planning decides what a release contains, and release writes MPII's file.
"""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np

from posernn.data.synthetic.annotation import RenderedPerson
from posernn.data.synthetic.planning import PlannedImage, plan_release
from posernn.data.synthetic.release import ReleaseImage, mat_bytes
from posernn.data.synthetic.scenes import PICTURE_WIDTH, render_image
from posernn.runtime.errors import InputError
from posernn.runtime.files import replacing, replacing_folder
from posernn.runtime.parallel import in_order
from posernn.runtime.progress import Advance, silent

ANNOTATION_FILE = "mpii_human_pose_v1_u12_1.mat"
IMAGE_FOLDER = "images"
IMAGES_PER_TASK = 4


def synthesize(
    root: Path,
    *,
    num_people: int,
    seed: int,
    picture_width: int = PICTURE_WIDTH,
    executor: Executor | None = None,
    progress: Advance = silent,
) -> tuple[int, int]:
    """Render a release into `root`: `images/*.jpg` and the annotation file, laid out like MPII's.

    The same number of people, seed and width give the same bytes, whatever the number of processes.

    Args:
        root: folder to write into; an earlier release there is replaced.
        num_people: annotated people of the train half. Images without joints are added to theirs.
        seed: of all random choices.
        picture_width: of the widest pictures, px.
        executor: its workers render the images and write them into `root`; None: this process does.
        progress: called with the number of images done and of all images.
    Returns:
        The numbers of images and of annotated people.
    Raises:
        InputError: the files cannot be written, a worker died, or a worker wrote to another machine's folder.
    """
    planned, num_videos = plan_release(num_people, seed)
    images: list[ReleaseImage] = []
    with replacing_folder(root / IMAGE_FOLDER) as folder:
        # A worker may have another working directory.
        draw = partial(_draw_images, folder=folder.resolve(), seed=seed, picture_width=picture_width)
        for image in in_order(draw, planned, per_task=IMAGES_PER_TASK, executor=executor):
            images.append(image)
            progress(len(images), len(planned))
        drawn = sum(1 for _ in folder.iterdir())
        if drawn != len(planned):
            raise InputError(
                f"{folder}: expected {len(planned)} images, got {drawn}; let all workers share this folder"
            )
    with replacing(root / ANNOTATION_FILE) as file:
        file.write_bytes(mat_bytes(images, num_videos, seed))
    return len(images), sum(sum(image.annotated) for image in images)


def _draw_images(planned: list[PlannedImage], folder: Path, seed: int, picture_width: int) -> list[ReleaseImage]:
    return [draw_image(one, folder, seed, picture_width) for one in planned]


def draw_image(planned: PlannedImage, folder: Path, seed: int, picture_width: int = PICTURE_WIDTH) -> ReleaseImage:
    """Render one image into `folder` and return its ground truth."""
    rendered = render_image(planned.scene, seed, picture_width)
    rng = np.random.default_rng([seed, 5, planned.scene.index])
    rendered.picture.save(folder / planned.name, quality=int(rng.integers(72, 96)))
    order = rng.permutation(len(rendered.people)).tolist()
    people = [rendered.people[i] for i in order]
    return ReleaseImage(
        planned=planned,
        people=people,
        annotated=[i < planned.num_annotated for i in order],
        separate=[_is_separate(person, people) for person in people],
    )


def _is_separate(person: RenderedPerson, people: list[RenderedPerson]) -> bool:
    """Return whether a person's box overlaps little with those of the others: MPII's `single_person`."""
    low, high = person.joints_image.min(axis=0), person.joints_image.max(axis=0)
    for other in people:
        if other is person:
            continue
        common = np.minimum(high, other.joints_image.max(axis=0)) - np.maximum(low, other.joints_image.min(axis=0))
        if np.clip(common, 0, None).prod() > 0.1 * max((high - low).prod(), 1.0):
            return False
    return True
