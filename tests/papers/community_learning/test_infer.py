"""Masks in detected boxes: equation 10 by hand, mirrored glances, no box at all."""

import torch

from weakseg.nets.roi_detector import DetectorParams
from weakseg.nets.roi_infer import RoiTestParams
from weakseg.ops.paste import pasted
from weakseg.papers.community_learning.img import ImgParams
from weakseg.papers.community_learning.infer import ensemble, mask_maps
from weakseg.papers.community_learning.model import SegParams, build_community

DETECTOR = DetectorParams(backbone="tiny", weights=None, cut_after=0, output_stride=8, pool=4, regressor="none")


def net():
    torch.manual_seed(0)
    return build_community(DETECTOR, ImgParams(size=6, channels=8), SegParams(channels=(8,)), 3).eval()


def test_equation_10():
    """Cells where M, S average to 0.35, 0.45, 0.5, 0.4; above 0.4 are the second and third."""
    m, s = torch.tensor([[[0.5, 0.9], [0.2, 0.4]]]), torch.tensor([[[0.2, 0.0], [0.8, 0.4]]])
    masks = pasted(ensemble(m, s).numpy(), torch.tensor([[0, 0, 2, 2]]).numpy(), (2, 2), 0.4)
    assert masks.tolist() == [[[False, True], [True, False]]]
    assert torch.equal(ensemble(m, None), m)


def test_maps_of_a_mirrored_picture_are_mirrored():
    """Read both ways, a picture and its mirror image give mirrored maps."""
    model, picture = net(), torch.rand(3, 64, 64)
    boxes, label = torch.tensor([[8.0, 8, 40, 48]]), torch.tensor([2])
    turned = torch.tensor([[24.0, 8, 56, 48]])
    both = RoiTestParams(short_sides=(48, 64), flip=True)
    with torch.no_grad():
        m, s = mask_maps(model, picture, boxes, label, both)
        m2, s2 = mask_maps(model, picture.flip(-1), turned, label, both)
    assert torch.allclose(m, m2.flip(-1), atol=1e-4) and torch.allclose(s, s2.flip(-1), atol=1e-4)
    assert 0 <= m.min() and m.max() <= 1 and 0 <= s.min() and s.max() <= 1


def test_no_box_gives_no_map():
    with torch.no_grad():
        m, s = mask_maps(net(), torch.rand(3, 64, 64), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long),
                         RoiTestParams(short_sides=None, flip=True))  # fmt: skip
    assert m.shape == s.shape == (0, 6, 6)
