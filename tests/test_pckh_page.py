"""The table of docs/explanation/pckh.md: one file of predictions under all variants of PCKh in use."""

import re

import numpy as np
import pytest
from small_project import ROOT

from posernn.data import schemas
from posernn.data.splits import read_list
from posernn.evaluation import metrics
from posernn.pose.skeleton import NUM_JOINTS, PCKH_GROUPS, SCORED_JOINTS, Joint


def variants(people, pred_image):
    """Score under each variant: name -> Total@0.5, percent, and Head@0.5 and Total@0.1 where they differ in these only.

    Args:
        people: `schemas.PEOPLE`.
        pred_image: image px from 0, (N, 16, 2).
    """
    truth = schemas.to_numpy(people, "joints_image").astype(np.float64)
    annotated = schemas.to_numpy(people, "annotated")
    head_size = schemas.to_numpy(people, "head_size").astype(np.float64)
    neck_to_top = np.hypot(*(truth[:, Joint.UPPER_NECK] - truth[:, Joint.HEAD_TOP]).T)
    occluded = np.array([[flag is False for flag in flags] for flags in people["visible"].to_pylist()])

    def errors(pred=pred_image, scored=annotated, unit=head_size):
        return metrics.normalized_errors(pred, truth, scored, unit)

    official = errors()
    groups = metrics.pckh_groups(official)
    missing_wrong = np.where(np.isnan(official), np.inf, official)
    return {
        "evalMPII": metrics.pckh_total(official),
        "pixels counted from 0 instead of 1": metrics.pckh_total(errors(pred_image + 1)),
        "mean of the seven groups": np.mean([groups[name] for name in PCKH_GROUPS]),
        "all 16 joints": np.mean(official[~np.isnan(official)] <= 0.5),
        "without joints that are flagged as occluded": metrics.pckh_total(errors(scored=annotated & ~occluded)),
        "joints that are not annotated count as wrong": np.mean(missing_wrong[:, SCORED_JOINTS] <= 0.5),
        "head size without the factor 0.6": metrics.pckh_total(errors(unit=head_size / 0.6)),
        "head size: upper neck to head top": metrics.pckh_total(errors(unit=neck_to_top)),
        "Head: both joints": groups["Head"],
        "Head: head top alone": metrics.pckh_groups(official, head="head_top")["Head"],
        "@0.1: threshold 0.10": metrics.pckh_total(official, 0.10),
        "@0.1: threshold 0.11": metrics.pckh_total(official, 0.11),
    }


def test_the_variants_differ_as_their_names_say():
    assert NUM_JOINTS == 16
    page = (ROOT / "docs/explanation/pckh.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| .* \| +\d+\.\d\d \| +\d+\.\d\d \|$", page, re.MULTILINE)) == 12


@pytest.mark.mpii
def test_the_figures_of_the_page_are_those_of_the_reference_predictions(mpii_root, mpii_people):
    reference = mpii_root / "reference"
    row_of = {
        key: row
        for row, key in enumerate(
            zip(mpii_people["image_index"].to_pylist(), mpii_people["person_index"].to_pylist(), strict=True)
        )
    }
    people = mpii_people.take([row_of[listed.key] for listed in read_list(reference / "tompson_val.csv")])
    found = [
        variants(people, np.load(reference / f"{name}_predictions.npy").astype(np.float64) - 1)
        for name in ("hg_s2", "tompson")
    ]
    page = (ROOT / "docs/explanation/pckh.md").read_text(encoding="utf-8")
    rows = {row[0].strip(): row[1:] for row in re.findall(r"^\| (.*?) \| +(\S+) \| +(\S+) \|$", page, re.MULTILINE)}
    for name in found[0]:
        assert rows[name] == tuple(f"{100 * of_file[name]:.2f}" for of_file in found), name
