"""The documents: links, commands and parameters in them exist."""

import re

import pytest
from ruamel.yaml import YAML
from small_project import ROOT, parameters
from typer.main import get_command

from posernn import params
from posernn.cli import app

PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "data/README.md",
    "data/splits/README.md",
    "benchmarks/README.md",
    "posernn/models/pretrained/rendered-small/README.md",
)
DOCUMENTS = [*(ROOT / page for page in PAGES), *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}


def documents():
    return pytest.mark.parametrize("document", TEXT, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(document):
    """Return the anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@documents()
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?", TEXT[document])
    broken = []
    for link, anchor in links:
        if "://" in link or "reports/" in link:  # the pipeline writes reports
            continue
        target = document.parent / link if link else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{link}#{anchor}")
    assert broken == []


def test_the_index_lists_every_page():
    indices = [ROOT / "docs/README.md", ROOT / "docs/decisions/README.md"]
    linked = {
        (index.parent / link).resolve() for index in indices for link in re.findall(r"\]\(([^)#\s]+)", TEXT[index])
    }
    pages = {page.resolve() for page in (ROOT / "docs").rglob("*.md")} - {indices[0].resolve()}
    assert sorted(str(page) for page in pages - linked) == []


def test_pages_that_code_and_parameters_name_exist():
    files = [ROOT / "params.yaml", *(path for room in ("posernn", "stages") for path in (ROOT / room).rglob("*.py"))]
    named = {name for file in files for name in re.findall(r"docs/[\w/.-]*\w", file.read_text(encoding="utf-8"))}
    assert "docs/how-to/deploy.md" in named
    assert [name for name in sorted(named) if not list(ROOT.glob(f"{name}*"))] == []


@documents()
def test_commands_and_options_of_posernn_exist(document):
    known = get_command(app).commands
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", TEXT[document], flags=re.DOTALL))
    for name, rest in re.findall(r"(?:^|`)posernn ([a-z]+)\b([^`\n]*)", code, flags=re.MULTILINE):
        assert name in known, f"posernn {name}"
        options = {option for parameter in known[name].params for option in parameter.opts}
        used = set(re.findall(r"(?<!\S)--[\w-]+", rest.split("#")[0])) - {"--help"}
        assert used <= options, f"posernn {name}{rest}"


@documents()
def test_make_targets_exist(document):
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    used = set(re.findall(r"^make ([a-z-]+)", TEXT[document], flags=re.MULTILINE))
    used |= set(re.findall(r"`make ([a-z-]+)", TEXT[document]))
    assert used <= known


@documents()
def test_experiments_set_parameters_that_exist_to_values_that_are_allowed(document, tmp_path):
    for line in re.findall(r"^dvc exp run.*", TEXT[document].replace("\\\n", " "), flags=re.MULTILINE):
        if "soft_argmax" in line:  # the model of docs/how-to/add-a-model.md, which test_pipeline.py adds and trains
            continue
        yaml = YAML(typ="safe", pure=True)
        values = parameters(synthetic={"iterations_of": {"heatmap": 1}})
        if "dataset=own" in line:
            values |= yaml.load(re.search(r"```yaml\n(own:\n.*?)```", TEXT[document], re.DOTALL)[1])
        for key, value in re.findall(r"-S ([\w.]+)=(\S+?)(?=[\s;]|$)", line):
            section = values
            *parents, last = key.split(".")
            for parent in parents:
                section = section[parent]
            assert last in section, f"{line}: no {key}"
            section[last] = yaml.load(value)
        with (tmp_path / "params.yaml").open("w") as file:
            YAML().dump(values, file)
        params.load(tmp_path / "params.yaml")


def test_readme_names_every_command_of_posernn():
    readme = TEXT[ROOT / "README.md"]
    assert [name for name in get_command(app).commands if f"posernn {name}" not in readme] == []


def test_every_dataset_and_stage_is_explained():
    readme = TEXT[ROOT / "README.md"]
    stages = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
    assert [stage for stage in stages if f"| `{stage}` |" not in readme] == []


def test_no_document_promises_a_figure_that_is_still_to_come():
    assert [str(path) for path, text in TEXT.items() if re.search(r"@[A-Z]+@|TODO|TBD", text)] == []
