"""Stage crops: people.parquet + images -> data/crops, and the rejects in crops-rejected.parquet."""

from collections import Counter
from pathlib import Path

from posernn import params
from posernn.data import crops, schemas, shards
from posernn.runtime import files
from posernn.runtime.parallel import workers
from posernn.runtime.progress import progress_bar
from stages import run


def main(people_file: Path, images: Path, crops_folder: str, rejected_file: Path) -> None:
    """Crop the people of PEOPLE_FILE from IMAGES into CROPS_FOLDER (a path or URI); rejects go to REJECTED_FILE."""
    settings = params.load()
    people = files.read_table(people_file, schemas.PEOPLE)
    with progress_bar("crops", "people") as progress, workers() as executor:
        rejected = crops.write_crops(
            people,
            images,
            crops_folder,
            side=settings.data.crop_size,
            executor=executor,
            progress=progress,
            **settings.crops.model_dump(),
        )
    files.write_table(rejected_file, rejected)
    reasons = Counter(rejected["reason"].to_pylist()).most_common()
    counts = {split: crops.select(people, split).num_rows for split in shards.SPLITS}
    print(
        f"{sum(counts.values()) - rejected.num_rows} of {sum(counts.values())} people have a crop; {rejected.num_rows} "
        f"rejected, see {rejected_file}" + "".join(f"; {count}: {reason}" for reason, count in reasons[:3])
    )


if __name__ == "__main__":
    run(main)
