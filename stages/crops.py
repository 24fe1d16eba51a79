"""Stage crops: people.parquet + images -> data/crops, and the rejects in crops-rejected.parquet."""

from pathlib import Path

from posernn import params
from posernn.data import crops, schemas, shards
from posernn.runtime import files
from posernn.runtime.parallel import workers
from posernn.runtime.progress import progress_bar
from stages import run, told_rejects


def main(people_file: Path, images: Path, crops_folder: str, rejected_file: Path) -> None:
    """Crop the people of PEOPLE_FILE from IMAGES into CROPS_FOLDER (a path or URI); rejects go to REJECTED_FILE."""
    settings = params.load()
    people = files.read_table(people_file, schemas.PEOPLE)
    try:
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
    except crops.NoCropsError as error:
        files.write_table(rejected_file, error.rejected)
        print(told_rejects(error.rejected, rejected_file))
        raise
    files.write_table(rejected_file, rejected)
    total = sum(crops.select(people, split).num_rows for split in shards.SPLITS)
    print(f"{total - len(rejected)} of {total} people have a crop; {told_rejects(rejected, rejected_file)}")


if __name__ == "__main__":
    run(main)
