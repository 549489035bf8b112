"""PRM: retrieval worked by hand, suppression, and the stages on drawn pictures."""

import numpy as np
import pytest
import torch

from weakseg.baselines import prm
from weakseg.baselines.prm import PrmParams, RetrievalParams
from weakseg.data.sets import open_set
from weakseg.ops import peaks
from weakseg.ops.proposals import ProposalParams
from weakseg.study.artifacts import load_instances

ANY_PEAK = RetrievalParams(peak_threshold=0.0, relative=True, class_threshold=-99.0)
TINY = PrmParams(
    backbone="tiny",
    weights=None,
    output_stride=8,
    side=None,
    epochs=1,
    batch_size=4,
    lr=0.05,
    backbone_lr_factor=1.0,
    proposals=ProposalParams(smallest=10),
    retrieval=ANY_PEAK,
)


def test_retrieval_score_by_hand():
    """16 x 16 cells. The response is 1/64 on a square of 8 x 8 at the left border; the class map covers the left half.

    The square as proposal: all mass inside, no background. The contour is five pixels wide and ignores the picture's
    border, so inside the square it is its rows 0, 1, 6, 7 (32 cells) and columns 6, 7 of the rows between (8 cells):
    0.8 + 40/64. The right half as proposal: no mass inside; its contour reaches columns 6 and 7 of the square (16
    cells); all of it, half of the picture, is background: 16/64 - 2 * 1/2.
    """
    response = np.zeros((1, 16, 16), np.float32)
    response[0, 4:12, 0:8] = 1 / 64
    masks = np.zeros((2, 16, 16), bool)
    masks[0, 4:12, 0:8] = True
    masks[1, :, 8:] = True
    class_map = np.zeros((1, 16, 16), np.float32)
    class_map[0, :, :8] = 1
    chosen, scores = prm.retrieve(response, class_map, masks, RetrievalParams())
    assert chosen.tolist() == [0]
    assert scores[0] == pytest.approx(0.8 + 40 / 64)
    _, alone = prm.retrieve(response, class_map, masks[1:], RetrievalParams())
    assert alone[0] == pytest.approx(16 / 64 - 1)


def test_retrieval_without_peaks_or_proposals():
    empty = np.zeros((0, 8, 8), np.float32)
    assert len(prm.retrieve(empty, empty, np.ones((2, 8, 8), bool), RetrievalParams())[0]) == 0
    one = np.ones((1, 8, 8), np.float32)
    assert len(prm.retrieve(one, one, np.zeros((0, 8, 8), bool), RetrievalParams())[0]) == 0


def test_response_of_another_size_keeps_its_mass():
    """A response at twice the picture's size scores as the same shape at the picture's size."""
    masks = np.zeros((1, 8, 8), bool)
    masks[0, 2:6, 2:6] = True
    small = masks.astype(np.float32) / 16
    large = np.kron(masks[0], np.ones((2, 2)))[None].astype(np.float32) / 64
    flat = np.ones((1, 4, 4), np.float32)
    scores = [prm.retrieve(r, flat, masks, RetrievalParams())[1][0] for r in (small, large)]
    assert scores[0] == pytest.approx(scores[1])


def test_suppression_takes_the_best_and_drops_its_rivals():
    masks = np.zeros((4, 1, 10), bool)
    masks[0, 0, :6], masks[1, 0, :5], masks[2, 0, 5:], masks[3, 0, 9:] = True, True, True, True
    # 1 is best; 0 overlaps it by 5/6; 2 is apart; 3 overlaps 2 by 1/5 only.
    assert prm.suppress(masks, np.array([0.5, 0.9, 0.7, 0.2]), 0.3).tolist() == [1, 2, 3]
    assert prm.suppress(masks[:0], np.zeros(0), 0.3).tolist() == []


def test_loss_falls_when_the_peaks_agree_with_the_tags():
    class Fixed(torch.nn.Module):
        def forward(self, maps):
            return maps

    tags = torch.tensor([[1.0, 0.0]])
    right = torch.stack([torch.full((4, 4), 3.0), torch.full((4, 4), -3.0)])[None]
    good, bad = (prm.peak_loss(3, Fixed(), {"picture": each, "tags": tags})["loss"] for each in (right, -right))
    # softplus(-3) against softplus(3), the mean over two classes
    assert good.item() == pytest.approx(np.log1p(np.exp(-3)), rel=1e-5)
    assert bad.item() == pytest.approx(np.log1p(np.exp(3)), rel=1e-5)


def test_responses_are_distributions_of_the_right_picture():
    torch.manual_seed(0)
    net = prm.build_prm(TINY, 3).eval()
    pictures = torch.rand(2, 3, 64, 64)
    found = prm.respond(net, peaks.for_back_propagation(net), pictures, TINY)
    assert len(found) == 2
    for responses, class_maps, labels in found:
        assert responses.shape[1:] == (64, 64) and class_maps.shape[1:] == (8, 8)
        assert len(responses) == len(class_maps) == len(labels) > 0
        sums = responses.sum(axis=(1, 2))
        assert ((np.abs(sums - 1) < 1e-3) | (sums == 0)).all() and responses.min() >= 0


def test_stages_on_drawn_pictures(drawn):
    store, pictures, data = drawn
    artifact = prm.instances(store, pictures=pictures, init=None, data=data, prm=TINY, split="val", seed=0)
    view = open_set(pictures, data, "val")
    for index, name in enumerate(view.names):
        masks, labels, scores = load_instances(artifact / "instances", name)
        assert masks.shape[1:] == view.image(index).shape[:2]
        assert len(masks) == len(labels) == len(scores)
        assert set(labels.tolist()) <= {0, 1, 2}
        assert (np.diff(scores) <= 1e-6).all()


def test_a_changed_retrieval_does_not_train_again(drawn):
    store, pictures, data = drawn

    def predicted(params: prm.PrmParams) -> str:
        return prm.instances(store, pictures=pictures, init=None, data=data, prm=params, split="val", seed=0).key

    first = predicted(TINY)
    trained = {path.parent.name for path in store.root.glob("prm.train_prm/*/model.safetensors")}
    other = TINY.model_copy(update={"retrieval": ANY_PEAK.model_copy(update={"peak_threshold": 0.5})})
    assert predicted(other) != first
    assert {path.parent.name for path in store.root.glob("prm.train_prm/*/model.safetensors")} == trained


def test_no_mask_is_opened(drawn, blind):
    _, pictures, data = drawn
    prm.instances(blind, pictures=pictures, init=None, data=data, prm=TINY, split="val", seed=0)
