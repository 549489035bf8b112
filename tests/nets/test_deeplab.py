"""DeepLab: the loss by hand, fusion over scales and flips, label maps, and four pictures learned by heart."""

import numpy as np
import pytest
import torch
from torch import nn

from weakseg.data.sets import open_set
from weakseg.nets.augment import to_tensor
from weakseg.nets.deeplab import (
    Aspp,
    DeeplabParams,
    LabellingParams,
    build_deeplab,
    final_semantic,
    fused_scores,
    label_loss,
    label_map_of,
)
from weakseg.nets.final import LabelSet, Optimisation
from weakseg.ops.crf import CrfParams
from weakseg.study import train
from weakseg.study.artifacts import load_labels
from weakseg.study.stages import Artifact

TINY = DeeplabParams(backbone="tiny", training=Optimisation(epochs=1, batch_size=4), crop=64)


def labelled(scenes):
    """Names, pictures and label maps of the scenes."""
    maps = [(masks * (labels + 1)[:, None, None]).sum(0).astype(np.uint8) for _, masks, labels in scenes]
    return [f"p{k}" for k in range(len(scenes))], [image for image, *_ in scenes], maps


class Constant(nn.Module):
    """Gives the same scores (K,) everywhere on a grid of stride 8."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores))

    def forward(self, x):
        return self.scores[None, :, None, None].expand(len(x), -1, x.shape[2] // 8, x.shape[3] // 8)


def test_loss_by_hand():
    # p = 1/4, 3/4. Three labelled pixels, two of class 1: -(2 log 3/4 + log 1/4) / 3; the ignored ones count nothing.
    labels = torch.full((1, 16, 16), 255)
    labels[0, 0, :3] = torch.tensor([1, 1, 0])
    model = Constant([0.0, float(np.log(3))])
    loss = label_loss(model, {"picture": torch.zeros(1, 3, 16, 16), "labels": labels})["loss"]
    assert loss.item() == pytest.approx(-(2 * np.log(0.75) + np.log(0.25)) / 3, rel=1e-5)


def test_nothing_labelled_is_no_loss():
    model = Constant([1.0, 2.0])
    loss = label_loss(model, {"picture": torch.zeros(1, 3, 16, 16), "labels": torch.full((1, 16, 16), 255)})["loss"]
    loss.backward()
    assert loss == 0 and (model.scores.grad == 0).all()


def test_aspp_sees_as_far_as_its_rates():
    head = Aspp(1, 1, (1, 3), 0.0)
    x = torch.zeros(1, 1, 9, 9, requires_grad=True)
    head(x)[0, 0, 4, 4].backward()
    seen = {(4 + r * i, 4 + r * j) for r in (1, 3) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert {tuple(cell) for cell in x.grad[0, 0].nonzero().tolist()} == seen


@pytest.mark.parametrize("head, stride", [("aspp", 8), ("largefov", 16)])
def test_scores_on_the_last_grid(head, stride):
    net = build_deeplab(TINY.model_copy(update={"head": head, "output_stride": stride}), 4)
    assert net(torch.rand(2, 3, 64, 96)).shape == (2, 4, 64 // stride, 96 // stride)


def test_flip_makes_scores_symmetric():
    net, x = build_deeplab(TINY, 3).eval(), torch.rand(2, 3, 64, 48)
    both = fused_scores(net, x, (1.0, 0.5), True)
    assert both.shape == (2, 3, 16, 12)
    torch.testing.assert_close(fused_scores(net, x.flip(3), (1.0, 0.5), True), both.flip(3))
    assert not torch.allclose(fused_scores(net, x.flip(3), (1.0,), False), fused_scores(net, x, (1.0,), False).flip(3))


def test_scales_are_averaged():
    net, x = Constant([1.0, -2.0]), torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(fused_scores(net, x, (0.5, 1.0, 2.0), True).mean((0, 2, 3)), net.scores.detach())


def test_label_map_follows_scores_then_edges():
    """The scores' edge lies 4 pixels off the colour edge; only the CRF moves it there."""
    image = np.full((32, 32, 3), 40, np.uint8)
    image[:, 20:] = 200
    scores = np.zeros((2, 8, 8), np.float16)
    scores[1, :, 6:], scores[0, :, :6] = 2, 2
    truth = np.arange(32)[None] >= 20
    plain = label_map_of(image, scores, None)
    refined = label_map_of(image, scores, CrfParams(bilateral_xy=20, bilateral_rgb=10, gaussian_xy=1))
    assert plain.dtype == np.uint8 and plain.shape == (32, 32)
    assert ((plain == 1) == truth).mean() == pytest.approx(1 - 4 / 32)
    assert ((refined == 1) == truth).mean() > 0.97


def test_four_pictures_learned_by_heart(scenes, tmp_path):
    torch.manual_seed(0)
    names, images, maps = labelled(scenes)
    model = build_deeplab(TINY, 3)
    pictures = LabelSet(names, lambda i: images[i], lambda i: maps[i], 64, (0.8, 1.2), True)
    train.fit(model, pictures, label_loss, torch.optim.AdamW(model.parameters(), 3e-3), out=tmp_path, seed=0, steps=80,
              batch_size=4)  # fmt: skip
    scores = fused_scores(model.eval(), torch.stack([to_tensor(image) for image in images]), (1.0,), True).numpy()
    found = np.stack([label_map_of(images[k], scores[k], None) for k in range(4)])
    overlap = [
        ((found == k) & (np.stack(maps) == k)).sum() / ((found == k) | (np.stack(maps) == k)).sum() for k in range(3)
    ]
    assert np.mean(overlap) > 0.75


def test_crops_are_padded_and_ignored(scenes):
    names, images, maps = labelled(scenes)
    sample = LabelSet(names, lambda i: images[i], lambda i: maps[i], 96, (1.0, 1.0), False)[(0, 5)]
    assert sample["picture"].shape == (3, 96, 96) and (sample["labels"] == 255).sum() == 96**2 - 64**2
    assert np.array_equal(np.bincount(sample["labels"].flatten())[:3], np.bincount(maps[0].ravel()))
    with pytest.raises(ValueError, match=r"p0: a label map of \(32, 64\) for a picture of \(64, 64\)"):
        LabelSet(names, lambda i: images[i], lambda i: maps[i][:32], 96, (1.0, 1.0), False)[(0, 5)]


def test_stages_on_drawn_pictures(drawn):
    store, pictures, data = drawn
    params = TINY.model_copy(update={"test": LabellingParams(scales=(1.0, 0.75), crf=CrfParams(iterations=2))})
    found = final_semantic(store, pictures=pictures, labels=None, data=data, deeplab=params, split="val", seed=0)
    view = open_set(pictures, data, "val")
    for index, name in enumerate(view.names):
        label_map = load_labels(found / "semantic", name)
        assert label_map.shape == view.image(index).shape[:2] and label_map.max() <= 3


def test_test_settings_do_not_retrain(drawn):
    store, pictures, data = drawn
    plans = []

    def planning(stage, **arguments):
        plans.append(store.plan(stage, **arguments)["key"])
        return Artifact(pictures.path, plans[-1])

    for params in (TINY, TINY.model_copy(update={"test": LabellingParams(flip=False)})):
        final_semantic(planning, pictures=pictures, labels=None, data=data, deeplab=params, split="val", seed=0)
    assert plans[0] == plans[2] and plans[1] != plans[3]
