"""IRN without tags: the classifier names the classes, and its rows have the pictures' sizes."""

import numpy as np
import pytest

from weakseg.baselines.irn_salient import IrnSalientParams, predicted_tags, walk_irn
from weakseg.ops.instances import WalkParams
from weakseg.study.artifacts import load_maps, save_maps
from weakseg.study.stages import Artifact


def test_tags_are_the_likely_classes_and_never_none():
    assert predicted_tags(np.array([-1.0, 0.0, 2.0]), 0.5).tolist() == [1, 2]
    assert predicted_tags(np.array([-1.0, -3.0, -2.0]), 0.5).tolist() == [0]
    assert predicted_tags(np.array([-1.0, 1.0, 2.0]), 0.8).tolist() == [2]


def test_rows_are_classes_times_instances(tmp_path):
    side = 16
    y, x = np.mgrid[:side, :side].astype(np.float32)
    field = np.stack([8 - y, np.where(x < 8, 4, 12) - x])
    save_maps(tmp_path / "fields", "p", displacement=field, boundary=np.zeros((side, side), np.float32))
    attention = np.stack([x < 8, x >= 8]).astype(np.float32)
    save_maps(tmp_path / "cams", "p", classes=np.array([1, 4]), size=np.array([62, 64]), scale0=attention)
    given = Artifact(tmp_path, "k")
    walk_irn(tmp_path / "out", cams=given, fields=given, walk=WalkParams(radius=3, steps=0, interior=False),
             irn=IrnSalientParams(weak=0.8, iterations=30))  # fmt: skip
    stored = load_maps(tmp_path / "out" / "walked", "p")
    assert stored["rows"].shape == (4, side, side) and stored["size"].tolist() == [62, 64]
    weights = stored["rows"].astype(float).sum((1, 2))
    assert weights[[1, 2]].max() < 0.05 * weights[[0, 3]].min()  # each class has one of the two instances
    assert stored["rows"].max() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("faithful", "instances"), [(False, 1), (True, 2)])
def test_cells_without_a_centroid_are_an_instance_in_the_released_code_only(tmp_path, faithful, instances):
    side = 16
    field = np.zeros((2, side, side), np.float32)
    field[:, :, 8:] = 5  # these cells run into a corner where the field is as strong
    save_maps(tmp_path / "fields", "p", displacement=field, boundary=np.zeros((side, side), np.float32))
    attention = np.ones((1, side, side), np.float32)
    save_maps(tmp_path / "cams", "p", classes=np.array([0]), size=np.array([64, 64]), scale0=attention)
    given, walk = Artifact(tmp_path, "k"), WalkParams(radius=3, steps=0, interior=False)
    irn = IrnSalientParams(weak=0.8, iterations=30, faithful=faithful)
    walk_irn(tmp_path / "out", cams=given, fields=given, walk=walk, irn=irn)
    rows = load_maps(tmp_path / "out" / "walked", "p")["rows"].astype(float)
    assert len(rows) == instances and rows.any(0)[:, :7].all() and rows.any(0)[:, 8:].all() == faithful
