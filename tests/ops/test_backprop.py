"""Back-propagation: a two-layer case by hand, conservation layer by layer, and nets with norms and branches."""

import pytest
import torch
from torch import fx, nn

from weakseg.nets import backbones, vgg
from weakseg.ops import backprop

METHODS = ("vanilla", "guided", "excitation")


class ClassMaps(nn.Module):
    """A trunk and a 1x1 classifier."""

    def __init__(self, trunk: nn.Module, channels: int, classes: int = 2):
        super().__init__()
        self.trunk, self.head = trunk, nn.Conv2d(channels, classes, 1, bias=False)
        self.head.weight.data.abs_()  # so that every class has something to answer for

    def forward(self, pictures):
        return self.head(self.trunk(pictures)[-1])


def two_layers() -> nn.Module:
    """1x1: hidden h = (x0 - x1, -x0 + x1 + x2, x0 + x2), ReLU, class score = 2 h0 + 3 h1 - h2."""
    net = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(), nn.Conv2d(3, 1, 1, bias=False))
    net[0].weight.data = torch.tensor([[1.0, -1, 0], [-1, 1, 1], [1, 0, 1]]).view(3, 3, 1, 1)
    net[2].weight.data = torch.tensor([2.0, 3, -1]).view(1, 3, 1, 1)
    return net


def gradient(net, method, picture):
    picture = picture.requires_grad_()
    return torch.autograd.grad(backprop.twin(net, method)(picture).sum(), picture)[0].flatten().tolist()


def test_two_layers_by_hand():
    """x = (3, 1, 1): h = (2, -1 -> 0, 4), score 2 * 2 - 4 = 0.
    Vanilla: only h0 and h2 are active: (2, -2, 0) + (-1, 0, -1) = (1, -2, -1).
    Guided: h1 is shut, h2's gradient -1 is cut: (2, -2, 0).
    """
    picture = torch.tensor([3.0, 1, 1]).view(1, 3, 1, 1)
    assert gradient(two_layers(), "vanilla", picture) == [1, -2, -1]
    assert gradient(two_layers(), "guided", picture) == [2, -2, 0]


def test_excitation_by_hand():
    """x = (3, 1, 4): h = (2, 2, 7). From probability 1: weights 2 and 3 on activity 2 and 2 give h0 2/5, h1 3/5.
    h0 has one excitatory weight, on x0: 2/5. h1: x1 w 1 -> 1, x2 w 1 -> 4: 3/5 shared as 1/5 and 4/5.
    """
    picture = torch.tensor([3.0, 1, 4]).view(1, 3, 1, 1)
    assert gradient(two_layers(), "excitation", picture) == pytest.approx([0.4, 0.12, 0.48])


def test_a_neuron_that_only_its_bias_excites_shares_evenly():
    """h = (3, 3): h0 by x0, h1 by its bias. Of 1, h0 gets 2/5, all for x0; h1 gets 3/5, 1/5 for each input."""
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
    net[0].weight.data = torch.tensor([[1.0, 0, 0], [-1, 0, 0]]).view(2, 3, 1, 1)
    net[0].bias.data = torch.tensor([0.0, 6])  # h = (3, 3)
    net[2].weight.data = torch.tensor([2.0, 3]).view(1, 2, 1, 1)
    picture = torch.tensor([3.0, 1, 1]).view(1, 3, 1, 1)
    assert gradient(net, "excitation", picture) == pytest.approx([0.4 + 0.2, 0.2, 0.2])


def arriving(net: nn.Module, pictures: torch.Tensor) -> dict[str, float]:
    """Probability that arrives at every node of the excitation twin, of 1 sent down for each picture."""

    class Watch(fx.Interpreter):
        seen: dict = {}

        def run_node(self, node):
            value = super().run_node(node)
            if isinstance(value, torch.Tensor) and value.requires_grad:
                value.retain_grad()
                self.seen[node.name] = value
            return value

    watch = Watch(backprop.twin(net, "excitation"))
    maps = watch.run(pictures.requires_grad_())
    start = maps.detach().clamp(min=0)
    start[:, 1:] = 0
    maps.backward(start / start.sum((1, 2, 3), keepdim=True))
    return {name: value.grad.sum((1, 2, 3)) for name, value in watch.seen.items() if value.grad is not None}


def test_mass_is_conserved_at_every_layer():
    torch.manual_seed(0)
    net = ClassMaps(vgg.build_vgg("highres"), 512).double()
    for name, each in net.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(each, std=0.05)
    found = arriving(net, torch.rand(2, 3, 17, 17, dtype=torch.float64))
    assert len(found) > 30
    for name, mass in found.items():
        torch.testing.assert_close(mass, torch.ones(2, dtype=torch.float64), atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize("name, dilated", [("tiny", False), ("small", True), ("mobilenet_v2", False)])
def test_mass_reaches_the_picture_through_norms_and_branches(name, dilated):
    torch.manual_seed(0)
    trunk = backbones.build(name, output_stride=8, dilated=dilated)
    net = ClassMaps(trunk, trunk.channels[-1]).double()
    net.train()(torch.rand(4, 3, 32, 32, dtype=torch.float64))  # norms that shift and scale
    net.eval()
    found = arriving(net, torch.rand(2, 3, 32, 32, dtype=torch.float64))
    torch.testing.assert_close(found["pictures"], torch.ones(2, dtype=torch.float64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["tiny", "mobilenet_v2"])
def test_a_twin_has_the_forward_pass_of_its_net(name, method):
    torch.manual_seed(0)
    trunk = backbones.build(name, output_stride=8)
    net = ClassMaps(trunk, trunk.channels[-1]).eval()
    pictures = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(backprop.twin(net, method)(pictures), net(pictures), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_each_picture_answers_for_its_own_class(method):
    torch.manual_seed(0)
    trunk = backbones.build("tiny", output_stride=8)
    twin = backprop.twin(ClassMaps(trunk, 32, 3).eval(), method)
    pictures, labels = torch.rand(3, 3, 32, 32), torch.tensor([2, 0, 2])
    together = backprop.respond(twin, pictures, labels, method)
    assert together.shape == (3, 32, 32) and (together >= 0).all() and (together.amax((1, 2)) > 0).all()
    alone = backprop.respond(twin, pictures[1:2], labels[1:2], method)
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=1e-4)


def test_vanilla_is_the_gradient_of_the_score():
    torch.manual_seed(0)
    net = ClassMaps(backbones.build("tiny", output_stride=8), 32).double().eval()
    pictures = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    found = backprop.respond(backprop.twin(net, "vanilla"), pictures, torch.tensor([1]), "vanilla")
    moved = pictures.repeat(3, 1, 1, 1)
    for colour in range(3):
        moved[colour, colour, 4, 5] += 1e-6
    slopes = (net(moved) - net(pictures))[:, 1].mean((1, 2)) / 1e-6
    assert found[0, 4, 5].item() == pytest.approx(slopes.abs().max().item(), rel=1e-3)


def test_a_class_that_nothing_speaks_for_has_an_empty_map():
    net = two_layers()
    net[2].weight.data = -net[2].weight.data.abs()
    found = backprop.respond(backprop.twin(net, "excitation"), torch.ones(1, 3, 4, 4), torch.tensor([0]), "excitation")
    assert not found.any()


def test_what_cannot_be_rewritten_is_refused_in_one_line():
    same = nn.Conv2d(3, 3, 3, padding="same")
    with pytest.raises(ValueError, match="zeros"):
        backprop.twin(nn.Sequential(same), "excitation")
    with pytest.raises(ValueError, match="no convolution before"):
        backprop.twin(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), "excitation")
