"""Each command that the documents show runs, in a tiny project, or is listed here with the reason why not."""

import json
import re
import shutil
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat
from small_project import ROOT, copy_project
from test_docs import TEXT
from test_pipeline import environment_of, run

from posernn.data import schemas

PROGRAMS = (
    "posernn",
    "dvc",
    "git",
    "make",
    "python",
    "pytest",
    "torchrun",
    "dask",
    "mlflow",
    "pip",
    "source",
    "export",
)

NOT_RUN = {
    "git clone": "needs the project's address",
    "make env": "installs",
    "make demo": "installs, and takes minutes",
    "make test": "is the tests",
    "make test-all": "the same",
    "make lint": "needs no project; CI runs it",
    "make docs": "test_reference.py compares what it writes",
    "posernn ui": "serves until it is stopped; test_mlflow_ui.py opens it",
    "source": "the tests' environment is active",
    "export": "the tests record nothing",
    "dvc exp run -S dataset=mpii": "needs MPII's pictures, and hours",
    "dvc exp run -S synthetic.people=24000": "takes hours",
    "dvc exp run -S synthetic.people=5000": "the same",
    "dvc exp run -S synthetic.seed=201": "the same",
    "dvc exp run -S dataset=own": "test_pipeline.py follows your-own-data.md",
    "dvc exp run -S +pretrained.train.start_from": "the same",
    "posernn export data/people.parquet --coco": "the same",
    "posernn export results/baseline/predictions.parquet --coco": "the same",
    "pytest": "test_pipeline.py follows add-a-model.md",
    "dvc exp run -S model.arch=soft_argmax": "the same",
    "posernn predict runs/chain": "needs a trained chain, which is no entry of the demo; test_predict.py has --given",
    "torchrun": "needs two machines; test_distributed.py starts two processes",
    "dvc commit train@model": "follows torchrun",
    "dask": "needs two machines; test_cluster.py starts a cluster",
    "DASK_SCHEDULER_ADDRESS": "the same",
    "python -m stages.crops": "needs a bucket; test_crops.py writes to an address",
    "python -m stages.train": "the same",
    "mlflow server": "serves until it is stopped; test_tracking.py has a server",
    "dvc exp push origin": "needs a Git remote that keeps experiments",
    "dvc exp pull origin": "the same",
    "posernn sync": "the tests record nothing; test_tracking_trouble.py sends runs",
    "dvc queue start": "starts a process that outlives the test; test_pipeline.py runs a queue",
}
"""Commands that begin so are not run."""


def commands(text):
    """Return the command lines of a document: those in code blocks that name no language, without their comments."""
    blocks = re.findall(r"^( *)```(\w*)\n(.*?)^\1```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(block for _, language, block in blocks if not language).replace("\\\n", " ").splitlines()
    lines = [" ".join(re.sub(r"\s#.*", "", line).split()) for line in lines]
    return [line for line in lines if re.match(rf"([A-Z_]+=\S+ )?({'|'.join(PROGRAMS)}) ", line)]


def not_run(command):
    return any(command == start or command.startswith(f"{start}{end}") for start in NOT_RUN for end in " .=")


FOLLOWED = ROOT / "docs/how-to/experiments.md"
"""Its recipes need experiments: test_experiments.py follows them."""

SHOWN = {document: commands(text) for document, text in TEXT.items()}
RUN_HERE = {document: [one for one in lines if not not_run(one)] for document, lines in SHOWN.items()}
PAGES = [document for document, lines in RUN_HERE.items() if lines and document != FOLLOWED]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Run the pipeline once at a size of seconds, and lay out the files that the documents name."""
    sizes = {"synthetic": {"people": 40, "iterations": 2}, "train": {"validate_every": 2}}
    folder = copy_project(tmp_path_factory.mktemp("docs") / "posernn", **sizes)
    shutil.copy(ROOT / "Makefile", folder)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        run(folder, "git", *command)
    follow(folder, "dvc repro")
    photo = Image.new("RGB", (320, 500), "gray")
    for name in ("photo.jpg", "holiday/one.jpg", "holiday/two.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        photo.save(folder / name)
    (folder / "boxes.csv").write_text("image,x0,y0,x1,y1\none.jpg,40,10,260,480\ntwo.jpg,40,10,260,480\n")
    people = pq.read_table(folder / "data/people.parquet")
    people = people.filter([split == "val" for split in people["split"].to_pylist()])
    listed = zip(*(people[key].to_pylist() for key in ("image", "image_index", "person_index")), strict=True)
    rows = [",".join(map(str, row)) for row in [("image", "annolist_index", "annorect_index"), *listed]]
    (folder / "data/splits/tompson_val.csv").write_text("\n".join(rows))
    joints = np.nan_to_num(schemas.to_numpy(people, "joints_image").astype(np.float64)) + 1
    for name in ("predictions", "baseline", "mine", "hourglass"):
        np.save(folder / f"{name}.npy", joints)
    savemat(folder / "hrnet.mat", {"preds": joints})
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "results")
    return folder


def follow(folder, command):
    """Run a command as a user's shell would; what it prints is shown where it fails."""
    environment = environment_of(folder) | {"POSERNN_TRACKING": "off"}
    found = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, text=True, capture_output=True, check=False
    )
    assert found.returncode == 0, f"{command}\n{found.stdout[-2000:]}\n{found.stderr[-4000:]}"
    return found.stdout


def test_commands_that_are_not_run_are_shown_somewhere():
    shown = [command for lines in SHOWN.values() for command in lines]
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in shown)] == []


@pytest.mark.pipeline
@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_run_in_the_order_of_the_page(project, document, tmp_path):
    for command in RUN_HERE[document]:
        here = re.sub(r"/(mnt/storage|tmp)(?=/)", str(tmp_path), command)
        follow(project, here.replace("make ", "make --assume-old=env "))
    if "dvc push" in SHOWN[document]:  # another machine: a clone, and what the remote has
        clone = tmp_path / "clone"
        run(project, "git", "clone", "-q", ".", str(clone))
        follow(clone, "dvc pull")
        assert "Running stage" not in follow(clone, "dvc repro")
    run(project, "git", "reset", "-q", "--hard")
    run(project, "dvc", "checkout", "--force")


@pytest.mark.pipeline
@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_the_notebook_runs(project):
    import nbclient
    import nbformat

    notebook = nbformat.read(ROOT / "notebooks/explore.ipynb", as_version=4)
    (project / "notebooks").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment_of(project).items():
            patch.setenv(name, value)
        nbclient.NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": str(project / "notebooks")}}
        ).execute()
    last = notebook.cells[-1]["outputs"][0]["data"]["text/plain"]
    assert {"baseline", "model", "pretrained"} <= set(last.split())


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads((ROOT / "notebooks/explore.ipynb").read_text(encoding="utf-8"))["cells"]
    assert [cell["outputs"] for cell in cells if cell.get("outputs")] == []
