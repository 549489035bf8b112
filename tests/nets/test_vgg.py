"""VGG-16 forms: sizes as Caffe rounds them, the layer plan, weights."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from weakseg.nets import vgg


@pytest.mark.parametrize(
    "form, sizes",
    [
        ("vgg16", [321, 161, 81, 41, 11]),
        ("lowres", [321, 161, 81, 41, 21]),
        ("highres", [321, 161, 81, 41, 41]),
        ("roi", [321, 161, 81, 41, 41]),
        ("deeplab", [321, 161, 81, 41, 41]),
    ],
)
def test_sizes_of_a_321_pixel_picture(form, sizes):
    with torch.device("meta"):
        trunk = vgg.build_vgg(form)
        maps = trunk(torch.zeros(1, 3, 321, 321))
    assert [list(each.shape) for each in maps] == [[1, c, s, s] for c, s in zip(vgg.CHANNELS, sizes, strict=True)]
    assert [-(-321 // stride) for stride in trunk.strides] == sizes


def test_the_plain_form_is_torchvisions(tmp_path):
    torch.manual_seed(0)
    theirs = torchvision.models.vgg16(weights=None).features
    save_file({f"features.{k}": v for k, v in theirs.state_dict().items()}, tmp_path / "vgg16.safetensors")
    ours = vgg.build_vgg("vgg16", str(tmp_path / "vgg16.safetensors"))
    picture = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(ours(picture)[-1], theirs((picture - ours.mean) / ours.std))


def test_layers_carry_their_names():
    layers = dict(vgg.build_vgg("deeplab").named_modules())
    assert layers["stages.4.conv5_3"].dilation == (2, 2)
    assert isinstance(layers["stages.4.pool5"], nn.MaxPool2d) and layers["stages.4.pool5"].stride == 1
    assert "stages.4.pool5" not in dict(vgg.build_vgg("highres").named_modules())


def test_mistakes_name_the_mend(tmp_path):
    with pytest.raises(ValueError, match="one of vgg16, lowres"):
        vgg.build_vgg("small")
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="1 convolutions where VGG-16 has 13"):
        vgg.build_vgg("vgg16", str(tmp_path / "other.safetensors"))
