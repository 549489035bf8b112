"""Samples: crops with their boxes, two normalisations, and mixtures that hold in every batch."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from weakseg.data.saliency import open_duts
from weakseg.data.sets import open_set
from weakseg.data.weak import BoxView, SalientView
from weakseg.papers.boxcaseg.boxes import usable_boxes
from weakseg.papers.boxcaseg.samples import (
    Crop,
    FixedRatio,
    SampleParams,
    SamplingParams,
    Union,
    crops_of,
    cut,
    normalised,
)
from weakseg.study.samples import batches, order_of

SMALL = SampleParams(side=32, salient_side=36, test_side=64)


def parts(drawn, how=SMALL):
    _, pictures, data = drawn
    view = BoxView(open_set(pictures, data, "trainaug"))
    return view, crops_of(usable_boxes(view, "trainaug")), SalientView(open_duts(pictures.path)), how


def test_the_union_holds_every_box_and_every_salient_picture_once(drawn):
    union = Union(*parts(drawn))
    boxes = sum(len(union.view.boxes(i)) for i in range(len(union.view)))
    assert len(union.crops) == boxes and len(union) == boxes + 6
    kinds = [bool(union[(i, 7)]["salient"]) for i in range(len(union))]
    assert kinds == [False] * boxes + [True] * 6


def test_a_batch_says_where_its_salient_pictures_are(drawn):
    union = Union(*parts(drawn))
    last = len(union) - 1
    assert union.collate([union[(k, 7)] for k in (last, 0, last - 1)])["salient"].tolist() == [0, 2]
    assert union.collate([union[(0, 7)]])["salient"].tolist() == []


def test_a_sample_is_a_function_of_its_draw(drawn):
    union = Union(*parts(drawn))
    for index in (0, len(union) - 1):
        first, again, other = (union[(index, draw)] for draw in (5, 5, 6))
        assert torch.equal(first["picture"], again["picture"]) and torch.equal(first["inside"], again["inside"])
        assert not torch.equal(first["picture"], other["picture"])
        assert first["picture"].shape == (3, 32, 32) and first["inside"].shape == (32, 32)


def test_the_mask_of_a_crop_is_its_filled_box():
    """A white box on black ground: inside is where the crop is white, whatever the jitter and the mirroring."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:30, 20:44] = 255
    view = SimpleNamespace(names=("p",), image=lambda i: picture)
    union = Union(view, [Crop(0, (20, 10, 44, 30), False)], (), SMALL)
    for draw in range(20):
        sample = union[(0, draw)]
        bright = sample["picture"][0] > 0  # near the grey half way from black to white
        assert (bright == sample["inside"]).float().mean() > 0.93  # edges are blurred by bilinear resizing


def test_cutting_by_hand():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert cut(array, (1, 0, 3, 2), 2).tolist() == [[1, 2], [5, 6]]
    assert cut(array, (1, 0, 3, 2), 4).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [5, 5, 6, 6], [5, 5, 6, 6]]


def test_two_normalisations_by_hand():
    picture = np.full((1, 1, 3), 102, np.uint8)  # 0.4
    plain = [(0.4 - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    for kind in ("crop", "salient"):
        assert normalised(picture, kind, False).flatten().tolist() == pytest.approx(plain, rel=1e-5)
    assert normalised(picture, "crop", True).flatten().tolist() == pytest.approx(
        [(102 - m) / 255 for m in (102.98, 115.95, 122.77)], rel=1e-4
    )
    stretched = [(1 - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    assert normalised(picture, "salient", True).flatten().tolist() == pytest.approx(stretched, rel=1e-5)
    assert normalised(picture * 0, "salient", True).isfinite().all()


def test_faithful_salient_pictures_turn_upside_down_and_crops_do_not_mirror():
    """The left half of the box is white, the upper half of the salient mask is set."""
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, :20] = 255
    view, crop = SimpleNamespace(names=("p",), image=lambda i: picture), Crop(0, (0, 0, 40, 40), False)
    upper = np.zeros((40, 40), bool)
    upper[:20] = True

    class Salient:
        names, image, mask = ("s",), staticmethod(lambda i: picture), staticmethod(lambda i: upper)

        def __len__(self):
            return 1

    def seen(faithful):
        union = Union(view, [crop], Salient(), SMALL.model_copy(update={"faithful": faithful}))
        crops, salient = ([union[(k, draw)] for draw in range(12)] for k in (0, 1))
        left_is_bright = {bool(s["picture"][0, :, :4].mean() > s["picture"][0, :, -4:].mean()) for s in crops}
        return left_is_bright, {bool(s["inside"][0].all()) for s in salient}

    assert seen(True) == ({True}, {True, False})
    assert seen(False) == ({True, False}, {True})


@pytest.mark.parametrize("ratio, batch, counts", [((11, 5), 32, (22, 10)), ((9, 7), 16, (9, 7)), ((14, 2), 16, (14, 2)),
                                                  ((1, 1), 5, (2, 3))])  # fmt: skip
def test_shares_of_a_batch(ratio, batch, counts):
    assert SamplingParams(ratio=ratio).shares(batch) == counts


def test_every_batch_has_the_ratio_and_every_salient_picture_comes_once_an_epoch(drawn):
    ratio = FixedRatio(*parts(drawn), sampling=SamplingParams(ratio=(3, 1)), batch_size=8)
    assert len(ratio) == 6 and (ratio.crops_each, ratio.salient_each) == (6, 2)
    order = order_of(len(ratio), ratio.salient_each, 2, None, seed=3)
    found = list(batches(ratio, order, 0, ratio.collate, 0, torch.device("cpu")))
    assert len(found) == 2 * 3
    for names, batch in found:
        assert batch["salient"].tolist() == [0, 1]
        assert batch["picture"].shape == (8, 3, 32, 32) and "draw" not in batch and len(names) == 8
    epochs = [[name for names, _ in found[k : k + 3] for name in names[:2]] for k in (0, 3)]
    assert all(sorted(epoch) == sorted(ratio.salient.names) for epoch in epochs) and epochs[0] != epochs[1]
    resumed = list(batches(ratio, order, 4, ratio.collate, 0, torch.device("cpu")))
    assert all(torch.equal(a[1]["picture"], b[1]["picture"]) for a, b in zip(found[4:], resumed, strict=True))


def test_crops_do_not_repeat_in_a_batch_and_crowded_ones_are_rarer(drawn):
    view, _, salient, how = parts(drawn)
    crops = [Crop(k, (0, 0, 64, 64), k == 0) for k in range(8)]
    rare = FixedRatio(view, crops, salient, how, sampling=SamplingParams(ratio=(3, 1), crowded=0.25), batch_size=4)
    seen = [rare.collate([rare[(0, draw)]]) for draw in range(200)]
    names = [batch["name"][1:] for batch in seen]
    assert all(len(set(each)) == 3 for each in names)
    share = sum(view.names[0] in each for each in names) / len(names)
    assert 0.05 < share < 0.25  # an equal chance would give 3 of 8


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: SamplingParams(ratio=(3, 0)), "leaves one kind out"),
        (lambda: SamplingParams(ratio=(1, 15)).shares(8), "a batch of 8 cannot be 1:15"),
        (lambda: SampleParams(side=320, salient_side=288), "a cut would not fit"),
    ],
)
def test_impossible_mixtures_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
