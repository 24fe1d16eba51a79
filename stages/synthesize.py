"""Stage synthesize: params.yaml -> a release of rendered people in MPII's file format."""

from pathlib import Path

from posernn import params
from posernn.data.synthetic import synthesize
from posernn.runtime.errors import InputError
from posernn.runtime.parallel import workers
from posernn.runtime.progress import progress_bar
from stages import run


def main(root: Path) -> None:
    """Render a release into ROOT."""
    settings = params.load()
    num_people, seed, width = settings.data.people, settings.data.seed, settings.data.picture_width
    if num_people is None or seed is None or width is None:
        raise InputError(
            f"params.yaml: {settings.dataset}: expected people, seed and picture_width, got none; "
            "set dataset: synthetic to render"
        )
    with progress_bar("synthesize", "images") as progress, workers() as executor:
        num_images, num_people = synthesize(
            root, num_people=num_people, seed=seed, picture_width=width, executor=executor, progress=progress
        )
    print(f"{num_images} images with {num_people} annotated people -> {root}")


if __name__ == "__main__":
    run(main)
