"""The two branches: grids, what learns, what is shared, the switches."""

import pytest
import torch

from weakseg.ops.cam import grid_size
from weakseg.papers.wsid_net.model import Fuse, build_wsid
from weakseg.papers.wsid_net.params import AttentionParams, EnhancementParams, WsidParams

TINY = WsidParams(backbone="tiny", weights=None, output_stride=8, width=8, crop=32,
                  attention=AttentionParams(reduction=4), enhancement=EnhancementParams(lines=2, width=8))  # fmt: skip


def net(**changes):
    return build_wsid(TINY.model_copy(update=changes))


@pytest.mark.parametrize("size", [(64, 64), (61, 47)])
def test_both_branches_answer_on_the_grid_of_stride_4(size):
    with torch.inference_mode():
        logits, displacement = net().eval()(torch.rand(2, 3, *size))
    h, w = grid_size(size)
    assert logits.shape == (2, h, w) and displacement.shape == (2, 2, h, w)


def test_fusing_is_a_convolution_of_the_concatenation():
    torch.manual_seed(0)
    fuse = Fuse([3, 5], 8)
    maps = [torch.randn(2, 3, 6, 6), torch.randn(2, 5, 3, 3)]
    weight = torch.cat([part.weight for part in fuse.parts], 1)
    large = torch.nn.functional.interpolate(maps[1], (6, 6), mode="bilinear")
    whole = torch.nn.functional.conv2d(torch.cat([maps[0], large], 1), weight)
    torch.testing.assert_close(fuse(maps, (6, 6)), torch.relu(fuse.norm(whole)))
    small = torch.nn.functional.interpolate(maps[0], (3, 3), mode="bilinear")
    whole = torch.nn.functional.conv2d(torch.cat([small, maps[1]], 1), weight)
    torch.testing.assert_close(fuse(maps, (3, 3)), torch.relu(fuse.norm(whole)))


def names(**changes):
    return {name.split(".")[0] for name, _ in net(**changes).named_parameters()}


def test_switches_take_parts_away():
    assert names() == {"backbone", "attend_boundary", "enhance", "boundary", "centroid"}
    assert names(attention=None) == {"backbone", "enhance", "boundary", "centroid"}
    assert names(enhancement=None) == {"backbone", "attend_boundary", "boundary", "centroid"}
    apart = AttentionParams(shared=False, reduction=4)
    assert names(attention=apart) == {*names(), "attend_centroid"}


def gradients(branch, **changes):
    made = net(**changes).train()
    made(torch.rand(2, 3, 32, 32))[branch].square().sum().backward()
    return {name.split(".")[0] for name, p in made.named_parameters() if p.grad is not None and p.grad.any()}


def test_a_shared_attention_learns_from_both_branches():
    assert "attend_boundary" in gradients(0) and "attend_boundary" in gradients(1)
    apart = AttentionParams(shared=False, reduction=4)
    assert "attend_boundary" not in gradients(1, attention=apart)
    assert "attend_centroid" in gradients(1, attention=apart)


def test_edges_reach_the_boundary_alone():
    assert "enhance" in gradients(0) and "enhance" not in gradients(1)


def test_a_frozen_backbone_stays_as_it_is():
    made = net(train_backbone=False).train()
    before = {k: v.clone() for k, v in made.backbone.state_dict().items()}
    sum(out.sum() for out in made(torch.rand(2, 3, 32, 32))).backward()
    assert all(torch.equal(before[k], v) for k, v in made.backbone.state_dict().items())
    assert all(p.grad is None for p in made.backbone.parameters())


def test_the_mean_shift_is_taken_off():
    made, pictures = net().eval(), torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        before = made(pictures)[1]
        made.mean_shift.copy_(torch.tensor([1.0, -2.0]))
        after = made(pictures)[1]
    torch.testing.assert_close(before - after, torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand_as(before))


def test_a_backbone_without_a_second_map_at_stride_4_is_refused():
    with torch.device("meta"), pytest.raises(ValueError, match="wsid.backbone: vgg16 has no second map at stride 4"):
        build_wsid(TINY.model_copy(update={"backbone": "vgg16"}))
