"""Frames, heat of every seeder through one interface, smoothing, the floor, and the stages on drawn pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.data.sets import open_set
from weakseg.metrics import resample
from weakseg.ops.crf import CrfParams
from weakseg.papers.guided_labelling import seeders, seeding
from weakseg.papers.guided_labelling.frame import frame_of, framed, unframed
from weakseg.papers.guided_labelling.model import build_seeder
from weakseg.papers.guided_labelling.seeders import BackpropParams

CRF = CrfParams(bilateral_xy=20.0, bilateral_rgb=13.0, iterations=2)


# ---------------------------------------------------------------- frames


def test_a_frame_reflects_around_the_middle():
    """2 x 4 pixels in a square of 4: one row above, mirrored at the first row, one below, mirrored at the second."""
    picture = np.arange(8, dtype=np.uint8).reshape(2, 4, 1).repeat(3, 2)
    laid = framed(picture, frame_of((2, 4), 4))
    assert laid[..., 0].tolist() == [[4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_small_pictures_may_keep_their_size():
    frame = frame_of((10, 20), 40, enlarge=False)
    assert (frame.top, frame.left, frame.height, frame.width) == (15, 10, 10, 20)
    assert frame_of((10, 20), 40).width == 40 and frame_of((10, 20), None) is None


@settings(deadline=None, max_examples=25)
@given(st.integers(8, 60), st.integers(8, 60), st.integers(16, 48))
def test_what_lies_in_a_frame_comes_back(height, width, side):
    """A ramp over the picture, framed and taken out again, is the ramp up to the resampling."""
    ramp = np.linspace(40, 210, width)[None, :, None] * np.ones((height, 1, 3))
    frame = frame_of((height, width), side)
    laid = framed(ramp.astype(np.uint8), frame)
    assert laid.shape == (side, side, 3)
    back = unframed(laid[..., 0][None].astype(np.float32), (height, width), frame)[0]
    assert np.abs(back - ramp[..., 0]).mean() < 170 / min(width, frame.width)


# ---------------------------------------------------------------- heat


@pytest.mark.parametrize("name", ["gap_lowres", "gap_highres", "gap_roi", "gap_deeplab"])
def test_gap_heat(name, small_seeder):
    torch.manual_seed(0)
    net = build_seeder(seeders.FORMS[name], small_seeder, 3).eval()
    net.fc8.weight.data.abs_()
    picture = np.random.default_rng(0).integers(0, 255, (40, 64, 3), np.uint8)
    heat = seeders.gap_heat(net, picture, np.array([1, 0, 1]), 64)
    assert heat.classes.tolist() == [0, 2] and heat.maps.shape == (2, 40, 64)
    np.testing.assert_allclose(heat.maps.max((1, 2)), 1, rtol=1e-5)
    label, confidence = heat.label()
    assert set(np.unique(label)) <= {1, 3} and confidence.max() == pytest.approx(1)


@pytest.mark.parametrize("method", ["vanilla", "guided", "excitation"])
def test_backprop_heat(method, small_seeder):
    torch.manual_seed(0)
    net = build_seeder("vgg16", small_seeder, 3).eval()
    net.fc8.weight.data.abs_()
    picture = np.random.default_rng(0).integers(0, 255, (40, 64, 3), np.uint8)
    smooth = BackpropParams(blur=2.0, crf=CRF)
    heat = seeders.backprop_heat(seeders.twin_of(net, method), picture, np.array([0, 1, 1]), method, 64, smooth)
    assert heat.classes.tolist() == [1, 2] and heat.maps.shape == (2, 40, 64)
    assert heat.maps.min() >= 0 and heat.maps.max((1, 2)) == pytest.approx([1, 1])


def test_smoothing_fills_the_object_and_stops_at_its_edge():
    """A few hot pixels on a bright disc: after Gaussian and CRF the disc is warmer everywhere than the ground."""
    y, x = np.mgrid[:48, :48]
    disc = (y - 24) ** 2 + (x - 24) ** 2 < 12**2
    picture = np.where(disc[..., None], 220, 40).astype(np.uint8).repeat(3, 2)
    maps = np.zeros((1, 48, 48), np.float32)
    maps[0, 18:31:3, 18:31:3] = 1
    blurred = seeders.smoothed(picture, maps, BackpropParams(blur=3.0, crf=None))[0]
    refined = seeders.smoothed(picture, maps, BackpropParams(blur=3.0, crf=CRF))[0]
    assert blurred.max() == pytest.approx(1) and blurred[disc].min() < blurred[~disc].max()
    assert refined[disc].min() > refined[~disc].max()


def test_nothing_speaks_for_a_class():
    empty = seeders.normalised(np.array([[[-3.0, -1]], [[0.5, 2]]]))
    np.testing.assert_allclose(empty, [[[0, 0]], [[0.25, 1]]])
    picture = np.zeros((8, 8, 3), np.uint8)
    assert not seeders.smoothed(picture, np.zeros((1, 8, 8), np.float32), BackpropParams(crf=None)).any()


def test_mean_shape_by_hand():
    """Two masks on 2 x 2 cells: one full, one with its left half: 1 on the left, a half on the right."""
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    shape = seeders.mean_shape([np.ones((6, 8), bool), left], side=2)
    np.testing.assert_allclose(shape, [[1, 0.5], [1, 0.5]])
    heat = seeders.centre_heat(shape, np.zeros((4, 4, 3), np.uint8), np.array([0, 1, 1]))
    assert heat.classes.tolist() == [1, 2] and (heat.maps[0] == heat.maps[1]).all()
    assert (heat.label()[0] == 2).all()  # of equal maps the first class wins


def test_bad_tags_are_refused_in_one_line(small_seeder):
    picture = np.zeros((8, 8, 3), np.uint8)
    net = build_seeder("highres", small_seeder, 3).eval()
    with pytest.raises(ValueError, match="^2008_1: has no tag, so no class to look for; tag it or"):
        seeders.gap_heat(net, picture, np.zeros(3), None, "2008_1")
    for wrong in (np.array([1, 0]), np.array([0, 2, 0])):
        with pytest.raises(ValueError, match="^2008_1: tags .* for each of 3 classes; correct them$"):
            seeders.gap_heat(net, picture, wrong, None, "2008_1")


# ---------------------------------------------------------------- stages


def test_cutting_takes_a_tenth_at_most():
    picture = np.zeros((50, 80, 3), np.uint8)
    sizes = [seeding.cut_sides(picture, 0.1, False, np.random.default_rng(k)).shape[:2] for k in range(30)]
    assert min(h for h, _ in sizes) >= 40 and min(w for _, w in sizes) >= 64 and len(set(sizes)) > 10
    assert seeding.cut_sides(picture, 0.1, True, np.random.default_rng(0)).shape == picture.shape


def test_tag_loss_golden():
    """Logits 0: log 2 for each of three classes."""

    class Zero(torch.nn.Module):
        def forward(self, pictures):
            return torch.zeros(len(pictures), 3)

    loss = seeding.tag_loss(Zero(), {"picture": torch.zeros(4, 3, 2, 2), "tags": torch.ones(4, 3)})["loss"]
    assert loss.item() == pytest.approx(3 * np.log(2))


@pytest.mark.parametrize("name", ["gap_highres", "excitation", "centre_mean_shape"])
def test_stages_on_drawn_pictures(drawn, small_seeder, name):
    store, pictures, data = drawn
    if name == "centre_mean_shape":
        model = store(seeding.average_masks, pictures=pictures, data=data, split="train")
    else:
        form = seeders.FORMS[name]
        model = store(seeding.train_seeder, pictures=pictures, data=data, form=form, seeder=small_seeder, seed=0)
        tags = store(
            seeding.score_tags, model=model, pictures=pictures, data=data, split="val", form=form, seeder=small_seeder
        )
        assert 0 < resample.value(resample.load(tags / "evidence.npz"), "mAP") <= 100
    heat = store(
        seeding.make_heat,
        model=model,
        pictures=pictures,
        data=data,
        split="val",
        name=name,
        seeder=small_seeder,
        backprop=BackpropParams(blur=2.0, crf=CRF) if name == "excitation" else None,
    )
    view = open_set(pictures, data, "val")
    for index, picture in enumerate(view.names):
        found = seeding.read_heat(heat, picture)
        assert found.maps.shape[1:] == view.image(index).shape[:2]
        assert found.classes.tolist() == sorted({box.label for box in view.objects(index)})
    judged = store(seeding.judge_seeds, heat=heat, pictures=pictures, data=data, split="val")
    evidence = resample.load(judged / "evidence.npz")
    assert evidence.names.tolist() == list(view.names)
    assert evidence.right.shape == (4, 209, 4) and evidence.right.sum() > 0


def test_a_set_with_an_untagged_picture_stops_before_any_work():
    class Untagged:
        names, classes = ("a", "b"), ("cat", "dog")

        @staticmethod
        def tags(index):
            return np.array([1.0, 0]) if index == 0 else np.zeros(2)

    with pytest.raises(ValueError, match="^b: has no tag"):
        seeding.checked(Untagged())
