"""dvc.yaml is complete: no stage uses code or a parameter that DVC does not watch for it."""

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


@pytest.mark.parametrize("stage", STAGES)
def test_deps_exist_and_leave_out_what_never_changes_a_number(stage):
    code = [entry for entry in STAGES[stage]["deps"] if entry.startswith("posernn")]
    assert [entry for entry in code if not (ROOT / entry).exists()] == []
    assert [entry for entry in code if entry.startswith("posernn/runtime")] == []


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_runs_its_module(stage):
    assert STAGES[stage]["cmd"].startswith(f"python -m stages.{stage} ")


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_switches_the_run_cache_off_but_the_reports(stage):
    flags = [out for key in ("outs", "metrics", "plots") for out in STAGES[stage].get(key, []) if isinstance(out, dict)]
    assert (stage == "compare") == bool(flags)
    assert "always_changed" not in STAGES[stage]
