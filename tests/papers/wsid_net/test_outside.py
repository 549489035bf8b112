"""The outside methods, each really run on the few pictures of this folder's tests."""

import json

import pytest

from weakseg.data.salient_instances import open_salient
from weakseg.metrics import resample
from weakseg.papers.wsid_net import outside, recipe
from weakseg.study.artifacts import load_instances

RCNN = {"backbone": "tiny", "strides": [4, 8], "anchors": [20, 32], "roi_scale": 56, "pyramid_channels": 8,
        "box_features": 16, "mask_channels": [8], "proposals_before_nms": 20, "proposals": 8, "proposal_samples": 8,
        "roi_samples": 4, "training": {"batch_size": 4, "epochs": 1, "lr": 0.01}, "test": {"score": 0.0}}  # fmt: skip
ONE = {"batch_size": 4, "epochs": 1, "lr": 0.01}
GROUPED = {"scales": [100.0]}
NET = {"backbone": "tiny", "dilated": False, "crop": 64, "channels": 16, "training": ONE}
SMALL = {"backbone": "tiny", "weights": None, "training": ONE}
BASELINES = {
    "saliency_filter": {"threshold": 0.3},
    "irn": {"weak": 0.8, "iterations": 40},
    "s4net": {"mask_rcnn": RCNN},
    "map_boxes": {**SMALL, "centres": 4, "side": 32},
    "deepmask": {"mask_rcnn": RCNN},
    "contours": {"net": NET, "proposals": GROUPED},
    "prm_d": {**SMALL, "output_stride": 8, "side": None, "proposals": GROUPED,
              "retrieval": {"relative": True, "peak_threshold": 0.5, "max_peaks": 3}},
}  # fmt: skip
METHODS = {
    "IRN": outside.irn,
    "S4Net": outside.s4,
    "MAP": outside.boxes,
    "DeepMask": outside.deepmask,
    "C2SNet": lambda s, seed: outside.contours(s, seed, "c2s"),
    "NLDF": lambda s, seed: outside.contours(s, seed, "nldf"),
    "PRM+D": outside.counting_peaks,
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_row_of_table_1(toy, method):
    s = toy.changed(baselines=BASELINES)
    made = method(s, 0)
    for name in open_salient(recipe.pictures(s), s.params.data, "ilso", "test").names:
        masks, labels, scores = load_instances(made / "instances", name)
        assert masks.shape[1:] == (64, 64) and len(masks) == len(scores) and not labels.any()
    assert 0 <= resample.value(resample.load(recipe.evidence(s, made) / "evidence.npz"), "AP70") <= 100


def test_irn_chooses_its_background_by_its_final_answer(toy):
    """The AP50 of every score of the grid is that of the filtered instances of a run with that score."""
    s = toy.changed(baselines=BASELINES)
    found = json.loads((outside._irn_background(s, 0) / "chosen.json").read_text())
    for background, ap50 in zip(found["grid"], found["ap50"], strict=True):
        fixed = s.changed(instances={"background": background})
        judged = recipe.evidence(fixed, outside.irn(fixed, 0, "tune"), "tune")
        assert resample.value(resample.load(judged / "evidence.npz"), "AP50") == pytest.approx(ap50)
    assert outside._irn_background(fixed, 0) is None
