"""PRM+D: the density learns counts, and suppressed instances come back."""

import numpy as np
import pytest
import torch

from weakseg.baselines.prm import RetrievalParams
from weakseg.baselines.prm_d import PrmDParams, build_count_net, counted_instances, density_loss
from weakseg.nets.final import Optimisation
from weakseg.ops.proposals import ProposalParams

TINY = PrmDParams(
    backbone="tiny", weights=None, output_stride=8, side=None, training=Optimisation(batch_size=4, epochs=1),
    proposals=ProposalParams(scales=(100.0,)),
    retrieval=RetrievalParams(relative=True, peak_threshold=0.5, max_peaks=3),
)  # fmt: skip


def test_counts_to_four_are_regressed_and_larger_ones_ranked():
    density = torch.tensor([3.0, 1.0]).view(2, 1, 1, 1).expand(-1, 1, 2, 2) / 4  # sums 3 and 1
    assert density_loss(density, torch.tensor([1, 4])).item() == pytest.approx((4 + 9) / 2)
    assert density_loss(density, torch.tensor([5, 9])).item() == pytest.approx((2 + 4) / 2)
    assert density_loss(3 * density, torch.tensor([9, 3])).item() == pytest.approx(0)


def boxes(*columns):
    masks = np.zeros((len(columns), 8, 8), bool)
    for mask, (start, stop) in zip(masks, columns, strict=True):
        mask[:, start:stop] = True
    return masks


def test_suppressed_instances_come_back_until_the_count_is_met():
    masks, scores = boxes((0, 4), (0, 4), (0, 5), (6, 8)), np.array([0.9, 0.8, 0.7, 0.6])
    assert counted_instances(masks, scores, 1, 0.3).tolist() == [0, 3]
    assert counted_instances(masks, scores, 3, 0.3).tolist() == [0, 3, 2]  # the twin of the best one does not count
    assert counted_instances(masks, scores, 9, 0.3).tolist() == [0, 3, 2]
    assert counted_instances(boxes(), np.zeros(0), 2, 0.3).tolist() == []


def test_the_followed_map_is_the_merged_one_and_densities_are_not_negative():
    net = build_count_net(TINY, 3).eval()
    pictures = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        classes, merged, density = net.maps(pictures)
        torch.testing.assert_close(net(pictures), merged)
    assert classes.shape == (2, 3, 4, 4) and merged.shape == density.shape == (2, 1, 4, 4) and (density >= 0).all()


def test_the_merged_map_starts_as_the_mean_of_the_classes_maps():
    """Where every picture has something salient, no loss asks for the sign of the merging weights."""
    for seed in range(3):
        torch.manual_seed(seed)
        classes, merged, _ = build_count_net(TINY, 4).maps(torch.rand(2, 3, 32, 32))
        shifted = merged - merged.mean((2, 3), keepdim=True)
        wanted = classes.mean(1, keepdim=True)
        assert torch.allclose(shifted, wanted - wanted.mean((2, 3), keepdim=True), atol=1e-5)


def test_an_untrained_net_counts_a_few_and_not_a_hundred():
    torch.manual_seed(0)
    net = build_count_net(TINY, 3)
    with torch.no_grad():
        density = net.maps(torch.rand(4, 3, 112, 112))[2]
    assert density.shape == (4, 1, 14, 14)
    assert (density.sum((1, 2, 3)) < 10).all()
