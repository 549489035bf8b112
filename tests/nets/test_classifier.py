"""The tag classifier: its head, its optimiser, its attention."""

import numpy as np
import torch

from weakseg.nets.classifier import ClassifierParams, TagSamples, build_classifier, optimiser, read_cams, tag_loss
from weakseg.study.artifacts import save_maps
from weakseg.study.stages import Artifact

TINY = ClassifierParams(backbone="tiny", weights=None, output_stride=8, cut_after=0, long_side=None, crop=None)


def net(params=TINY, classes=4):
    torch.manual_seed(0)
    return build_classifier(params, classes).eval()


def test_the_logit_is_the_mean_of_the_attention():
    model, pictures = net(), torch.rand(2, 3, 48, 64)
    with torch.inference_mode():
        attention = model.cam(pictures)
        torch.testing.assert_close(model(pictures), attention.mean((2, 3)))
    assert attention.shape == (2, 4, 6, 8)
    assert model.head.bias is None


def test_loss_by_hand():
    class Fixed(torch.nn.Module):
        def forward(self, pictures):
            return torch.tensor([[0.0, 2.0], [-1.0, 1.0]])

    tags = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    sigmoid = torch.sigmoid(torch.tensor([0.0, -2.0, 1.0, 1.0]))
    torch.testing.assert_close(tag_loss(Fixed(), {"picture": None, "tags": tags})["loss"], -sigmoid.log().mean())


def test_rates_and_the_momentum_of_the_released_code():
    plain = optimiser(net(), TINY)
    assert [group["lr"] for group in plain.param_groups] == [0.1, 1.0]
    assert {group["momentum"] for group in plain.param_groups} == {0.9}
    faithful = optimiser(net(), TINY.model_copy(update={"faithful": True}))
    assert {(g["momentum"], g["weight_decay"]) for g in faithful.param_groups} == {(1e-4, 1e-4)}


def test_only_what_lies_behind_the_cut_is_trained():
    model = net(TINY.model_copy(update={"cut_after": 3}))
    trained = sum(len(group["params"]) for group in optimiser(model, TINY).param_groups)
    assert trained == len(list(model.backbone.stages[3:].parameters())) + 1


class Tagged:
    names, classes = ("a", "b"), ("cat", "cow")

    def image(self, index):
        return np.random.default_rng(index).integers(0, 256, (40, 60, 3), dtype=np.uint8)

    def tags(self, index):
        return np.eye(2, dtype=np.float32)[index]


def test_samples_repeat_with_their_draw():
    samples = TagSamples(Tagged(), TINY.model_copy(update={"long_side": (50, 90), "crop": 64}))
    first, again, other = samples[0, 7], samples[0, 7], samples[0, 8]
    assert first["picture"].shape == (3, 64, 64) and first["name"] == "a"
    assert torch.equal(first["picture"], again["picture"]) and not torch.equal(first["picture"], other["picture"])
    assert first["tags"].tolist() == [1, 0]


def test_read_cams(tmp_path):
    maps = np.random.default_rng(0).random((2, 5, 6)).astype(np.float32)
    save_maps(
        tmp_path / "cams", "x", classes=np.array([1, 3]), size=np.array([40, 48]), scale0=maps, scale1=maps[:, :3, :3]
    )
    found = read_cams(Artifact(tmp_path, "k"), "x")
    assert found.classes.tolist() == [1, 3]
    assert found.low.shape == (2, 10, 12) and found.high.shape == (2, 40, 48)
    assert read_cams(Artifact(tmp_path, "k"), "x", stride=8).low.shape == (2, 5, 6)
