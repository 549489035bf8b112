"""IRNet: shapes, what learns, the mean shift."""

import pytest
import torch

from weakseg.nets.backbones import build
from weakseg.papers.irn.model import IrNet, build_irnet, norm_groups
from weakseg.papers.irn.params import IrnetParams

TINY = IrnetParams(
    backbone="tiny", weights=None, output_stride=8, start="classifier", train_backbone=True, boundary_channels=8,
    displacement_channels=(8, 8, 16), kernel=3,
)  # fmt: skip


@pytest.mark.parametrize("name", ["tiny", "mobilenet_v2", "resnet50"])
@pytest.mark.parametrize("size", [(64, 96), (48, 80)])
def test_both_branches_answer_on_the_grid_of_stride_4(name, size):
    net = build_irnet(TINY.model_copy(update={"backbone": name, "output_stride": 16})).eval()
    with torch.inference_mode():
        logits, displacement = net(torch.rand(2, 3, *size))
    assert logits.shape == (2, size[0] // 4, size[1] // 4)
    assert displacement.shape == (2, 2, size[0] // 4, size[1] // 4)


def test_the_papers_network_has_the_papers_sizes():
    net = build_irnet(IrnetParams())
    assert [branch.convolution.in_channels for branch in net.boundary.reduce] == [64, 256, 512, 1024, 2048]
    assert [branch.scale for branch in net.boundary.reduce] == [1, 1, 2, 4, 4]
    assert net.boundary.predict.in_channels == 160 and net.boundary.predict.bias is not None
    assert [branch.convolution.out_channels for branch in net.displacement.reduce] == [64, 128, 256, 256, 256]
    assert [branch.scale for branch in net.displacement.reduce] == [1, 1, 1, 2, 2]
    assert (net.displacement.fuse_deep.convolution.in_channels, net.displacement.fuse_deep.scale) == (768, 2)
    assert net.displacement.fuse_all.convolution.in_channels == 448
    assert net.displacement.predict.bias is None
    assert [norm_groups(c) for c in (32, 64, 128, 256)] == [4, 8, 16, 16]


def test_a_frozen_backbone_stays_as_it_is():
    net = build_irnet(TINY.model_copy(update={"train_backbone": False})).train()
    assert not any(p.requires_grad for p in net.backbone.parameters())
    before = {k: v.clone() for k, v in net.backbone.state_dict().items()}
    logits, displacement = net(torch.rand(2, 3, 32, 32))
    (logits.sum() + displacement.square().sum()).backward()
    assert all(torch.equal(before[k], v) for k, v in net.backbone.state_dict().items())
    assert all(p.grad is not None for p in net.boundary.parameters())


def test_a_learning_backbone_gets_gradients():
    net = IrNet(build("tiny", output_stride=8), TINY).train()
    net(torch.rand(2, 3, 32, 32))[0].sum().backward()
    assert net.backbone.stages[0][0].weight.grad.abs().sum() > 0


def test_the_mean_shift_is_subtracted():
    net = build_irnet(TINY).eval()
    pictures = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = net(pictures)[1]
        net.mean_shift.copy_(torch.tensor([1.0, -2.0]))
        after = net(pictures)[1]
    torch.testing.assert_close(before - after, torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand_as(before))


def test_a_backbone_without_a_second_map_at_stride_4_is_refused():
    with torch.device("meta"), pytest.raises(ValueError, match="irnet.backbone: vgg16 has no second map at stride 4"):
        build_irnet(TINY.model_copy(update={"backbone": "vgg16"}))
