"""SEC: cues by hand, and the stages on drawn pictures."""

import numpy as np
import pytest
import torch

from weakseg.baselines import sec
from weakseg.baselines.sec import CueParams, SecParams
from weakseg.data.sets import open_set
from weakseg.nets.classifier import ClassifierParams, build_classifier, train_classifier
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import Optimisation
from weakseg.study.artifacts import load_labels
from weakseg.study.samples import to_device
from weakseg.study.stages import Artifact, Store


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


def test_on_vgg_the_fourth_map_has_the_stride_of_conv4():
    """The paper's cues come from conv4, of stride 8; s4 is its last layer, and s3 is conv3 at stride 4."""
    torch.manual_seed(0)
    net = build_classifier(CLASSIFIER.model_copy(update={"backbone": "vgg16"}), 3).eval()
    pictures = torch.rand(1, 3, 64, 64)
    maps = net.backbone(pictures)
    assert [64 // each.shape[2] for each in maps] == [1, 2, 4, 8, 8]
    (slope,) = torch.autograd.grad(net.head(maps[4].mean((2, 3), keepdim=True)).sum(), maps[3])
    torch.testing.assert_close(sec.saliency(net, pictures, 4), slope.abs().amax(1))


SMALL = SecParams(
    net=DeeplabParams(backbone="tiny", head="largefov", channels=16, training=Optimisation(epochs=2, batch_size=4)),
    side=None,
)


def run(store, pictures, data):
    """The tiny classifier and, from it, SEC's label maps of the val pictures."""
    model = store(train_classifier, pictures=pictures, data=data, classifier=CLASSIFIER, seed=0)
    inputs = {"pictures": pictures, "model": model, "init": model, "data": data}
    return sec.label_maps(store, classifier=CLASSIFIER, sec=SMALL, split="val", seed=0, **inputs)


def test_the_constraint_sees_the_colours_of_a_picture_as_it_is_delivered():
    """One score leans the wrong way amid its colour: the CRF answers otherwise than on a picture of one grey."""
    scores = torch.zeros(1, 2, 8, 8)
    scores[0, 1, :, 4:], scores[0, 0, :, :4] = 1.0, 1.0
    scores[0, :, 3, 6] = torch.tensor([0.5, 0.0])
    halves = torch.full((1, 3, 64, 64), 30, dtype=torch.uint8)
    halves[..., 32:] = 220
    found = []
    for picture in halves, torch.full_like(halves, 125):
        batch = {"picture": picture, "cues": torch.zeros(1, 8, 8, dtype=torch.int64), "tags": torch.ones(1, 1)}
        found.append(sec.sec_loss(SMALL, lambda _: scores, to_device(batch, torch.device("cpu")))["constrain"].item())
    assert abs(found[0] - found[1]) > 0.05


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


class Planning(Store):
    """A store that computes nothing: it keeps the inputs of each stage and gives the artifact that would come."""

    def __call__(self, stage, /, **arguments):
        plan = self.plan(stage, **arguments)
        self.inputs = {**getattr(self, "inputs", {}), stage: plan["inputs"]}
        return Artifact(self.folder(plan), plan["key"])


def test_another_weights_file_of_the_same_name_is_another_training(drawn, tmp_path, monkeypatch):
    net, keys = SMALL.net.model_copy(update={"backbone": "mobilenet_v2", "weights": "net.safetensors"}), []
    for folder, size in (("old", 1), ("new", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.safetensors").write_bytes(bytes(size))
        monkeypatch.setenv("WEAKSEG_WEIGHTS", str(tmp_path / folder))
        keys.append(training_inputs(drawn, SMALL.model_copy(update={"net": net}))["weights"])
    assert keys[0] != keys[1]
    assert "weights" not in training_inputs(drawn, SMALL)


def training_inputs(drawn, params):
    """Keys of the inputs of SEC's training, by name."""
    store, pictures, data = drawn
    planning = Planning(store.root)
    start = {"pictures": pictures, "model": pictures, "init": None, "data": data}  # any artifact stands for the model
    sec.label_maps(planning, **start, classifier=CLASSIFIER, sec=params, split="val", seed=0)
    return planning.inputs[sec.train_sec]


def test_no_mask_is_opened(drawn, blind):
    _, pictures, data = drawn
    run(blind, pictures, data)
