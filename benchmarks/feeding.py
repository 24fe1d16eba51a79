"""Crops per second of the processor from shards to augmented float batches, over decoding the same JPEGs alone.

Turning and resizing crops is arithmetic for the device that trains; so is mirroring them, but on a CPU.
"""

import io
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import in_turns, release, report

from posernn.data import batches, crops, mpii, shards, splits
from posernn.data.augmentation import Augmentation, augment
from posernn.evaluation import scores
from posernn.runtime.parallel import processes

BATCH, BATCHES, SIDE = 25, 40, 224


def main() -> None:
    torch.set_num_threads(1)
    root = release()
    people, *_ = mpii.parse_release(mpii.read_release(root / "mpii_human_pose_v1_u12_1.mat"))
    people = splits.hold_out_share(people, 0.15, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "crops"
        with processes() as executor:
            settings = {"box": "joints", "padding": 20, "keep_aspect": False, "side": SIDE, "jpeg_quality": 90}
            crops.write_crops(people, root / "images", folder, executor=executor, **settings)
        if hasattr(os, "sched_setaffinity"):  # two threads of one core get in each other's way
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        jpegs = scores.jpegs_of(shards.read_crops(folder, "train"))
        who = [batches.batch_people(len(jpegs), BATCH, iteration, seed=0) for iteration in range(BATCHES)]

        def decode() -> None:
            for batch in who:
                for person in batch:
                    Image.open(io.BytesIO(jpegs[person])).load()

        def feed(loaded: batches.Crops, flip: float) -> None:
            for iteration, batch in enumerate(who):
                amounts = Augmentation(flip=flip).draw(BATCH, np.random.default_rng([0, iteration]))
                images, *_ = augment(loaded.images(batch), loaded.joints_unit[batch], loaded.annotated[batch], amounts)
                images.float()

        for limit, kept in ((0, "decoded again in each epoch"), (2**40, "decoded in memory")):
            batches.DECODED_LIMIT = limit
            loaded = batches.load(folder, "train")
            for flip, how in ((0.0, "as they are"), (0.5, "half of them mirrored here")):
                times = in_turns(
                    decode, lambda loaded=loaded, flip=flip: feed(loaded, flip), rounds=9, clock=time.process_time
                )
                rates = sorted(BATCH * BATCHES / seconds for _, seconds in times)
                note = f"{rates[len(rates) // 2]:.0f} crops/s of one core"
                ratios = [floor / ours for floor, ours in times]
                report(f"feeding, crops {kept}, {how} / decode", ratios, ">= 0.8", note=note)


if __name__ == "__main__":  # processes import this file again
    main()
