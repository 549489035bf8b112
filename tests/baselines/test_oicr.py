"""WSDDN and OICR on drawn pictures: they run, they see no mask, and detection is judged as by brute force."""

import numpy as np
import pytest

from weakseg.baselines import oicr
from weakseg.baselines.oicr import OicrParams
from weakseg.data.sets import open_set
from weakseg.data.weak import BoxView
from weakseg.metrics import boxes as box_metrics
from weakseg.metrics import judge_detection, resample
from weakseg.nets.final import Optimisation, optimiser
from weakseg.nets.roi_detector import DetectorParams, build_detector, start_of
from weakseg.nets.roi_infer import RoiTestParams
from weakseg.ops.box_proposals import BoxProposalParams
from weakseg.ops.detections import load_best, load_detected
from weakseg.study.artifacts import load_instances

FEW = BoxProposalParams(mode="single", smallest=8, limit=12)
TINY = OicrParams(
    detector=DetectorParams(
        backbone="tiny", weights=None, cut_after=0, output_stride=8, pool=3, refinements=2, regressor="none"
    ),
    short_sides=None,
    training=Optimisation(epochs=1, batch_size=4, lr=0.01),
    test=RoiTestParams(short_sides=None, flip=False, detections=5),
)


def test_a_regressor_is_refused():
    with pytest.raises(ValueError, match="set it to none"):
        OicrParams(detector=DetectorParams(regressor="agnostic"))


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_one_rate_is_that_of_any_final_network(method):
    model = build_detector(TINY.detector, 3)
    how = TINY.training.model_copy(update={"method": method, "backbone_lr": 0.1})
    ours = oicr.oicr_optimiser(model, TINY.model_copy(update={"training": how}))
    plain = optimiser(model, start_of(model), how)
    assert type(ours) is type(plain)
    for one, other in zip(ours.param_groups, plain.param_groups, strict=True):
        assert [id(p) for p in one.pop("params")] == [id(p) for p in other.pop("params")]
        assert one == other


def test_released_rates_of_branches_and_biases():
    """Rates in multiples of 0.01: 1, twice that for biases, ten times that in the branches; biases do not decay."""
    released = TINY.model_copy(update={"refine_lr": 10.0, "bias_lr": 2.0, "bias_decay": False})
    model = build_detector(TINY.detector, 3)
    groups = oicr.oicr_optimiser(model, released).param_groups
    of = {id(p): (round(g["lr"] / 0.01), g["weight_decay"]) for g in groups for p in g["params"]}
    parts = model.recognition, model.branches[1]
    assert [of[id(part.weight)] for part in parts] == [(1, 1e-4), (10, 1e-4)]
    assert [of[id(part.bias)] for part in parts] == [(2, 0), (20, 0)]
    assert of[id(next(model.last.parameters()))] == (1, 1e-4) and len(groups) == 4
    assert sum(len(g["params"]) for g in groups) == sum(p.requires_grad for p in model.parameters())


def test_instances_are_filled_boxes_and_no_mask_is_opened(drawn, blind):
    _, pictures, data = drawn
    how = {"pictures": pictures, "init": None, "data": data, "oicr": TINY, "boxes": FEW, "split": "val", "seed": 0}
    found = oicr.instances(blind, **how)
    boxes = oicr.detections(blind, **how)
    name = open_set(pictures, data, "val").names[0]
    (corners, labels, scores), (masks, of, by) = (
        load_detected(boxes, name),
        load_instances(found / "instances", name),
    )
    assert 0 < len(corners) <= 5 and labels.tolist() == of.tolist() and np.allclose(scores, by)
    x0, y0, x1, y1 = corners[0].astype(int)
    assert masks[0].sum() == (x1 - x0) * (y1 - y0) == masks[0, y0:y1, x0:x1].sum()


def test_judged_as_by_brute_force(drawn):
    store, pictures, data = drawn
    how = {"pictures": pictures, "data": data, "split": "val"}
    found = oicr.detections(store, init=None, oicr=TINY, boxes=FEW, seed=0, **how)
    corloc = resample.load(store(judge_detection.judge_corloc, detections=found, **how) / "evidence.npz")
    judged = resample.load(store(judge_detection.judge_boxes, detections=found, **how) / "evidence.npz")
    view, hits, present = BoxView(open_set(pictures, data, "val")), np.zeros(3), np.zeros(3)
    for index, name in enumerate(view.names):
        best = load_best(found, name)[0]
        for label in {box.label for box in view.boxes(index)}:
            of = [box for box in view.boxes(index) if box.label == label]
            present[label] += 1
            hits[label] += any(_iou(best[label], (b.x0, b.y0, b.x1, b.y1)) >= 0.5 for b in of)
    assert resample.value(corloc, "CorLoc") == pytest.approx(100 * np.mean(hits[present > 0] / present[present > 0]))
    assert 0 <= resample.value(judged, "AP50") <= 100
    assert judged.truth_count.sum() == sum(len(view.boxes(i)) for i in range(len(view.names)))
    assert isinstance(judged, box_metrics.BoxEvidence)


def test_pictures_without_annotation_are_counted_and_not_judged(drawn, capsys):
    _, pictures, data = drawn
    whole = BoxView(open_set(pictures, data, "val"))

    def view_without(missing):
        def boxes(index):
            if index in missing:
                raise FileNotFoundError
            return whole.boxes(index)

        view = BoxView(open_set(pictures, data, "val"))
        view.boxes = boxes
        return view

    judged = [name for name, _ in judge_detection.annotated(view_without({1}), "val")]
    assert judged == [whole.names[0], *whole.names[2:]]
    said = f"boxes of val: 1 of {len(whole)} pictures have no annotation ({whole.names[1]}, ...) and are not judged"
    assert capsys.readouterr().out.strip() == said
    with pytest.raises(FileNotFoundError, match="boxes of val: .* have no annotation; fetch them"):
        list(judge_detection.annotated(view_without(range(len(whole))), "val"))


def _iou(a, b) -> float:
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
