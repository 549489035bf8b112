"""What a lesson shows is what training and inference use; and where the time goes adds up."""

import time
from functools import partial

import numpy as np
import torch

from weakseg.nets.roi_detector import DetectorParams
from weakseg.nets.roi_infer import RoiTestParams
from weakseg.papers.community_learning import look
from weakseg.papers.community_learning.img import ImgParams
from weakseg.papers.community_learning.infer import mask_maps
from weakseg.papers.community_learning.losses import LossWeights, SelectionParams, community_losses
from weakseg.papers.community_learning.model import SegParams, build_community
from weakseg.papers.community_learning.timing import PARTS, step_times, with_proposals

DETECTOR = DetectorParams(backbone="tiny", weights=None, cut_after=0, output_stride=8, pool=4, refinements=2)
BOXES = torch.tensor([[0.0, 0, 30, 30], [2, 2, 30, 30], [40, 40, 60, 60]])


def net(**changes):
    torch.manual_seed(0)
    return build_community(DETECTOR, ImgParams(size=6, channels=8), SegParams(channels=(8,), **changes), 3).eval()


def test_refinement_shows_every_stage():
    model, picture = net(), torch.rand(3, 64, 64)
    steps = look.refinement(model.detector, picture, BOXES, torch.tensor([1.0, 0, 1]), DETECTOR)
    assert len(steps) == 3
    for step in steps:
        assert step.seeds.label.tolist() == [0, 2] and (step.label[step.seeds.place] == torch.tensor([1, 3])).all()
    scores = look.label_scores(model.detector, picture, BOXES)
    assert torch.allclose(scores[:, 1:], (steps[1].scores + steps[2].scores) / 2, atol=1e-6)


def test_masks_are_those_of_inference():
    model, picture, label = net(), torch.rand(3, 64, 64), torch.tensor([1, 2, 3])
    found = look.masks_inside(model, picture, BOXES, label)
    with torch.no_grad():
        m, s = mask_maps(model, picture, BOXES, label, RoiTestParams(short_sides=None, flip=False))
    assert torch.allclose(found.attention, m, atol=1e-6) and torch.allclose(found.segmentation, s, atol=1e-6)
    assert torch.allclose(torch.stack(found.cams).mean(0), found.attention, atol=1e-6) and len(found.cams) == 3
    assert torch.allclose(found.ensemble, (m + s) / 2, atol=1e-6)


def test_every_part_is_listed_with_what_leaves_it():
    model, (picture, boxes) = net(), look.placed(np.zeros((64, 64, 3), np.uint8), BOXES.numpy())
    parts = look.parts_of(model, picture, boxes)
    assert (
        parts.loc["shared s1", "output"] == "16 x 32 x 32"
        and parts.loc["last stage, on RoIs", "output"] == "32 x 4 x 4"
    )
    assert parts.loc["IMG, CAM 3", "output"] == "4 x 6 x 6" and parts.loc["IS, output", "output"] == "3 x 6 x 6"
    assert parts.loc["refinement 2", "weights"] == f"{32 * 4 + 4}" and set(parts["learns"]) == {"yes"}
    assert not any(module._forward_hooks for module in model.modules())


def test_features_are_lengths_with_maximum_one():
    model, (picture, _) = net(), look.placed(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3), BOXES.numpy())
    maps = look.feature_maps(model, picture)
    assert [one.shape for one in maps] == [(32, 32), (16, 16), (8, 8), (8, 8)]
    assert all(one.min() >= 0 and abs(one.max() - 1) < 1e-5 for one in maps)


def test_a_sample_gets_as_many_proposals_as_asked():
    sample = {"name": "a", "boxes": BOXES}
    assert with_proposals(sample, 2)["boxes"].equal(BOXES[:2])
    assert with_proposals(sample, 7)["boxes"].equal(BOXES[[0, 1, 2, 0, 1, 2, 0]]) and sample["boxes"] is BOXES


def test_parts_of_a_step_add_up():
    model = net(on=False).train()
    losses = partial(community_losses, DETECTOR, 0.4, SelectionParams(), LossWeights())
    batch = {"picture": torch.rand(1, 3, 64, 64), "boxes": BOXES, "count": torch.tensor([3]), "tags": torch.ones(1, 3)}
    began = time.perf_counter()
    parts = step_times(model, losses, batch, repeats=2)
    assert tuple(parts) == PARTS and parts["IS"] == 0
    assert min(value for name, value in parts.items() if name != "IS") > 0
    assert sum(parts.values()) * 2 <= 1000 * (time.perf_counter() - began)
    assert not model.detector.backbone._forward_hooks and not model.detector.last._forward_pre_hooks
