"""What figures and lessons show of single boxes."""

import numpy as np
import pytest
import torch

from weakseg.nets.hrnet import build_hrnet
from weakseg.papers.boxcaseg import look
from weakseg.papers.boxcaseg.model import BoxCaseg
from weakseg.papers.boxcaseg.samples import SampleParams
from weakseg.papers.boxcaseg.stages import SegmenterParams
from weakseg.study.artifacts import save_instances, save_maps
from weakseg.study.stages import Artifact

HOW = SegmenterParams(backbone="tiny", weights=None, samples=SampleParams(side=32, salient_side=32, test_side=64))
BOX = np.array([20, 10, 44, 30])


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return BoxCaseg(build_hrnet("tiny")).eval()


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def test_a_training_crop_knows_where_its_box_is(image):
    for draw in range(8):
        crop = look.training_crop(image, BOX, 32, draw)
        x0, y0, x1, y1 = crop.box
        assert crop.colours.shape == (32, 32, 3) and crop.inside[y0:y1, x0:x1].all()
        assert crop.inside.sum() == (x1 - x0) * (y1 - y0)


def test_heads_are_read_at_the_side_of_the_test(net, image):
    colours = look.box_crop(image, BOX, HOW)
    said = look.chances(net, colours, HOW)
    assert list(said) == ["weak", "salient", "transferred", "fused"]
    assert all(values.shape == (64, 64) and 0 <= values.min() <= values.max() <= 1 for values in said.values())
    alone = look.chances(net, colours, HOW, alpha=1.0)
    np.testing.assert_allclose(alone["fused"], said["salient"], atol=1e-6)
    assert look.features(net, colours, HOW).shape == (16, 16)


def test_kernels_of_the_three_heads(net):
    found = look.kernels(net)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(
        ("weak", "salient", "transferred"), (120, 120)
    )
    assert all(values.max() == pytest.approx(1) for values in found.values())


def test_maps_lie_in_their_boxes(image):
    whole = look.laid_out(image, np.array([BOX, [0, 0, 4, 4]]), [np.full((8, 8), 0.5), np.full((8, 8), 0.25)])
    assert whole.shape == (48, 64) and whole[10:30, 20:44].min() == 0.5 and whole[0, 0] == 0.25 and whole[40, 0] == 0


def test_disputed_pixels_and_the_closest_pair(tmp_path):
    masks = np.zeros((3, 10, 10), bool)
    masks[0, :, :4], masks[1, :, 2:10], masks[2, 0, 0] = True, True, True
    corners = np.array([[0, 0, 4, 10], [2, 0, 10, 10], [0, 0, 1, 1]])
    for name, count in (("a", 3), ("b", 1), ("c", 0)):
        save_instances(tmp_path / "instances", name, masks[:count], np.zeros(count, int), np.ones(count))
        save_maps(tmp_path / "boxes", name, corners=corners[:count])
    made = Artifact(tmp_path, "")
    assert look.disputed(made, ["a", "b", "c"]) == {"a": pytest.approx(21.0), "b": 0.0}
    assert look.closest_pair(made, "a") == (1, 0) and look.closest_pair(made, "b") == (0, 0)
