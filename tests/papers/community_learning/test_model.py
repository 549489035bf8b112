"""The network's parts: levels of IMG, what IS reads, going on from the detector alone."""

import pytest
import torch

from weakseg.nets.roi_detector import DetectorParams
from weakseg.papers.community_learning.img import ImgParams
from weakseg.papers.community_learning.model import SegParams, build_community, start_from
from weakseg.study.train import save_model

DETECTOR = DetectorParams(backbone="tiny", weights=None, cut_after=0, output_stride=8, pool=4, regressor="none")
IMG, SEG = ImgParams(size=6, channels=8, cams=4), SegParams(channels=(8,))
ALONE = IMG.model_copy(update={"on": False}), SEG.model_copy(update={"on": False})


def test_levels_are_pooled_to_one_size():
    net = build_community(DETECTOR, IMG, SEG, 3).eval()
    boxes, owner = torch.tensor([[0.0, 0, 30, 30], [10, 10, 50, 60]]), torch.zeros(2, dtype=torch.long)
    read, maps = net.detector(torch.rand(1, 3, 64, 64), boxes, owner)
    levels = net.levels(read.features, maps, boxes, owner)
    assert [tuple(x.shape) for x in levels] == [(2, 32, 6, 6), (2, 24, 6, 6), (2, 16, 6, 6), (2, 16, 6, 6)]
    assert net.seg(levels[0], torch.tensor([1, 3])).shape == (2, 6, 6)


def test_a_roi_reads_what_lies_in_its_box():
    """A map that is 1 in the right half only: a box there reads ones, a box on the left zeros."""
    net = build_community(DETECTOR, IMG, SEG, 3)
    half = torch.zeros(1, 1, 8, 8)
    half[..., 4:] = 1  # s4 has stride 8
    boxes = torch.tensor([[40.0, 8, 60, 56], [4, 8, 24, 56]])
    found = net.detector.pooled([half] * 4, 4, boxes, torch.zeros(2, dtype=torch.long), 3)
    assert found[0].min() == 1 and found[1].max() == 0


def test_going_on_from_the_detector_alone(tmp_path):
    torch.manual_seed(0)
    alone = build_community(DETECTOR, *ALONE, 3)
    alone.tagged += 5
    save_model(alone, tmp_path / "model.safetensors")
    whole = build_community(DETECTOR.model_copy(update={"regressor": "agnostic"}), IMG, SEG, 3)
    start_from(whole, tmp_path / "model.safetensors")
    for key, value in alone.detector.state_dict().items():
        assert torch.equal(whole.detector.state_dict()[key], value)
    assert whole.tagged.sum() == 0  # it counts its own training


def test_a_prefix_with_more_parts_is_refused(tmp_path):
    save_model(build_community(DETECTOR, IMG, SEG, 3), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="without extras"):
        start_from(build_community(DETECTOR, *ALONE, 3), tmp_path / "model.safetensors")
