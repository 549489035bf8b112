"""Three heads, and which of them learns from what."""

import pytest
import torch

from weakseg.nets.hrnet import build_hrnet
from weakseg.papers.boxcaseg.losses import LossParams, joint_losses
from weakseg.papers.boxcaseg.model import BoxCaseg, Head, TransferredHead, WeightTransfer


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return BoxCaseg(build_hrnet("tiny"))


def batch(seed: int = 0, salient=(True, False, True)):
    draw = torch.Generator().manual_seed(seed)
    inside = torch.rand(len(salient), 64, 64, generator=draw) > 0.5
    return torch.randn(len(salient), 3, 64, 64, generator=draw), inside, torch.tensor(salient)


def touched(module) -> bool:
    """Whether any parameter of `module` has a gradient that is not zero."""
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def losses(net, how=LossParams(), salient=(True, False, True)):  # noqa: B008
    pictures, inside, marked = batch(salient=salient)
    net.zero_grad()
    return joint_losses(net(pictures, marked), inside, marked, how)


def test_sizes_of_the_paper():
    head, transferred = Head(720), TransferredHead(720)
    assert head.mix.weight.shape == (720, 720, 1, 1) and head.predict.weight.shape == (1, 720, 1, 1)
    assert [layer.weight.shape for layer in transferred.mix.mlp if hasattr(layer, "weight")] == [
        (2880, 720),
        (720, 2880),
    ]
    assert 0.0009 < head.mix.weight.std() < 0.0011 and 0.009 < transferred.predict.mlp[0].weight.std() < 0.011


def test_the_weak_head_sees_all_pictures_and_the_others_those_asked_for(net):
    pictures, _, marked = batch()
    found = net.eval()(pictures, marked)
    net.train()
    assert found.weak.shape == (3, 16, 16) and found.salient.shape == found.transferred.shape == (2, 16, 16)
    assert net(pictures).salient.shape == (3, 16, 16)


def test_the_pixel_loss_reaches_the_transferred_kernels_through_the_mlp_and_not_the_weak_head(net):
    losses(net)["pixel"].backward()
    for transfer in (net.transferred.mix, net.transferred.predict):
        assert touched(transfer.mlp) and transfer.factor.grad is not None
    assert touched(net.transferred.norm) and touched(net.salient) and touched(net.backbone)
    assert not touched(net.weak)


def test_the_transferred_kernel_itself_gets_the_gradient(net):
    """The gradient at the made kernel is that of a plain 1x1 convolution, and the MLP's follows from it."""
    features = torch.randn(2, 120, 4, 4)
    kernel, bias = net.transferred.mix(net.weak.mix)
    kernel.retain_grad()
    net.zero_grad()
    torch.nn.functional.conv2d(features, kernel, bias).square().sum().backward()
    plain = torch.nn.Conv2d(120, 120, 1)
    plain.weight.data, plain.bias.data = kernel.detach().clone(), bias.detach().clone()
    plain(features).square().sum().backward()
    torch.testing.assert_close(kernel.grad, plain.weight.grad)
    assert touched(net.transferred.mix) and net.weak.mix.weight.grad is None


def test_bags_teach_the_weak_head_alone(net):
    terms = losses(net)
    (terms["bags"] + terms["smooth"]).backward()
    assert touched(net.weak) and touched(net.backbone)
    assert not touched(net.salient) and not touched(net.transferred)


def test_transfer_works_row_by_row():
    torch.manual_seed(1)
    transfer, layer = WeightTransfer(6), torch.nn.Conv2d(6, 4, 1)
    whole, bias = transfer(layer)
    single = torch.nn.Conv2d(6, 1, 1)
    single.weight.data, single.bias.data = layer.weight.data[2:3], layer.bias.data[2:3]
    torch.testing.assert_close(transfer(single)[0], whole[2:3])
    torch.testing.assert_close(bias, layer.bias)  # k = 1 and c = 0 at the start


@pytest.mark.parametrize("alpha, silent", [(1.0, "transferred"), (0.0, "salient")])
def test_a_head_of_weight_zero_learns_nothing(net, alpha, silent):
    losses(net, LossParams(alpha=alpha))["loss"].backward()
    assert not touched(getattr(net, silent)) and touched(net.weak)


def test_a_batch_without_salient_pictures_leaves_two_heads_alone(net):
    before = net.salient.norm.running_mean.clone()
    terms = losses(net, salient=(False, False))
    terms["loss"].backward()
    assert terms["pixel"] == 0 and terms["loss"].isfinite() and touched(net.weak) and not touched(net.salient)
    assert torch.equal(before, net.salient.norm.running_mean)
