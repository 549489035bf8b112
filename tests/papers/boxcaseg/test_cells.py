"""Cells of the tables from evidence made by hand."""

import json

import numpy as np
import pytest

from weakseg.metrics import abo, instance_ap
from weakseg.papers.boxcaseg.cells import coco_cells, overlap_cells, voc_cells
from weakseg.study.stages import Artifact


def strip(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((1, 10), bool)
    mask[0, start:stop] = True
    return mask


def test_overlaps_by_hand(tmp_path):
    """Class 0: IoU 1 and 0.5; class 1: 0.8. mIoU* 77.5; two thirds reach 0.75, all reach 0.5."""
    masks = np.stack([strip(0, 4), strip(4, 6), strip(6, 10)])
    truth = np.stack([strip(0, 4), strip(4, 8), strip(5, 10)])
    abo.collect_paired([("p", masks, truth, np.array([0, 0, 1]))], 2).save(tmp_path / "evidence.npz")
    found = {m.column: m.value for m in overlap_cells("All", 0, Artifact(tmp_path, "k"))}
    assert found == pytest.approx({"mIoU*": 77.5, "IoU@50": 100, "IoU@75": 200 / 3})


def test_detections(tmp_path):
    truth = (np.stack([strip(0, 4)]), np.array([0]))
    found = (np.stack([strip(0, 3)]), np.array([0]), np.array([0.9]))  # IoU 0.75
    instance_ap.collect([("p", found, truth)], 1, (0.5, 0.75, 0.7, 0.25)).save(tmp_path / "evidence.npz")
    (tmp_path / "coco.json").write_text(json.dumps({"AP": 12.5, "AP50": 50.0, "AP_small": None}))
    artifact = Artifact(tmp_path, "k")
    values = {m.column: m.value for m in voc_cells("row", {"AP@50": "AP50", "AP@75": "AP75"}, 0, artifact)}
    assert values == {"AP@50": 100, "AP@75": 100}
    coco = coco_cells("row", {"AP": "AP", "COCO50": "AP50", "APS": "APS"}, 3, artifact)
    assert [(m.column, m.value, m.seed, m.evidence) for m in coco] == [("AP", 12.5, 3, None), ("COCO50", 50.0, 3, None)]
