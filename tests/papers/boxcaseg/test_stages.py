"""The stages on drawn pictures: training, proxies, merging, judging; what is shared, what is refused, what is seen."""

import numpy as np
import pytest

from weakseg.data.sets import open_set
from weakseg.data.voc import VocSet
from weakseg.metrics import abo, resample
from weakseg.nets.final import Optimisation
from weakseg.papers.boxcaseg import stages
from weakseg.papers.boxcaseg.losses import LossParams
from weakseg.papers.boxcaseg.samples import SampleParams, SamplingParams
from weakseg.papers.boxcaseg.stages import SegmenterParams
from weakseg.study.artifacts import load_instances, save_instances, save_maps
from weakseg.study.stages import Artifact

TINY = SegmenterParams(
    backbone="tiny", weights=None, samples=SampleParams(side=32, salient_side=36, test_side=32),
    sampling=SamplingParams(ratio=(3, 1)), training=Optimisation(steps=3, batch_size=8, lr=0.01),
)  # fmt: skip


@pytest.fixture(scope="module")
def model(drawn):
    store, pictures, data = drawn
    return store(stages.train_segmenter, pictures=pictures, weights=None, data=data, segmenter=TINY, seed=0)


@pytest.fixture(scope="module")
def proxies(drawn, model):
    store, pictures, data = drawn
    return store(stages.make_proxies, model=model, pictures=pictures, data=data, split="val", segmenter=TINY)


def test_one_mask_inside_each_box(drawn, proxies):
    _, pictures, data = drawn
    view = open_set(pictures, data, "val")
    for index, name in enumerate(view.names):
        masks, labels, _ = load_instances(proxies / "instances", name)
        corners = stages.read_boxes(proxies, name)
        assert labels.tolist() == [box.label for box in view.objects(index)] and len(masks) == len(corners)
        for mask, (x0, y0, x1, y1) in zip(masks, corners, strict=True):
            assert mask.sum() == mask[y0:y1, x0:x1].sum()


def test_merged_masks_share_no_pixel_and_carry_their_agreement(drawn, proxies):
    store, pictures, data = drawn
    common = {"proxies": proxies, "pictures": pictures, "data": data, "split": "val"}
    plain, together = (store(stages.finish_proxies, **common, merge=merge) for merge in (False, True))
    names = open_set(pictures, data, "val").names
    for name in names:
        masks, _, scores = load_instances(together / "instances", name)
        assert masks.sum(0).max(initial=0) <= 1 and ((scores >= 0) & (scores <= 1)).all()
        np.testing.assert_array_equal(
            load_instances(plain / "instances", name)[0], load_instances(proxies / "instances", name)[0]
        )
    rates = [stages.drop_rate(together, names, threshold) for threshold in (-1, 0.5, 0.95, 1)]
    assert rates == sorted(rates) and rates[0] == 0 and rates[-1] == 1


def test_judging_true_masks_gives_100(drawn, tmp_path):
    store, pictures, data = drawn
    view = open_set(pictures, data, "val")
    for index, name in enumerate(view.names):
        masks, labels = view.instances(index)
        save_instances(tmp_path / "instances", name, masks[::-1], labels[::-1], np.ones(len(labels)))
        boxes = np.array([(b.x0, b.y0, b.x1, b.y1) for b in view.objects(index)])
        save_maps(tmp_path / "boxes", name, corners=boxes[::-1].astype(int))
    judged = store(stages.judge_proxies, proxies=Artifact(tmp_path, "true"), pictures=pictures, data=data, split="val")
    evidence = resample.load(judged / "evidence.npz")
    assert resample.value(evidence, "mIoU*") == 100 and abo.share_above(evidence, 0.75) == 100


def test_reading_by_the_weak_head_or_by_another_alpha_trains_nothing(drawn, model, proxies):
    store, pictures, data = drawn
    common = {"model": model, "pictures": pictures, "data": data, "split": "val", "segmenter": TINY}
    keys = {proxies.key}
    for reading in ({"head": "weak"}, {"alpha": 0.0}, {"alpha": 1.0}):
        keys.add(store(stages.make_proxies, **common, **reading).key)
    assert len(keys) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": SamplingParams(ratio=None)},
        {"loss": LossParams(bags=False, alpha=1.0)},
        {"loss": LossParams(mix="probabilities", reduction="sum")},
        {"samples": TINY.samples.model_copy(update={"faithful": True}), "n_salient": 3},
    ],
)
def test_every_variant_trains(drawn, change, tmp_path):
    _, pictures, data = drawn
    variant = TINY.model_copy(update=change)
    stages.train_segmenter(tmp_path, pictures=pictures, weights=None, data=data, segmenter=variant, seed=0)
    assert (tmp_path / "model.safetensors").is_file()


def test_training_opens_boxes_and_no_mask_of_the_study(drawn, tmp_path, monkeypatch):
    """Salient masks are given; masks of the study's pictures are not opened, and without bags no box is either."""
    _, pictures, data = drawn

    def refuse(*_):
        raise AssertionError("a weakly supervised stage looked too far")

    monkeypatch.setattr(VocSet, "_mask", refuse)
    common = {"pictures": pictures, "data": data, "split": "trainaug", "segmenter": TINY}
    stages.train_segmenter(tmp_path, weights=None, **common, seed=0)
    stages.make_proxies(tmp_path / "proxies", model=Artifact(tmp_path, ""), **common)
    monkeypatch.setattr(VocSet, "objects", refuse)
    alone = TINY.model_copy(update={"loss": LossParams(bags=False)})
    stages.train_segmenter(tmp_path, pictures=pictures, weights=None, data=data, segmenter=alone, seed=0)


def test_the_same_seed_gives_the_same_bytes(drawn, model, tmp_path):
    _, pictures, data = drawn
    stages.train_segmenter(tmp_path, pictures=pictures, weights=None, data=data, segmenter=TINY, seed=0)
    assert (tmp_path / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_a_few_salient_pictures_are_a_part_of_more(drawn):
    _, pictures, _ = drawn
    few, more = (
        set(stages.salient_pictures(pictures.path, TINY.model_copy(update={"n_salient": n}), 0).names) for n in (3, 5)
    )
    assert len(few) == 3 and few < more
    with pytest.raises(ValueError, match="segmenter.n_salient: 99 wanted, but .* has 6"):
        stages.salient_pictures(pictures.path, TINY.model_copy(update={"n_salient": 99}), 0)
