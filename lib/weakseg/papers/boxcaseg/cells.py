"""From what was judged to cells of the tables, in percent."""

import json
from collections.abc import Mapping

from weakseg.metrics import abo
from weakseg.study.measured import measure
from weakseg.study.stages import Artifact
from weakseg.study.tables import Measured

BY_BOX = "IoU of each true mask with the mask of its box"
VOC, COCO = "VOC mask AP, all points", "COCO mask AP"
SIZES = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "APS": "AP_small", "APM": "AP_medium", "APL": "AP_large"}


def overlap_cells(row: str, seed: int, evidence: Artifact) -> list[Measured]:
    """mIoU*, IoU@50 and IoU@75 of a row from `judge_proxies`."""
    found = abo.OverlapEvidence.load(evidence / "evidence.npz")
    values = {"mIoU*": abo.mean_best_overlap(found)}
    values |= {f"IoU@{k}": abo.share_above(found, k / 100) for k in (50, 75)}
    return [Measured(row, column, seed, value, BY_BOX, evidence) for column, value in values.items()]


def voc_cells(row: str, columns: Mapping[str, str], seed: int, evidence: Artifact) -> list[Measured]:
    """AP by the rules of VOC from `judge_detections`. columns: name in the table -> "AP25", "AP50", "AP70", "AP75"."""
    return measure(row, columns, seed, evidence, VOC)


def coco_cells(row: str, columns: Mapping[str, str], seed: int, evidence: Artifact) -> list[Measured]:
    """AP by the rules of COCO from `judge_detections`; sizes of which the set has no object are left out.

    columns: name in the table -> a key of SIZES. Without evidence: the average is not resampled by pictures.
    """
    summary = json.loads((evidence / "coco.json").read_text())
    values = {column: summary[SIZES[name]] for column, name in columns.items()}
    return [Measured(row, column, seed, value, COCO) for column, value in values.items() if value is not None]
