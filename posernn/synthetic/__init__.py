"""Rendered people in MPII's own file format: a release to try everything on without downloading anything.

poses -> body (joints in space) -> figure (surfaces) -> rendering (pixels); scenes puts one picture together and
annotation says what it shows; planning decides what a release holds and release writes it down as MPII does.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from posernn.errors import InputError
from posernn.files import replacing
from posernn.progress import Advance, silent
from posernn.synthetic.annotation import RenderedPerson
from posernn.synthetic.planning import PlannedImage, plan_release
from posernn.synthetic.release import ReleaseImage, mat_bytes
from posernn.synthetic.scenes import render_image

ANNOTATION_FILE = "mpii_human_pose_v1_u12_1.mat"
IMAGE_FOLDER = "images"


def synthesize(
    root: Path, *, num_people: int, seed: int, workers: int | None = None, progress: Advance = silent
) -> tuple[int, int]:
    """Render a release into `root`: `images/*.jpg` and the annotation file, both as MPII's are laid out.

    The same number of people and seed give the same bytes, whatever the number of workers.

    Args:
        root: folder to write into; what it held of an earlier release is replaced.
        num_people: annotated people of the train half. Images without joints come on top.
        seed: of everything random.
        workers: processes; None: one per core; 1: this one.
        progress: called with the number of images done.
    Returns:
        The numbers of images and of annotated people.
    Raises:
        InputError: the disk does not take the files.
    """
    planned, num_videos = plan_release(num_people, seed)
    partial_folder = root / f".{IMAGE_FOLDER}.{os.getpid()}.partial"
    try:
        partial_folder.mkdir(parents=True)
        draw = partial(_draw_image, folder=partial_folder, seed=seed)
        images: list[ReleaseImage] = []
        workers = min(workers or os.cpu_count() or 1, len(planned))
        for image in _draw_all(planned, draw, workers):
            images.append(image)
            progress(len(images), len(planned))
        with replacing(root / ANNOTATION_FILE) as file:
            file.write_bytes(mat_bytes(images, num_videos, seed))
        shutil.rmtree(root / IMAGE_FOLDER, ignore_errors=True)
        partial_folder.rename(root / IMAGE_FOLDER)
    except OSError as error:
        raise InputError(
            f"{root}: cannot be written: {error.strerror or error}; free space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return len(images), sum(sum(image.annotated) for image in images)


def _draw_all(
    planned: list[PlannedImage], draw: Callable[[PlannedImage], ReleaseImage], workers: int
) -> Iterator[ReleaseImage]:
    if workers == 1:
        yield from map(draw, planned)
        return
    # "spawn" is safe whatever threads the caller has, and the same on all platforms.
    with (
        _one_thread_each(),
        ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool,
    ):
        yield from pool.map(draw, planned, chunksize=4)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start inside keep numpy to one thread: there is a process for each core."""
    names = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL")]
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))  # numpy reads them when a new process imports it
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _draw_image(planned: PlannedImage, folder: Path, seed: int) -> ReleaseImage:
    """Render one image into `folder` and return what is known about its people."""
    rendered = render_image(planned.scene, seed)
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
    """Whether a person shares little of the picture with any other: MPII's `single_person`."""
    low, high = person.joints_image.min(axis=0), person.joints_image.max(axis=0)
    for other in people:
        if other is person:
            continue
        common = np.minimum(high, other.joints_image.max(axis=0)) - np.maximum(low, other.joints_image.min(axis=0))
        if np.clip(common, 0, None).prod() > 0.1 * max((high - low).prod(), 1.0):
            return False
    return True
