"""Weights on disk."""

import pytest
import torch
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
