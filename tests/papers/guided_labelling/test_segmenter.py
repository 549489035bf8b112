"""The CRF in training and at test time: golden parts, gradients, and the stages on drawn pictures."""

import pytest
import torch

from weakseg.data.sets import open_set
from weakseg.nets.deeplab import DeeplabParams, label_loss
from weakseg.nets.final import Optimisation
from weakseg.ops.seed_losses import constrain_loss, crf_targets, guides_of, smoothed
from weakseg.papers.guided_labelling import guiding, seeding, segmenter
from weakseg.papers.guided_labelling.guides import GuideParams
from weakseg.papers.guided_labelling.segmenter import CrfSets
from weakseg.study.artifacts import load_labels
from weakseg.study.stages import Store

SMALL = DeeplabParams(
    backbone="tiny", head="largefov", rates=(2,), channels=16, crop=64, training=Optimisation(steps=3, batch_size=4)
)


def test_the_two_sets_of_appendix_c():
    sets = CrfSets()
    v1, v2 = (
        (c.bilateral_weight, c.bilateral_xy, c.bilateral_rgb, c.gaussian_weight, c.gaussian_xy, c.iterations)
        for c in (sets.pick("v1"), sets.pick("v2"))
    )
    assert v1 == (10, 80, 13, 3, 3, 10) and v2 == (4, 121, 5, 3, 3, 10)
    small = sets.on_grid("v1")
    assert (small.bilateral_xy, small.gaussian_xy) == (pytest.approx(80 / 12), pytest.approx(3 / 12))
    assert small.bilateral_rgb == 13 and sets.pick(None) is sets.on_grid(None) is None


class Table(torch.nn.Module):
    """Scores that do not depend on the picture."""

    def __init__(self, scores):
        super().__init__()
        self.scores = torch.nn.Parameter(scores)

    def forward(self, pictures):
        return self.scores


def small_batch():
    generator = torch.Generator().manual_seed(0)
    return {
        "picture": torch.rand(2, 3, 16, 16, generator=generator),
        "labels": torch.randint(0, 3, (2, 16, 16), generator=generator),
    }


def test_loss_is_cross_entropy_plus_divergence():
    batch, crf = small_batch(), CrfSets(shrink=4).on_grid("v1")
    model = Table(torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)))
    found = segmenter.constrained_loss(crf, model, batch)
    assert found["entropy"].item() == pytest.approx(label_loss(model, batch)["loss"].item())
    assert found["loss"].item() == pytest.approx((found["entropy"] + found["constrain"]).item())
    assert found["constrain"].item() > 0


def test_gradient_goes_through_the_softmax_only():
    """Against finite differences of KL(q || softmax(s)) with q, the CRF's answer, held still."""
    batch, crf = small_batch(), CrfSets(shrink=4).on_grid("v1")
    scores = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    model = Table(scores.clone())
    (found,) = torch.autograd.grad(segmenter.constrained_loss(crf, model, batch)["constrain"], model.scores)
    fixed = crf_targets(smoothed(scores), guides_of(batch["picture"], (4, 4)), crf).double()
    scores, step = scores.double(), 1e-5
    for place in [(0, 0, 0, 0), (0, 2, 1, 3), (1, 1, 3, 2)]:
        up, down = scores.clone(), scores.clone()
        up[place] += step
        down[place] -= step
        slope = (constrain_loss(smoothed(up), fixed) - constrain_loss(smoothed(down), fixed)) / (2 * step)
        assert found[place].item() == pytest.approx(slope.item(), abs=1e-6, rel=1e-3)


def test_stages_on_drawn_pictures(drawn, small_seeder, tmp_path):
    """crf-loss trains another net than plain guides; crf-postproc predicts again with the same one."""
    _, pictures, data = drawn
    store, common = Store(tmp_path), {"pictures": pictures, "data": data}
    model = store(seeding.train_seeder, **common, form="highres", seeder=small_seeder, seed=0)
    heat = store(seeding.make_heat, model=model, **common, split="trainaug", name="gap_highres", seeder=small_seeder)
    labels = store(guiding.make_guides, **common, heat=heat, split="trainaug", name="seeds", guide=GuideParams())
    sets = CrfSets(shrink=8)
    crf = sets.pick("v2").model_copy(update={"iterations": 2})
    common |= {"labels": labels, "init": model, "segmenter": SMALL, "split": "val", "seed": 0}
    plain = segmenter.segment(store, **common)
    post = segmenter.segment(store, **common, crf_postproc=crf)
    lossy = segmenter.segment(store, **common, crf_loss=sets.on_grid("v1"), crf_postproc=crf)
    assert len({plain.key, post.key, lossy.key}) == 3
    assert len(list(store.root.glob("deeplab.train_deeplab/*/record.json"))) == 1
    assert len(list(store.root.glob("segmenter.train_constrained/*/record.json"))) == 1
    view = open_set(pictures, data, "val")
    for artifact in (plain, post, lossy):
        for index, name in enumerate(view.names):
            found = load_labels(artifact / "semantic", name)
            assert found.shape == view.image(index).shape[:2] and found.max() <= 3
    with pytest.raises(ValueError, match="without it"):
        segmenter.segment(store, **{**common, "labels": None}, crf_loss=crf)
