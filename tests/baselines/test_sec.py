"""SEC: losses with golden values and gradients checked, cues by hand, and the stages on drawn pictures."""

import numpy as np
import pytest
import torch

from weakseg.baselines import sec, sec_losses
from weakseg.baselines.sec import CueParams, SecParams
from weakseg.data.sets import open_set
from weakseg.nets.classifier import ClassifierParams, build_classifier, train_classifier
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import Optimisation
from weakseg.ops.crf import CrfParams
from weakseg.study.artifacts import load_labels


def probabilities(*shape, seed=0):
    scores = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return sec_losses.smoothed(scores)


def test_smoothing():
    """Scores (0, -inf-ish): (1 + 1e-4) / (1 + 2e-4) and 1e-4 / (1 + 2e-4)."""
    p = sec_losses.smoothed(torch.tensor([0.0, -1000.0], dtype=torch.float64).view(1, 2, 1, 1)).flatten()
    assert p.tolist() == pytest.approx([1.0001 / 1.0002, 0.0001 / 1.0002])


def test_seed_loss_golden():
    """Picture 1 has two cues of p 1/2 and 1/4: mean -log = 3/2 log 2; picture 2 none: 0. Their mean is 3/4 log 2."""
    p = torch.full((2, 2, 1, 3), 0.5, dtype=torch.float64)
    p[0, :, 0, 1] = torch.tensor([0.75, 0.25])
    cues = torch.full((2, 1, 3), 255)
    cues[0, 0, 0], cues[0, 0, 1] = 0, 1
    assert sec_losses.seed_loss(p, cues).item() == pytest.approx(0.75 * np.log(2))


def test_pooling_golden():
    """Two cells stand for 41 x 41: rank 1 weighs d^(1681 / 2). With d^(1681 / 2) = 1/3: (0.8 + 0.2 / 3) / (4 / 3)."""
    p = torch.tensor([0.2, 0.8], dtype=torch.float64).view(1, 1, 1, 2)
    decay = (1 / 3) ** (2 / 1681)
    assert sec_losses.pooled(p, decay).item() == pytest.approx((0.8 + 0.2 / 3) / (4 / 3))


def test_pooling_lies_between_mean_and_maximum_and_is_the_same_on_a_finer_grid():
    p = probabilities(2, 3, 8, 8)
    pooled = sec_losses.pooled(p, 0.996)
    assert (pooled >= p.mean(dim=(2, 3)) - 1e-12).all() and (pooled <= p.amax(dim=(2, 3)) + 1e-12).all()
    fine = sec_losses.pooled(p.repeat_interleave(4, 2).repeat_interleave(4, 3), 0.996)
    torch.testing.assert_close(pooled, fine, rtol=0.06, atol=0)


def test_expand_loss_golden():
    """One cell, K = 3: p = (0.2, 0.7, 0.1), class 1 tagged: -log 0.7 - log(1 - 0.1) - log 0.2."""
    p = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64).view(1, 3, 1, 1)
    loss = sec_losses.expand_loss(p, torch.tensor([[1.0, 0.0]], dtype=torch.float64), 0.996, 0.999)
    assert loss.item() == pytest.approx(-np.log(0.7) - np.log(0.9) - np.log(0.2))
    everything = sec_losses.expand_loss(p, torch.ones(1, 2, dtype=torch.float64), 0.996, 0.999)
    assert everything.item() == pytest.approx(-(np.log(0.7) + np.log(0.1)) / 2 - np.log(0.2))
    nothing = sec_losses.expand_loss(p, torch.zeros(1, 2, dtype=torch.float64), 0.996, 0.999)
    assert nothing.item() == pytest.approx(-(np.log(0.3) + np.log(0.9)) / 2 - np.log(0.2))


def test_constrain_loss_golden():
    """q = (3/4, 1/4), p = (1/2, 1/2): KL = 3/4 log 3/2 + 1/4 log 1/2; zero when they agree; no gradient to q."""
    q = torch.tensor([0.75, 0.25], dtype=torch.float64).view(1, 2, 1, 1).requires_grad_()
    p = torch.full((1, 2, 1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    loss = sec_losses.constrain_loss(p, q)
    assert loss.item() == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    loss.backward()
    assert q.grad is None and p.grad is not None
    assert sec_losses.constrain_loss(q.detach(), q).item() == pytest.approx(0)


def test_gradients():
    scores = torch.randn(
        2, 4, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True
    )
    cues = torch.tensor([0, 1, 2, 3, 255, 255, 1, 1, 0]).view(1, 3, 3).repeat(2, 1, 1)
    tags = torch.tensor([[1.0, 0, 1], [0, 0, 1]], dtype=torch.float64)
    target = probabilities(2, 4, 3, 3, seed=2)
    for loss in (
        lambda s: sec_losses.seed_loss(sec_losses.smoothed(s), cues),
        lambda s: sec_losses.expand_loss(sec_losses.smoothed(s), tags, 0.996, 0.999),
        lambda s: sec_losses.constrain_loss(sec_losses.smoothed(s), target),
    ):
        assert torch.autograd.gradcheck(loss, scores)


def test_crf_targets_follow_the_picture():
    """Left half dark, right half bright; scores lean the right way in most cells: the CRF makes each half uniform."""
    guide = np.zeros((1, 12, 12, 3), np.uint8)
    guide[:, :, 6:] = 220
    p = torch.full((1, 2, 12, 12), 0.5, dtype=torch.float64)
    p[0, 0, :, :6], p[0, 0, :, 6:] = 0.7, 0.3
    p[0, 0, 5, 2], p[0, 0, 5, 9] = 0.4, 0.6
    p[0, 1] = 1 - p[0, 0]
    q = sec_losses.crf_targets(
        p, torch.from_numpy(guide), CrfParams(bilateral_xy=6.0, bilateral_rgb=13.0, gaussian_xy=1.0)
    )
    assert (q[0, 0, :, :6] > 0.5).all() and (q[0, 0, :, 6:] < 0.5).all()
    torch.testing.assert_close(q.sum(1), torch.ones(1, 12, 12, dtype=torch.float64))


def test_cues_by_hand():
    """Class 2 has the larger region; class 0 sits inside it and wins its cells; the flattest rows are background."""
    attention = np.zeros((2, 10, 10), np.float32)
    attention[0, 4:6, 4:6] = 2.0
    attention[1, 2:8, 2:8] = 1.0
    attention[1, 0, 0] = 0.15  # below a fifth of its maximum
    gradient = np.ones((10, 10), np.float32)
    gradient[8:] = 0.0
    cues = sec.cue_map(attention, np.array([0, 2]), gradient, CueParams(background=0.3))
    assert (cues[4:6, 4:6] == 1).all() and cues[2, 2] == 3 and cues[0, 0] == 255
    assert (cues[9] == 0).all() and (cues == 0).sum() >= 10
    assert (cues == 3).sum() == 36 - 4


def test_cues_without_any_tag_are_background_only():
    gradient = np.arange(100, dtype=np.float32).reshape(10, 10)
    cues = sec.cue_map(np.zeros((0, 10, 10), np.float32), np.zeros(0, int), gradient, CueParams())
    assert set(np.unique(cues)) == {0, 255} and (cues == 0).sum() == 10


CLASSIFIER = ClassifierParams(
    backbone="tiny",
    weights=None,
    output_stride=8,
    cut_after=0,
    epochs=1,
    batch_size=4,
    lr=0.05,
    long_side=None,
    crop=None,
)


def test_saliency_is_the_gradient_of_all_scores():
    """Against a finite difference at one place of the third map, for the channel with the steepest slope."""
    torch.manual_seed(0)
    net = build_classifier(CLASSIFIER, 3).double().eval()
    pictures = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    steep = sec.saliency(net, pictures, 3)
    features = net.backbone(pictures)[2].detach()
    assert steep.shape == features.shape[:1] + features.shape[2:]

    def total(f):
        for stage in net.backbone.stages[3:]:
            f = stage(f)
        return net.head(f.mean((2, 3), keepdim=True)).sum()

    slopes = []
    for channel in range(features.shape[1]):
        moved = features.clone()
        moved[0, channel, 1, 2] += 1e-6
        slopes.append(abs((total(moved) - total(features)).item()) / 1e-6)
    assert steep[0, 1, 2].item() == pytest.approx(max(slopes), rel=1e-3)


SMALL = SecParams(
    net=DeeplabParams(backbone="tiny", head="largefov", channels=16, training=Optimisation(epochs=2, batch_size=4)),
    side=None,
)


def run(store, pictures, data):
    """The tiny classifier and, from it, SEC's label maps of the val pictures."""
    model = store(train_classifier, pictures=pictures, data=data, classifier=CLASSIFIER, seed=0)
    inputs = {"pictures": pictures, "model": model, "init": model, "data": data}
    return sec.label_maps(store, classifier=CLASSIFIER, sec=SMALL, split="val", seed=0, **inputs)


def test_stages_on_drawn_pictures(drawn):
    store, pictures, data = drawn
    artifact = run(store, pictures, data)
    view = open_set(pictures, data, "val")
    for index, name in enumerate(view.names):
        label_map = load_labels(artifact / "semantic", name)
        assert label_map.shape == view.image(index).shape[:2] and label_map.max() <= 3
    train_view = open_set(pictures, data, "trainaug")
    cues = next(store.root.glob("sec.sec_cues/*/cues"))
    for index, name in enumerate(train_view.names):
        tagged = {box.label + 1 for box in train_view.objects(index)}
        assert set(np.unique(load_labels(cues, name))) <= {0, 255, *tagged}


def test_no_mask_is_opened(drawn, blind):
    _, pictures, data = drawn
    run(blind, pictures, data)
