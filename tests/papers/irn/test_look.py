"""What is gathered for one picture."""

import numpy as np
import pytest

from weakseg.ops.instances import WalkParams
from weakseg.papers.irn.look import look
from weakseg.papers.irn.params import LabelsParams
from weakseg.study.artifacts import save_maps
from weakseg.study.stages import Artifact


def test_two_sources_give_two_regions_and_their_shares_of_the_attention(tmp_path):
    attention = np.ones((1, 8, 8), np.float32)
    save_maps(tmp_path / "cams", "a", classes=np.array([2]), size=np.array([32, 32]), scale0=attention)
    columns = np.arange(8)
    towards = np.where(columns < 4, 2 - columns, 5 - columns).astype(np.float32)  # columns 2 and 5 are centres
    field = np.stack([np.zeros((8, 8), np.float32), np.tile(towards, (8, 1))])
    save_maps(tmp_path / "fields", "a", boundary=np.zeros((8, 8), np.float16), displacement=field.astype(np.float16))
    run = Artifact(tmp_path, "key")
    seen = look(run, run, "a", WalkParams(radius=2, steps=2), LabelsParams(weak=0.5, iterations=20))
    assert np.array_equal(seen.regions, np.tile(np.where(columns < 4, 1, 2), (8, 1)))
    assert seen.scores.classes.tolist() == [2, 2]
    assert np.allclose(seen.scores.values.sum(0), seen.cams.low[0])
    assert seen.grown.values.sum() == pytest.approx(seen.scores.values.sum(), rel=1e-4)  # nothing is lost on the way


def test_a_picture_that_was_not_computed_is_missed(tmp_path):
    with pytest.raises(FileNotFoundError):
        look(Artifact(tmp_path, "key"), Artifact(tmp_path, "key"), "b", WalkParams(), LabelsParams())
