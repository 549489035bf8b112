"""The truth itself as a prediction is perfect; nothing at all is worth nothing."""

import numpy as np
import pytest

from weakseg.data.sets import open_set
from weakseg.metrics import instance_ap, judge, resample, semantic
from weakseg.study.artifacts import save_instances, save_labels
from weakseg.study.stages import external


@pytest.fixture
def predicted(drawn, tmp_path):
    """The artifact of predictions made by a function of (set, index) -> ((masks, labels), label map)."""
    _, kit, data = drawn

    def write(predict):
        opened = open_set(kit, data, "val")
        for index, name in enumerate(opened.names):
            (masks, labels), label_map = predict(opened, index)
            save_instances(tmp_path / "made/instances", name, masks, labels, np.ones(len(labels)))
            save_labels(tmp_path / "made/semantic", name, label_map)
        return external(tmp_path / "made")

    return write


def judged(drawn, stage, predictions):
    store, kit, data = drawn
    made = store(stage, predictions=predictions, pictures=kit, data=data, split="val")
    return resample.load(made / "evidence.npz")


def test_the_truth_is_perfect(drawn, predicted):
    made = predicted(lambda opened, index: (opened.instances(index)[:2], opened.semantic(index) % 255))
    found = judged(drawn, judge.judge_instances, made)
    assert instance_ap.mean_ap(found, 0.5) == instance_ap.mean_ap(found, 0.7) == 100
    assert semantic.mean_iou(judged(drawn, judge.judge_semantic, made)) == 100


def test_nothing_is_worth_nothing(drawn, predicted):
    def nothing(opened, index):
        H, W = opened.semantic(index).shape
        return (np.zeros((0, H, W), bool), np.zeros(0, int)), np.zeros((H, W), np.uint8)

    made = predicted(nothing)
    assert instance_ap.mean_ap(judged(drawn, judge.judge_instances, made), 0.5) == 0
    opened = open_set(drawn[1], drawn[2], "val")
    maps = np.stack([opened.semantic(index) for index in range(len(opened))])
    empty = (maps == 0).sum() / (maps != 255).sum()
    classes = len(np.unique(maps[maps != 255]))
    assert semantic.mean_iou(judged(drawn, judge.judge_semantic, made)) == pytest.approx(100 * empty / classes)
