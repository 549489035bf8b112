"""From heat and saliency to guide labels: seeds, the CRF on them, component scores, the stages, the table's columns."""

import re

import numpy as np
import pytest
import torch

from weakseg.data.sets import open_set
from weakseg.data.weak import TagView
from weakseg.metrics import resample
from weakseg.ops.crf import CrfParams
from weakseg.papers.guided_labelling import guiding, seeding
from weakseg.papers.guided_labelling.guides import GuideParams
from weakseg.papers.guided_labelling.guiding import Sources
from weakseg.papers.guided_labelling.seeders import Heat
from weakseg.study.artifacts import load_labels, save_maps

CRF = CrfParams(bilateral_weight=4.0, bilateral_xy=20.0, iterations=2)


def test_seeds_are_the_hottest_class_above_the_threshold():
    heat = Heat(np.array([0, 4]), np.array([[[1.0, 0.3, 0.1, 0.2]], [[0.5, 0.6, 0.15, -1.0]]], np.float32))
    assert guiding.seed_labels(heat, 0.2).tolist() == [[1, 5, 0, 1]]


def test_crf_seed_without_neighbours_keeps_the_seeds():
    rng = np.random.default_rng(0)
    heat = Heat(np.array([1, 2]), rng.uniform(-0.2, 1, (2, 12, 10)).astype(np.float32))
    image = rng.integers(0, 255, (12, 10, 3), np.uint8)
    off = CRF.model_copy(update={"bilateral_weight": 0.0, "gaussian_weight": 0.0})
    np.testing.assert_array_equal(guiding.refined_seeds(image, heat, 0.2, off), guiding.seed_labels(heat, 0.2))


def test_crf_seed_moves_the_border_to_the_edge_of_the_picture():
    image = np.full((16, 16, 3), 40, np.uint8)
    image[:, 8:] = 215
    maps = np.zeros((1, 16, 16), np.float32)
    maps[:, :, 8:] = 0.15  # under the threshold
    maps[:, 4:12, 10:] = 1.0
    refined = guiding.refined_seeds(image, Heat(np.array([2]), maps), 0.2, CRF)
    assert (refined[:, 8:] == 3).mean() > 0.9 and (refined[:, :8] == 0).all()


def test_components_are_scored_alone_on_black():
    """The net sums the picture; of two bright squares each scores its own share."""

    class Sums(torch.nn.Module):
        def forward(self, pictures):
            return pictures.sum((2, 3))

    picture = np.zeros((8, 8, 3), np.uint8)
    picture[1:3, 1:3] = 255
    picture[5:8, 5:8] = (0, 255, 0)
    regions = np.zeros((8, 8), int)
    regions[0:4, 0:4], regions[4:, 4:] = 1, 2
    scores = guiding.region_scores(Sums(), picture, regions, None)
    np.testing.assert_allclose(scores, [[4, 13, 4], [4, 4, 4], [0, 9, 0]])


def test_label_evidence_by_hand():
    """Truth 0 0 1 1 2 void; labels 0 ? 1 2 2 1. Class 1: P 1/1, R 1/2; class 2: P 1/2, R 1/1; background P 1, R 1/2."""
    truth = np.array([[0, 0, 1, 1, 2, 255]], np.uint8)
    labels = np.array([[0, 255, 1, 2, 2, 1]], np.uint8)
    evidence = guiding.label_evidence([("a", labels, truth)], 2)
    assert [resample.value(evidence, name) for name in ("FgP", "FgR", "BgP", "BgR")] == [75, 75, 100, 50]


def test_every_rule_says_what_it_needs():
    for name, needs in guiding.NEEDS.items():
        with pytest.raises(ValueError, match=f"^guide {name}: needs {needs[0]}; give it$"):
            Sources(name, None, None, None, GuideParams(), 0.5, None, 0)


@pytest.fixture(scope="module")
def sources(drawn, small_seeder):
    """heat, saliency and scores of the training pictures: heat of two nets, saliency drawn by hand."""
    store, pictures, data = drawn
    common = {"pictures": pictures, "data": data}
    nets = {
        form: store(seeding.train_seeder, **common, form=form, seeder=small_seeder, seed=0)
        for form in ("highres", "vgg16")
    }
    common["split"] = "trainaug"
    heat = store(seeding.make_heat, model=nets["highres"], **common, name="gap_highres", seeder=small_seeder)
    saliency = store(true_saliency, pictures=pictures, data=data)
    scores = store(
        guiding.score_components,
        model=nets["vgg16"],
        saliency=saliency,
        **common,
        seeder=small_seeder,
        level=0.5,
        smallest=0.01,
    )
    return {"heat": heat, "saliency": saliency, "scores": scores}


def true_saliency(out, *, pictures, data):
    """Stage of the test: the true objects as saliency."""
    opened = open_set(pictures, data, "trainaug")
    for index, name in enumerate(opened.names):
        truth = opened.semantic(index)
        save_maps(out / "saliency", name, saliency=(255 * ((truth > 0) & (truth < 255))).astype(np.uint8))


@pytest.mark.parametrize("name", ["seeds", "g0", "g1", "g2", "oracle"])
def test_stages_on_drawn_pictures(drawn, sources, name):
    store, pictures, data = drawn
    needed = {what: sources[what] for what in guiding.NEEDS[name]}
    common = {"pictures": pictures, "data": data, "split": "trainaug"}
    labels = store(guiding.make_guides, **common, **needed, name=name, guide=GuideParams(), seed=1)
    view = open_set(pictures, data, "trainaug")
    for index, picture in enumerate(view.names):
        tagged = {box.label + 1 for box in view.objects(index)}
        found = load_labels(labels / "semantic", picture)
        assert found.shape == view.image(index).shape[:2] and set(np.unique(found)) <= {0, 255} | tagged
    judged = store(guiding.judge_guides, labels=labels, **common)
    evidence = resample.load(judged / "evidence.npz")
    if name in ("g0", "g1"):  # true saliency: all ground is found, all labels lie on objects
        assert resample.value(evidence, "BgP") == resample.value(evidence, "BgR") == 100
        assert resample.value(evidence, "FgR") > 30


def test_the_oracle_equals_g2_with_true_saliency(drawn, sources):
    store, pictures, data = drawn
    common = {"pictures": pictures, "data": data, "split": "trainaug", "heat": sources["heat"], "guide": GuideParams()}
    oracle = store(guiding.make_guides, **common, name="oracle")
    g2 = store(guiding.make_guides, **common, saliency=sources["saliency"], name="g2")
    for name in open_set(pictures, data, "trainaug").names:
        both = (load_labels(each / "semantic", name) for each in (oracle, g2))
        np.testing.assert_array_equal(*both)


def test_guides_without_any_class_say_so(drawn, sources, capfd):
    store, pictures, data = drawn
    common = {"pictures": pictures, "data": data, "split": "trainaug", "heat": sources["heat"], "name": "seeds"}
    store(guiding.make_guides, **common, guide=GuideParams(threshold=0.2))
    assert "no pixel" not in capfd.readouterr().out
    dead = store(no_heat, pictures=pictures, data=data)
    store(guiding.make_guides, **{**common, "heat": dead}, guide=GuideParams())
    said = capfd.readouterr().out
    assert re.search(r"^guides, seeds: no pixel of \d+ pictures has a class, .* lower guides.threshold$", said, re.M)


def no_heat(out, *, pictures, data):
    """Stage of the test: heat of a classifier that learned nothing."""
    opened = open_set(pictures, data, "trainaug")
    for index, name in enumerate(opened.names):
        classes = np.flatnonzero(TagView(opened).tags(index))
        geometry = np.array([*opened.image(index).shape[:2], 0])
        save_maps(out / "heat", name, classes=classes, maps=np.zeros((len(classes), 4, 4)), geometry=geometry)


def test_a_saliency_map_of_another_size_names_the_picture(drawn, sources, tmp_path):
    _, pictures, data = drawn
    name = open_set(pictures, data, "trainaug").names[0]
    save_maps(tmp_path / "saliency", name, saliency=np.zeros((8, 8), np.uint8))

    wrong = Sources("g2", sources["heat"], Wrong(tmp_path), None, GuideParams(), 0.5, None, 0)
    with pytest.raises(ValueError, match=rf"^{name}: picture .* saliency \(8, 8\): sizes differ"):
        guiding._write_guide(tmp_path, open_set(pictures, data, "trainaug"), wrong, 0)


class Wrong:
    """A folder of saliency maps."""

    def __init__(self, path):
        self.path = path

    def __truediv__(self, name):
        return self.path / name
