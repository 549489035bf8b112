"""Mask R-CNN: torchvision's losses behind our batches, odd targets, and four pictures learned by heart."""

import numpy as np
import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from weakseg.data.sets import open_set
from weakseg.metrics.instance_ap import collect, mean_ap
from weakseg.nets.augment import to_tensor
from weakseg.nets.final import InstanceSet, Optimisation, boxes_of, collate_instances, load_backbone
from weakseg.nets.mask_rcnn import (
    DetectionParams,
    MaskRcnnParams,
    build_mask_rcnn,
    detect,
    detection_losses,
    final_instances,
    pseudo_instances,
    train_mask_rcnn,
)
from weakseg.study import train
from weakseg.study.artifacts import load_instances, save_instances
from weakseg.study.stages import Artifact

TINY = MaskRcnnParams(
    backbone="tiny", strides=(4, 8), anchors=(16, 24), pyramid_channels=32, mask_channels=(32,), box_features=64,
    proposals_before_nms=60, proposals=40, training=Optimisation(epochs=1, batch_size=4),
)  # fmt: skip


def as_set(scenes, flip=False, min_side=0.0):
    names = [f"p{k}" for k in range(len(scenes))]
    return InstanceSet(names, lambda i: scenes[i][0], lambda i: scenes[i][1:], min_side, flip)


def test_boxes_by_hand():
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 2:4, 1:7] = masks[1, 5, 7] = True
    assert boxes_of(masks).tolist() == [[1, 2, 7, 4], [7, 5, 8, 6], [0, 0, 0, 0]]
    assert boxes_of(masks[:0]).shape == (0, 4)


def test_losses_are_torchvisions(scenes):
    """With torchvision's own RoIAlign and lists of pictures of two sizes, the five losses are the same."""
    small = tuple(part[..., :48, :] if part.ndim == 3 and part.dtype == bool else part for part in scenes[0][1:])
    pictures = [(scenes[0][0][:48], *small), scenes[1]]
    samples = [as_set(pictures)[(i, 0)] for i in range(2)]
    model = build_mask_rcnn(TINY, 2).train()
    torch.manual_seed(3)
    ours = detection_losses(model, collate_instances(samples))
    for name, size in (("box_roi_pool", 7), ("mask_roi_pool", 14)):
        setattr(model.roi_heads, name, MultiScaleRoIAlign(["0", "1"], size, 2, canonical_scale=TINY.roi_scale))
    torch.manual_seed(3)
    theirs = model([s["picture"] for s in samples], [{k: s[k] for k in ("boxes", "labels", "masks")} for s in samples])
    assert set(ours) == {"loss", *theirs}
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours["loss"], sum(theirs.values()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("empty", [1, 2])
def test_pictures_without_instances(scenes, empty):
    bare = [(image, masks[:0], labels[:0]) for image, masks, labels in scenes[:empty]]
    pictures = as_set([*bare, *scenes[empty:2]])
    model = build_mask_rcnn(TINY, 2).train()
    losses = detection_losses(model, collate_instances([pictures[(i, 0)] for i in range(2)]))
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert (losses["loss_mask"] == 0) == (empty == 2)


def test_flip_mirrors_picture_boxes_and_masks(scenes):
    pictures = as_set(scenes, flip=True)
    plain = as_set(scenes)[(0, 0)]
    samples = [pictures[(0, draw)] for draw in range(8)]
    mirrored = [s for s in samples if not torch.equal(s["picture"], plain["picture"])]
    assert 0 < len(mirrored) < 8
    for s in mirrored:
        assert torch.equal(s["picture"].flip(2), plain["picture"]) and torch.equal(s["masks"].flip(2), plain["masks"])
        x0, y0, x1, y1 = s["boxes"].T
        assert torch.equal(torch.stack([64 - x1, y0, 64 - x0, y1], 1), plain["boxes"])


def test_small_and_doubtful_instances_are_dropped(scenes, tmp_path):
    image, masks, _ = scenes[0]
    speck = np.zeros_like(masks[:1])
    speck[0, :3, :3] = True
    save_instances(
        tmp_path / "instances", "p0", np.concatenate([masks, speck]), np.array([0, 1, 1]), np.array([0.9, 0.2, 1])
    )
    read = pseudo_instances(Artifact(tmp_path, ""), ["p0"], 0.5)
    assert read(0)[1].tolist() == [0, 1] and np.array_equal(read(0)[0], np.concatenate([masks[:1], speck]))
    assert InstanceSet(["p0"], lambda i: image, read, 4.0, False)[(0, 0)]["labels"].tolist() == [1]


def test_masks_of_another_size_are_refused(scenes):
    image, masks, labels = scenes[0]
    with pytest.raises(ValueError, match=r"p0: masks of \(32, 64\) for a picture of \(64, 64\)"):
        as_set([(image, masks[:, :32], labels)])[(0, 0)]


def test_four_pictures_learned_by_heart(scenes, others, tmp_path):
    torch.manual_seed(0)
    model = build_mask_rcnn(TINY, 2)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    log = train.fit(model, as_set(scenes), detection_losses, optimiser, out=tmp_path, seed=0, steps=90, batch_size=4,
                    collate=collate_instances, clip=5.0)  # fmt: skip
    assert log["loss"].iloc[-1] < 0.4 * log["loss"].iloc[0]
    found = detect(model.eval(), torch.stack([to_tensor(image) for image, *_ in scenes]), 0.5)
    rows = [(f"p{k}", found[k], scenes[k][1:]) for k in range(4)]
    evidence = collect(rows, 2, thresholds=(0.5, 0.7))
    assert mean_ap(evidence, 0.5) == 100 and mean_ap(evidence, 0.7) > 60
    wrong = [(f"p{k}", found[k], others[k][1:]) for k in range(4)]
    assert mean_ap(collect(wrong, 2, thresholds=(0.5,)), 0.5) < 60  # the same detections on other pictures' truth


def test_resized_pictures_give_masks_of_the_picture(scenes):
    params = TINY.model_copy(update={"short_side": 32, "long_side": 64})
    model = build_mask_rcnn(params, 2).eval()
    model.roi_heads.score_thresh = 0.0
    images, _ = model.transform([torch.rand(3, 64, 96)])
    assert images.image_sizes == [(32, 48)]
    (masks, labels, scores), = detect(model, torch.rand(1, 3, 64, 96), 0.5)  # fmt: skip
    assert masks.shape[1:] == (64, 96) and masks.dtype == bool and len(masks) == len(labels) == len(scores) > 0
    same, _ = build_mask_rcnn(TINY, 2).transform([torch.ones(3, 64, 96)])
    assert torch.equal(same.tensors, torch.ones(1, 3, 64, 96))


def test_stages_on_drawn_pictures(drawn):
    store, pictures, data = drawn
    found = final_instances(store, pictures=pictures, labels=None, data=data, mask_rcnn=TINY, split="val", seed=0)
    view = open_set(pictures, data, "val")
    for index, name in enumerate(view.names):
        masks, labels, scores = load_instances(found / "instances", name)
        assert masks.shape[1:] == view.image(index).shape[:2] and set(labels.tolist()) <= {0, 1, 2}
        assert ((scores >= TINY.test.score) & (scores <= 1)).all()


def test_test_settings_do_not_retrain(drawn):
    store, pictures, data = drawn
    plans = []

    def planning(stage, **arguments):
        plans.append(store.plan(stage, **arguments)["key"])
        return Artifact(pictures.path, plans[-1])

    for params in (TINY, TINY.model_copy(update={"test": DetectionParams(nms=0.3)})):
        final_instances(planning, pictures=pictures, labels=None, data=data, mask_rcnn=params, split="val", seed=0)
    (train_a, predict_a), (train_b, predict_b) = plans[:2], plans[2:]
    assert train_a == train_b and predict_a != predict_b


def test_pseudo_labels_equal_to_the_truth_train_the_same_network(drawn, tmp_path):
    store, pictures, data = drawn
    view = open_set(pictures, data, "trainaug")
    for index, name in enumerate(view.names):
        masks, labels = view.instances(index)
        save_instances(tmp_path / "instances", name, masks, labels, np.ones(len(labels)))
    for folder, labels in (("weak", Artifact(tmp_path, "x")), ("full", None)):
        (tmp_path / folder).mkdir()
        train_mask_rcnn(tmp_path / folder, pictures=pictures, labels=labels, data=data, mask_rcnn=TINY, seed=1)
    assert (tmp_path / "weak/model.safetensors").read_bytes() == (tmp_path / "full/model.safetensors").read_bytes()


def test_backbone_started_from_another_network(tmp_path):
    donor, model = build_mask_rcnn(TINY, 2).backbone, build_mask_rcnn(TINY, 5)
    train.save_model(donor, tmp_path / "model.safetensors")
    load_backbone(model.backbone.backbone, tmp_path / "model.safetensors")
    for ours, theirs in zip(model.backbone.backbone.parameters(), donor.backbone.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    other = build_mask_rcnn(TINY.model_copy(update={"backbone": "small"}), 2)
    with pytest.raises(ValueError, match="name the same backbone in both"):
        load_backbone(other.backbone.backbone, tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"anchors": (16,)}, "one side per pyramid level"),
        ({"training": {"lr": 0.1}}, "exactly one of epochs and steps"),
    ],
)
def test_impossible_settings_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        MaskRcnnParams(**wrong)


def test_learning_rate_factors():
    steps = Optimisation(steps=18000, schedule="steps", drops=(12 / 18, 16 / 18), warmup=0.1)
    assert [round(steps.lr_at(p), 4) for p in (0.05, 0.5, 0.7, 0.95)] == [0.51, 1, 0.1, 0.01]
    assert Optimisation(epochs=1).lr_at(0.5) == pytest.approx(0.5**0.9)
    assert Optimisation(epochs=50, until=0.25).lr_at(0.999) == pytest.approx(0.75**0.9, rel=1e-3)
    assert Optimisation(epochs=1, schedule="cosine").lr_at(0.5) == pytest.approx(0.5)
