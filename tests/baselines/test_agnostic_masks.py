"""One class for all: ternary masking as in S4Net, and without."""

import pytest
import torch

from weakseg.baselines.agnostic_masks import INSIDE, RING, TernaryPool, WithoutRing, build_agnostic, with_ring
from weakseg.nets.final import Optimisation
from weakseg.nets.mask_rcnn import DetectionParams, MaskRcnnParams

TINY = MaskRcnnParams(
    backbone="tiny", strides=(4, 8), anchors=(20, 32), roi_scale=56, pyramid_channels=8, box_features=16,
    mask_channels=(8,), proposals_before_nms=20, proposals=8, proposal_samples=8, roi_samples=4,
    training=Optimisation(batch_size=4, epochs=1, lr=0.01), test=DetectionParams(score=0.0),
)  # fmt: skip


def test_a_ring_is_a_third_of_the_box_on_every_side():
    grown = with_ring(torch.tensor([[14.0, 28.0, 28.0, 56.0]]))
    assert grown.tolist() == [[9.0, 18.0, 33.0, 66.0]]
    assert RING / INSIDE == pytest.approx(1 / 3, abs=0.03)


def test_features_are_negative_in_the_ring_and_cut_off_after():
    pool = TernaryPool((4,), 56)
    features = {"0": torch.ones(1, 3, 32, 32)}
    found = pool(features, [torch.tensor([[40.0, 40.0, 80.0, 80.0]])], [(128, 128)])
    assert found.shape == (1, 3, 24, 24)
    torch.testing.assert_close(found[..., RING:-RING, RING:-RING], torch.ones(1, 3, INSIDE, INSIDE))
    torch.testing.assert_close(found[..., :RING, :], -torch.ones(1, 3, RING, 24))
    torch.testing.assert_close(WithoutRing()(found), torch.ones(1, 3, INSIDE, INSIDE))


@pytest.mark.parametrize("ring", [True, False])
def test_masks_are_predicted_on_the_box(ring):
    torch.manual_seed(0)
    net = build_agnostic(TINY, ring).eval()
    with torch.inference_mode():
        found = net([torch.rand(3, 64, 64)])[0]
    assert found["masks"].shape[1:] == (1, 64, 64) and (found["labels"] == 1).all()
