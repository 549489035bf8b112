"""Inference of RoI detectors: averaging over glances, moved boxes, suppression, the best box of every class."""

import numpy as np
import pytest
import torch

from weakseg.nets import roi_infer as ri
from weakseg.nets.roi_detector import Read
from weakseg.nets.roi_infer import RoiTestParams
from weakseg.ops.detections import load_best, load_detected, save_detected
from weakseg.study.stages import Artifact

PLAIN = RoiTestParams(short_sides=None, flip=False)


def test_glances_scale_and_mirror_picture_and_boxes():
    picture = torch.arange(3 * 20 * 40).view(3, 20, 40).float()
    seen = list(ri.glances(picture, RoiTestParams(short_sides=(20, 40), flip=True)))
    assert [tuple(g.picture.shape[2:]) for g in seen] == [(20, 40)] * 2 + [(40, 80)] * 2
    assert [g.flipped for g in seen] == [False, True, False, True]
    box = torch.tensor([[1.0, 2, 11, 12]])
    assert torch.equal(seen[0].picture[0], picture) and seen[0].boxes(box).tolist() == box.tolist()
    assert seen[3].boxes(box).tolist() == [[58, 4, 78, 24]]
    assert torch.equal(seen[1].picture[0], picture.flip(-1))


class Shifted(torch.nn.Module):
    """Says that every proposal should move right in the picture it is shown, by a tenth of its width."""

    def forward(self, pictures, boxes, owner):
        offsets = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).repeat(len(boxes), 2)
        logits = boxes[:, :1].repeat(1, 3) * torch.tensor([0.0, 0.0, 0.1])
        return Read(boxes, boxes, (logits,), offsets), []


def test_a_mirrored_shift_is_turned_back():
    """Right in the picture and right in its mirror image cancel; the other offsets stay."""
    boxes = torch.tensor([[0.0, 0, 4, 4], [10, 0, 14, 4]])
    scores, offsets = ri.averaged(Shifted(), torch.rand(3, 20, 20), boxes, RoiTestParams(short_sides=None, flip=True))
    assert offsets[0].tolist() == pytest.approx([0, 0.2, 0.3, 0.4] * 2, abs=1e-6)
    once, _ = ri.averaged(Shifted(), torch.rand(3, 20, 20), boxes, PLAIN)
    # The first box lies at 0 in one glance and at 16 in the other.
    high = [np.exp(0.1 * x) / (2 + np.exp(0.1 * x)) for x in (0, 16)]
    assert once[0, 2].item() == pytest.approx(high[0]) and scores[0, 2].item() == pytest.approx(np.mean(high))


def test_detections_by_hand():
    """Two boxes of class 0 overlap by 0.8: the lower one goes. One of class 1 at the same place stays."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 8, 10], [0, 0, 10, 10], [20, 20, 30, 30]])
    scores = torch.tensor([[0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.3, 0.2, 0.5], [0.9, 0.06, 0.04]])
    found = ri.detect(scores, None, boxes, (40, 40), PLAIN)
    assert found.labels.tolist() == [0, 1, 0] and found.scores.tolist() == pytest.approx([0.8, 0.5, 0.06])
    assert found.boxes.tolist() == boxes[[0, 2, 3]].tolist()
    assert found.best.tolist() == boxes[[0, 2]].tolist() and found.best_score.tolist() == pytest.approx([0.8, 0.5])
    few = ri.detect(scores, None, boxes, (40, 40), PLAIN.model_copy(update={"score": 0.1, "detections": 1}))
    assert few.labels.tolist() == [0]


def test_boxes_move_by_the_offsets_of_their_class():
    boxes = torch.tensor([[10.0, 10, 20, 20]])
    scores = torch.tensor([[0.1, 0.3, 0.6]])
    offsets = torch.tensor([[9.0, 9, 9, 9, 0.5, 0.0, 0, 0]])
    found = ri.detect(scores, offsets, boxes, (40, 24), PLAIN)
    assert found.boxes.tolist() == [[15, 10, 24, 20]]  # cut at the picture's right side
    assert found.best[1].tolist() == [15, 10, 24, 20]


def test_detections_come_back_from_disk(tmp_path):
    found = ri.detect(torch.tensor([[0.1, 0.8, 0.1]]), None, torch.tensor([[0.0, 0, 9, 9]]), (20, 20), PLAIN)
    save_detected(tmp_path / "boxes", "a", found)
    boxes, labels, scores = load_detected(Artifact(tmp_path, "k"), "a")
    assert boxes.tolist() == [[0, 0, 9, 9]] and labels.tolist() == [0] and scores.tolist() == pytest.approx([0.8])
    best, labels, scores = load_best(Artifact(tmp_path, "k"), "a")
    assert best.shape == (2, 4) and labels.tolist() == [0, 1] and scores.tolist() == pytest.approx([0.8, 0.1])
