"""Cells from evidence files."""

import numpy as np
import pytest

from weakseg.metrics.semantic import SemanticEvidence
from weakseg.study.measured import measure
from weakseg.study.stages import Artifact


def test_a_cell_holds_the_metric_of_its_evidence(tmp_path):
    confusion = np.array([[[8, 2], [0, 10]]])  # IoU 8/10 and 10/12
    SemanticEvidence(confusion, np.array(["a"])).save(tmp_path / "evidence.npz")
    (cell,) = measure("row", {"val": "mIoU"}, 3, Artifact(tmp_path, "key"), "protocol")
    assert (cell.row, cell.column, cell.seed, cell.protocol, cell.evidence.key) == ("row", "val", 3, "protocol", "key")
    assert cell.value == pytest.approx(100 * (8 / 10 + 10 / 12) / 2)


def test_a_metric_of_another_kind_is_refused(tmp_path):
    SemanticEvidence(np.eye(2, dtype=int)[None], np.array(["a"])).save(tmp_path / "evidence.npz")
    with pytest.raises(ValueError, match="AP50"):
        measure("row", {"val": "AP50"}, 0, Artifact(tmp_path, "key"), "protocol")
