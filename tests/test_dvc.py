"""dvc.yaml is complete: no stage uses code or a parameter that DVC does not watch for it."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent


def load(path):
    return YAML(typ="safe", pure=True).load((ROOT / path).read_text())


def stages():
    """Give name -> stage as written, foreach stages once."""
    written = load("data/dvc.yaml")["stages"] | load("dvc.yaml")["stages"]
    return {name: stage.get("do", stage) for name, stage in written.items()}


STAGES = stages()


def module_file(module):
    """Find the file of a module of ours, relative to the root; None for other people's."""
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if path.parts[0] in ("posernn", "stages") and (ROOT / candidate).is_file():
            return candidate
    return None


def imported(file):
    """List the files of ours that a file imports, anywhere in it, and the packages around them."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write imports out in full"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            found |= {module_file(".".join(parts[: length + 1])) for length in range(len(parts))}
    return found - {None}


def code_of(stage):
    """List all files of ours that `python -m stages.<stage>` may run."""
    todo, found = {Path("stages") / f"{stage}.py", Path("stages/__init__.py")}, set()
    while todo:
        file = todo.pop()
        found.add(file)
        todo |= imported(file) - found
    return found


def watched(stage):
    """List the code that DVC watches for a stage: files, and all Python files of folders."""
    files = set()
    for entry in STAGES[stage]["deps"]:
        path = Path(entry)
        if path.parts[0] in ("posernn", "stages"):
            assert (ROOT / path).exists(), f"{stage} depends on {path}, which is not there"
            files |= {path} if path.suffix else {f.relative_to(ROOT) for f in (ROOT / path).rglob("*.py")}
    return files


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_a_stage_uses_is_in_its_deps_and_no_other(stage):
    assert sorted(map(str, code_of(stage) - watched(stage))) == [], "used but not watched"
    assert sorted(map(str, watched(stage) - code_of(stage))) == [], "watched but not used"


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_runs_its_module(stage):
    assert STAGES[stage]["cmd"].startswith(f"python -m stages.{stage} ")


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_switches_the_run_cache_off_but_the_reports(stage):
    flags = [out for key in ("outs", "metrics", "plots") for out in STAGES[stage].get(key, []) if isinstance(out, dict)]
    assert (stage == "compare") == bool(flags)
    assert "always_changed" not in STAGES[stage]
