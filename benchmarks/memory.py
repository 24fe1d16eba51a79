"""Memory and time per person of crops and of feeding, from 1,000 to 100,000 rendered people; run `make demo` first.

The people of the demo, again and again under other numbers: the work is that of so many, the disk is not. Each
measurement is a process of its own.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from timing import ROOT

COUNTS = (1_000, 10_000, 100_000)
BATCH = 25


def peak_of(work: Callable[[], object]) -> tuple[float, float]:
    """MB at most while `work` runs, of this process and those that it starts, without files' pages; and its seconds."""
    done = threading.Event()
    most = 0.0

    def watch() -> None:
        nonlocal most
        while not done.wait(0.05):
            here = psutil.Process()
            sizes = []
            for process in [here, *here.children(recursive=True)]:
                try:
                    memory = process.memory_info()
                    sizes.append(memory.rss - memory.shared)
                except psutil.Error:  # it has just ended
                    pass
            most = max(most, sum(sizes) / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return most, seconds


def many(count: int) -> pa.Table:
    """So many people of the demo who get a crop."""
    from posernn.data import crops, schemas
    from posernn.runtime import files

    people = crops.select(files.read_table(ROOT / "data/people.parquet", schemas.PEOPLE), "train")
    times = -(-count // people.num_rows)
    number = np.repeat(np.arange(times), people.num_rows)[:count]
    people = pa.concat_tables([people] * times).slice(0, count)
    index = people["image_index"].to_numpy() + number * (people["image_index"].to_numpy().max() + 1)
    place = people.schema.get_field_index("image_index")
    return people.set_column(place, people.schema.field(place), pa.array(index, people.schema.field(place).type))


def cut(folder: Path, count: int) -> None:
    from posernn.data import crops
    from posernn.runtime.parallel import processes

    people = many(count)
    settings = {"box": "joints", "padding": 20, "keep_aspect": False, "side": 64, "jpeg_quality": 92}
    with processes(2) as executor:
        crops.write_crops(people, ROOT / "data/synthetic/images", folder, executor=executor, **settings)


def feed(folder: Path) -> None:
    from posernn.data import batches

    batches.DECODED_LIMIT = 0
    crops = batches.load(folder, "train")
    for iteration in range(len(crops) // BATCH):  # an epoch
        crops.images(batches.batch_people(len(crops), BATCH, iteration, seed=0)).float()


def main() -> None:
    if len(sys.argv) > 1:
        work, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
        print(json.dumps(peak_of((lambda: cut(folder, count)) if work == "crops" else lambda: feed(folder))))
        return
    if not (ROOT / "data/people.parquet").exists():
        raise SystemExit("run `make demo` first")
    with tempfile.TemporaryDirectory() as folder:
        for count in COUNTS:
            for work in ("crops", "feeding"):
                command = [sys.executable, __file__, work, f"{folder}/crops", str(count)]
                megabytes, seconds = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
                each = 1e3 * seconds / count
                print(f"{work}, {count:,} people: {megabytes:.0f} MB, {each:.2f} ms a person", flush=True)


if __name__ == "__main__":  # processes import this file again
    main()
