"""Cutting crops, over decoding every image once at full size with Pillow and doing nothing else; on one core."""

import os
import statistics
from functools import partial
from itertools import islice

import numpy as np
from PIL import Image
from timing import in_turns, release, report

from posernn.data import crops, mpii
from posernn.data.cropping import crops_of_images

os.environ["OMP_NUM_THREADS"] = "1"
IMAGES = 200

root = release()
people, *_ = mpii.parse_release(mpii.read_release(root / "mpii_human_pose_v1_u12_1.mat"))
there = set(os.listdir(root / "images"))
task = list(islice((item for item in crops._images(crops.select(people, "train")) if item[0] in there), IMAGES))


def decode() -> None:
    for name, _ in task:
        with Image.open(root / "images" / name) as image:
            image.load()


for side in (64, 96, 224):
    for box in ("joints", "person"):
        cut = partial(
            crops_of_images, task, root / "images", box=box, padding=20, keep_aspect=False, side=side, jpeg_quality=90
        )
        times = in_turns(decode, cut, rounds=5)
        rate = statistics.median(len(task) / ours for _, ours in times)
        note = f"{rate:.0f} images/s, {np.mean([len(of) for _, of in task]):.2f} people in each"
        report(f"crops of {side} px, box {box} / decode", [ours / floor for floor, ours in times], "<= 0.7", note=note)
