"""Weights on disk."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from weakseg.study.checkpoint import load_model, save_model


def test_weights_travel_and_a_wrong_network_is_one_line(tmp_path):
    model, other = (nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16)) for _ in range(2))
    nn.init.constant_(model[0].weight, 2.0)
    save_model(model, tmp_path / "deep/model.safetensors")
    assert load_model(other, tmp_path / "deep/model.safetensors") is other and (other[0].weight == 2).all()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model.safetensors"]
    with pytest.raises(ValueError) as caught:
        load_model(nn.Sequential(nn.Linear(3, 3)), tmp_path / "deep/model.safetensors")
    said = str(caught.value)
    assert "\n" not in said and said.startswith(
        f"{tmp_path / 'deep/model.safetensors'}: not the weights of this Sequential"
    )
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        load_model(model, tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "deep/model.safetensors").read_bytes()[:50])
    with pytest.raises(ValueError, match="not the weights"):
        load_model(model, tmp_path / "torn.safetensors")


def test_weights_of_a_channels_last_network_are_written_in_the_plain_layout(tmp_path):
    model, other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    save_model(model, tmp_path / "plain")
    save_model(model.to(memory_format=torch.channels_last), tmp_path / "last")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "last").read_bytes()
    assert torch.equal(load_model(other, tmp_path / "last").weight, model.weight)


def test_a_layer_that_is_used_twice_is_written_once_and_always_as_the_same_bytes(tmp_path):
    model = nn.ModuleDict({name: nn.Linear(2, 2) for name in "abcdefgh"})
    for name in "bcdefgh":
        model[name] = model["a"]
    for copy in range(4):  # notes of what is the same would stand in another order each time
        save_model(model, tmp_path / f"{copy}.safetensors")
    assert len({(tmp_path / f"{copy}.safetensors").read_bytes() for copy in range(4)}) == 1
    assert list(load_file(tmp_path / "0.safetensors")) == ["a.bias", "a.weight"]
    other = nn.ModuleDict({name: nn.Linear(2, 2) for name in "ah"})
    other["h"] = other["a"]
    assert torch.equal(load_model(other, tmp_path / "0.safetensors")["h"].weight, model["h"].weight)
