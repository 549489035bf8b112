"""HRNet: its sizes, what reaches which branch, and weights from a file."""

import pytest
import torch
from safetensors.torch import save_file

from weakseg.nets.hrnet import build_hrnet


@pytest.mark.parametrize("name, channels", [("tiny", 120), ("small", 240), ("hrnet_w48", 720)])
def test_four_branches_on_one_map_of_stride_4(name, channels):
    net = build_hrnet(name).eval()
    with torch.no_grad():
        found = net(torch.rand(2, 3, 64, 96))
    assert net.channels == channels and found.shape == (2, channels, 16, 24)
    assert [module.num_branches for module in net.branches.stage4] == [4] * len(net.branches.stage4)


def test_the_plan_of_the_large_net():
    """Methods of the paper: four bottlenecks, then 1, 4 and 3 modules of 2, 3 and 4 branches, norm momentum 0.01."""
    branches = build_hrnet("hrnet_w48").branches
    assert len(branches.layer1) == 4
    assert [len(stage) for stage in (branches.stage2, branches.stage3, branches.stage4)] == [1, 4, 3]
    assert branches.feature_info.channels() == [48, 96, 192, 384]
    assert {m.momentum for m in branches.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.01}


def test_a_coarse_branch_sees_farther():
    """A changed corner pixel changes the finest features near it at once, those of the coarsest branch everywhere."""
    torch.manual_seed(0)
    net = build_hrnet("tiny").eval()
    picture = torch.rand(1, 3, 64, 64)
    other = picture.clone()
    other[..., 0, 0] = 1 - other[..., 0, 0]
    with torch.no_grad():
        changed = (net(picture) - net(other)).abs().amax((0, 1)) > 0
    assert changed[0, 0] and changed.all()


def test_weights_come_from_a_file_with_or_without_a_classifier(tmp_path):
    donor = build_hrnet("hrnet_w48").branches.state_dict()
    save_file({**donor, "classifier.weight": torch.zeros(3)}, tmp_path / "net.safetensors")
    net = build_hrnet("hrnet_w48", tmp_path / "net.safetensors")
    assert all(torch.equal(value, donor[name]) for name, value in net.branches.state_dict().items())
    save_file({name: value for name, value in donor.items() if "stage4.2" not in name}, tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match="cut.safetensors: has no layer stage4.2"):
        build_hrnet("hrnet_w48", tmp_path / "cut.safetensors")


def test_impossible_nets_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'large' is unknown; one of tiny, small, mobilenet_v2, hrnet_w48"):
        build_hrnet("large")
    with pytest.raises(ValueError, match="the net tiny is trained from scratch; set weights to null"):
        build_hrnet("tiny", tmp_path / "net.safetensors")


def test_every_weight_learns():
    net = build_hrnet("tiny")
    net(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_mobilenet_stands_in_with_four_maps(tmp_path):
    """Maps of strides 4 to 32 on one of stride 4, from a file of the whole classifier, its norms folded."""
    import torchvision

    donor = torchvision.models.mobilenet_v2(weights=None)
    save_file(donor.state_dict(), tmp_path / "net.safetensors")
    net = build_hrnet("mobilenet_v2", tmp_path / "net.safetensors").train()
    found = net(torch.rand(2, 3, 64, 96))
    assert net.channels == 472 and found.shape == (2, 472, 16, 24)
    stem = net.branches.backbone.stages[0][0][0].weight  # scaled by its norm, 1 / sqrt(1 + 1e-5)
    torch.testing.assert_close(stem, donor.features[0][0].weight, rtol=1e-5, atol=0)
    assert not net.branches.backbone.norms()
