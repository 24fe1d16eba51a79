"""RELEASE .mat -> people.parquet, with who validates; and the rejects."""

from collections import Counter
from pathlib import Path

import pyarrow as pa

from posernn import files, mpii, params, splits
from posernn.confined import read_confined
from posernn.progress import progress_bar
from stages import run


def main(annotations: Path, splits_folder: Path, people_file: Path, rejected_file: Path) -> None:
    """Turn ANNOTATIONS (RELEASE .mat) into tables; a val_list is looked for in SPLITS_FOLDER."""
    settings = params.load()
    num_images, people, rejected = read_confined(read, annotations)
    if settings.data.val_list is None:
        people = splits.hold_out_share(people, settings.parse.hold_out, settings.parse.seed)
    else:
        people, left_out = splits.hold_out_listed(people, splits_folder / settings.data.val_list)
        rejected = pa.concat_tables([rejected, left_out])
    files.write_table(people_file, people)
    files.write_table(rejected_file, rejected)
    usable = people.filter(people["single_person"])
    counts = Counter(usable["split"].to_pylist())
    print(
        f"{num_images} images, {people.num_rows} people (apart from others: {counts['train']} train, "
        f"{counts['val']} val); {rejected.num_rows} rejected, see {rejected_file}"
    )


def read(annotations: Path) -> tuple[int, pa.Table, pa.Table]:
    """Number of images, people and rejects."""
    with progress_bar("reading", "kB") as progress:
        release = mpii.read_release(annotations, progress)
    with progress_bar("parsing", "images") as progress:
        return release["annolist"].size, *mpii.parse_release(release, progress)


if __name__ == "__main__":
    run(main)
