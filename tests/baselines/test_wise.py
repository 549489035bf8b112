"""WISE: pseudo labels hold tagged classes only."""

import numpy as np

from weakseg.baselines import wise
from weakseg.data.sets import open_set
from weakseg.data.weak import TagView
from weakseg.study.artifacts import load_instances, save_instances
from weakseg.study.stages import Artifact


def test_untagged_classes_are_dropped(drawn, tmp_path):
    _, pictures, data = drawn
    view = TagView(open_set(pictures, data, "val"))
    for index, name in enumerate(view.names):
        masks = np.ones((3, *view.image(index).shape[:2]), bool)
        save_instances(tmp_path / "in/instances", name, masks, np.arange(3), np.array([0.5, -0.1, 0.2]))
    wise.keep_tagged(
        tmp_path / "out", predictions=Artifact(tmp_path / "in", "k"), pictures=pictures, data=data, split="val"
    )
    for index, name in enumerate(view.names):
        masks, labels, scores = load_instances(tmp_path / "out/instances", name)
        assert labels.tolist() == np.flatnonzero(view.tags(index)).tolist() and len(masks) == len(labels)
        assert (scores >= 0).all()  # a negative score of PRM still is a pseudo label
