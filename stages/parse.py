"""Stage parse: annotation file -> people.parquet with train, val and test split, and rejected.parquet."""

from collections import Counter
from pathlib import Path

import pyarrow as pa

from posernn import params
from posernn.data import annotations, splits
from posernn.runtime import files
from stages import run


def main(annotation_file: Path, splits_folder: Path, people_file: Path, rejected_file: Path) -> None:
    """Convert ANNOTATION_FILE (RELEASE .mat) to tables with a validation split; lists are in SPLITS_FOLDER."""
    settings = params.load()
    num_images, people, rejected = annotations.read(annotation_file)
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
        f"{num_images} images, {people.num_rows} people (single people: {counts['train']} train, "
        f"{counts['val']} val); {rejected.num_rows} rejected, see {rejected_file}"
    )


if __name__ == "__main__":
    run(main)
