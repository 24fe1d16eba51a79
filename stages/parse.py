"""Stage parse: annotation file -> people.parquet with train, val and test split, and rejected.parquet."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from posernn import params
from posernn.data import annotations, schemas, splits
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
    people, left_out, held_out_by = hold_out(found.people, settings, splits_folder)
    if left_out.num_rows:
        files.write_table(rejected_file, pa.concat_tables([found.rejected, left_out]))
        print(f"val_list: {told_rejects(left_out, rejected_file)}")
    print(f"held out by {held_out_by}")
    files.write_table(people_file, people)
    single = people.filter(people["single_person"])
    counts = Counter(single["split"].to_pylist())
    print(
        f"single people: {counts['train']} train, {counts['val']} val, {counts['test']} test; "
        f"{len(people) - len(single)} people are not single: neither trained on nor scored"
    )


def hold_out(people: pa.Table, settings: params.Params, splits_folder: Path) -> tuple[pa.Table, pa.Table, str]:
    """Return people with the val split, people who were dropped (`schemas.REJECTED`), and what was held out by."""
    val_list = settings.data.val_list
    nobody = schemas.rejected_table([])
    if "val" in people["split"].to_pylist():
        if val_list is not None:
            raise InputError(
                f"params.yaml: {settings.dataset}.val_list: expected null where the data set has a val.json, got "
                f"{val_list}; remove one of them"
            )
        return people, nobody, "list: val.json"
    if val_list is not None:
        return *splits.hold_out_listed(people, splits_folder / val_list), f"list: {val_list}"
    people = splits.hold_out_share(people, settings.parse.hold_out, settings.parse.seed)
    return people, nobody, unit_of_share(people)


def unit_of_share(people: pa.Table) -> str:
    """Say whether `hold_out_share` kept videos or pictures together."""
    usable = pc.and_(people["single_person"], pc.is_in(people["split"], pa.array(["train", "val"])))
    of_video = people.filter(usable)["video"].is_valid().to_pylist()
    if all(of_video):
        return "video"
    if any(of_video):
        return f"video, and by picture for the {of_video.count(False):,} of {len(of_video):,} people of no known video"
    return "picture: no video is known, so pictures of one scene may be in train and in val"


if __name__ == "__main__":
    run(main)
