"""Stage parse: annotation file -> people.parquet with train, val and test split, and rejected.parquet."""

from collections import Counter
from pathlib import Path

import pyarrow as pa

from posernn import params
from posernn.data import annotations, splits
from posernn.runtime import files
from posernn.runtime.errors import InputError
from stages import run, told_rejects


def main(dataset: Path, splits_folder: Path, people_file: Path, rejected_file: Path) -> None:
    """Convert the annotations of DATASET, a folder or a file, to tables with a validation split.

    Lists of people to validate on are in SPLITS_FOLDER.
    """
    settings = params.load()
    found = annotations.read(dataset)
    files.write_table(rejected_file, found.rejected)  # first: it explains an error below
    print(f"{found.num_images} images, {found.people.num_rows} people; {told_rejects(found.rejected, rejected_file)}")
    for note in found.notes:
        print(note)
    if "val" in found.people["split"].to_pylist():
        if settings.data.val_list is not None:
            raise InputError(
                f"params.yaml: {settings.dataset}.val_list: expected null where the data set has a val.json, got "
                f"{settings.data.val_list}; remove one of them"
            )
        people = found.people
    elif settings.data.val_list is None:
        people = splits.hold_out_share(found.people, settings.parse.hold_out, settings.parse.seed)
    else:
        people, left_out = splits.hold_out_listed(found.people, splits_folder / settings.data.val_list)
        if left_out.num_rows:
            files.write_table(rejected_file, pa.concat_tables([found.rejected, left_out]))
            print(f"val_list: {told_rejects(left_out, rejected_file)}")
    files.write_table(people_file, people)
    single = people.filter(people["single_person"])
    counts = Counter(single["split"].to_pylist())
    print(
        f"single people: {counts['train']} train, {counts['val']} val, {counts['test']} test; "
        f"{len(people) - len(single)} people are not single: neither trained on nor scored"
    )


if __name__ == "__main__":
    run(main)
