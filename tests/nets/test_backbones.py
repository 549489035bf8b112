"""Backbones: shapes, strides, frozen parts, weights from files."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from weakseg.nets import backbones

NAMES = ["tiny", "small", "resnet50", "resnet101", "mobilenet_v2", "vgg16"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_maps_have_the_promised_sizes(name, output_stride):
    net = backbones.build(name, output_stride=output_stride).eval()
    with torch.inference_mode():
        maps = net(torch.rand(1, 3, 64, 96))
    assert [m.shape[1] for m in maps] == list(net.channels)
    assert [(64 // m.shape[2], 96 // m.shape[3]) for m in maps] == [(s, s) for s in net.strides]
    assert net.strides[1] == (2 if name == "vgg16" else 4) and net.strides[-1] == output_stride


def test_full_stride_resnet_is_torchvisions():
    torch.manual_seed(0)
    reference = torchvision.models.resnet50(weights=None).eval()
    torch.manual_seed(0)
    net = backbones.build("resnet50", output_stride=32).eval()
    pictures = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        x = reference.maxpool(reference.relu(reference.bn1(reference.conv1((pictures - net.mean) / net.std))))
        x = reference.layer4(reference.layer3(reference.layer2(reference.layer1(x))))
        torch.testing.assert_close(net(pictures)[-1], x, rtol=1e-2, atol=1e-3)


def test_the_paper_uses_no_atrous_compensation_but_deeplab_may():
    plain, dilated = (backbones.build("resnet50", output_stride=8, dilated=d) for d in (False, True))
    kernels = {d: {m.dilation for m in net.stages[4].modules() if isinstance(m, torch.nn.Conv2d)}
               for d, net in (("plain", plain), ("dilated", dilated))}  # fmt: skip
    assert kernels == {"plain": {(1, 1)}, "dilated": {(1, 1), (4, 4)}}


def test_vgg16_is_dilated_where_conv5_lost_a_stride():
    with torch.device("meta"):
        nets = {(s, d): backbones.build("vgg16", output_stride=s, dilated=d) for s in (8, 16, 32) for d in (0, 1)}
    dilations = {key: net.stages[4].conv5_1.dilation[0] for key, net in nets.items()}
    assert dilations == {(8, 0): 1, (8, 1): 2, (16, 0): 1, (16, 1): 1, (32, 0): 1, (32, 1): 1}


def test_vgg16_starts_from_a_file_by_the_environments_folder(tmp_path, monkeypatch):
    state = torchvision.models.vgg16(weights=None).features.state_dict()
    save_file({f"features.{key}": value.half() for key, value in state.items()}, tmp_path / "vgg16.safetensors")
    monkeypatch.setenv("WEAKSEG_WEIGHTS", str(tmp_path))
    net = backbones.build("vgg16", weights="vgg16.safetensors", cut_after=2)
    torch.testing.assert_close(net.stages[4].conv5_3.weight, state["28.weight"].half().float())
    assert [stage.training for stage in net.train().stages] == [False, False, True, True, True]
    assert backbones.weights_input("vgg16.safetensors", "vgg16").path == tmp_path / "vgg16.safetensors"


@pytest.mark.parametrize(
    ("asked", "name", "weights", "kept"),
    [
        (None, "resnet50", None, "no"),
        (None, "resnet50", "torchvision", "statistics"),
        (True, "small", None, "statistics"),
        (None, "mobilenet_v2", "torchvision", "all"),
        (False, "mobilenet_v2", "torchvision", "no"),
        ("all", "small", None, "all"),
    ],
)  # fmt: skip
def test_which_norms_are_kept(asked, name, weights, kept):
    assert backbones.norm_kept(name, weights, asked) == kept


@pytest.mark.parametrize("frozen", ["no", "statistics", "all"])
def test_frozen_norm(frozen):
    net = backbones.build("tiny", output_stride=8, frozen_norm=frozen).train()
    before = [norm.running_mean.clone() for norm in net.norms()]
    net(torch.rand(2, 3, 32, 32))
    moved = any(not torch.equal(old, norm.running_mean) for old, norm in zip(before, net.norms(), strict=True))
    assert moved == (frozen == "no")
    assert all(norm.weight.requires_grad != (frozen == "all") for norm in net.norms())


def test_frozen_norms_of_mobilenet_are_folded_into_its_convolutions():
    torch.manual_seed(0)
    plain = backbones.build("mobilenet_v2", frozen_norm="statistics").eval()
    for norm in plain.norms():
        for values in (norm.weight.data, norm.running_var):
            values.uniform_(0.5, 2.0)
        for values in (norm.bias.data, norm.running_mean):
            values.normal_()
    quick = backbones.build("mobilenet_v2", frozen_norm="statistics")
    quick.load_state_dict(plain.state_dict())
    quick.stages = torch.nn.ModuleList(backbones.folded(stage) for stage in quick.stages)
    pictures = torch.rand(2, 3, 64, 64)
    for expected, found in zip(plain(pictures), quick.train()(pictures), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not quick.norms()
    net = backbones.build("mobilenet_v2", frozen_norm="all", cut_after=1)
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    assert not net.norms() and not any(name.endswith("bias") or name.startswith("stages.0.") for name in learning)
    assert {name for name, p in net.named_parameters() if p.ndim == 4} - learning == {
        name for name, _ in net.named_parameters() if name.startswith("stages.0.") and name.endswith("weight")
    }


def test_the_gradient_is_cut():
    net = backbones.build("tiny", output_stride=8, cut_after=3).train()
    net(torch.rand(2, 3, 32, 32))[-1].sum().backward()
    assert not any(p.requires_grad for p in net.stages[:3].parameters())
    assert all(p.grad is not None for p in net.stages[3:].parameters())


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_from_a_file_in_half_precision(tmp_path, monkeypatch, suffix):
    state = {
        k: v.half() if v.is_floating_point() else v for k, v in torchvision.models.mobilenet_v2().state_dict().items()
    }
    file = tmp_path / f"net.{suffix}"
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    monkeypatch.setenv("WEAKSEG_WEIGHTS", str(tmp_path))
    net = backbones.build("mobilenet_v2", weights=file.name)
    first = net.stages[0][0][0].weight
    assert first.dtype == torch.float32
    torch.testing.assert_close(first, state["features.0.0.weight"].float())
    assert net.frozen_norm == "all"
    assert backbones.weights_input(file.name, "mobilenet_v2").path == file


def test_a_file_that_lacks_a_layer_is_refused(tmp_path):
    state = torchvision.models.mobilenet_v2().state_dict()
    del state["classifier.1.bias"]
    save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(RuntimeError, match="classifier.1.bias"):
        backbones.build("mobilenet_v2", weights=str(tmp_path / "net.safetensors"))


def test_where_weights_come_from(tmp_path, monkeypatch):
    monkeypatch.delenv("WEAKSEG_WEIGHTS", raising=False)
    assert backbones.find_weights("torchvision", "resnet50") is None
    assert backbones.find_weights("net.safetensors", "mobilenet_v2") is None  # torchvision's own
    monkeypatch.setenv("WEAKSEG_WEIGHTS", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match="net.safetensors .mobilenet_v2. is not in .*; correct it or WEAKSEG_WEIGHTS"
    ):
        backbones.find_weights("net.safetensors", "mobilenet_v2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("resnet34",), "backbone: 'resnet34' is unknown"), (("tiny", {"output_stride": 4}), "output_stride: 4"),
     (("small", {"weights": "torchvision"}), "trained from scratch")],
)  # fmt: skip
def test_refusals(arguments, message):
    name, *rest = arguments
    with pytest.raises(ValueError, match=message):
        backbones.build(name, **(rest[0] if rest else {}))
