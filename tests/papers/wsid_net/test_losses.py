"""Pairs teach both branches; counts teach the centroid branch, inside the salient region."""

import pytest
import torch

from weakseg.papers.wsid_net.losses import count_loss, wsid_loss
from weakseg.papers.wsid_net.params import CountParams, WsidParams

COUNT = CountParams(weak=0.8, batch_size=1)
WSID = WsidParams(backbone="tiny", weights=None, radius=3, crop=32, count=COUNT)


def batch():
    labels = torch.zeros(2, 32, 32, dtype=torch.uint8)
    labels[:, 8:24, 8:24] = 1
    region = torch.full((2, 32, 32), 255, dtype=torch.uint8)
    region[:, :28] = 0
    region[:, 8:24, 4:28] = 1
    pictures = torch.rand(2, 3, 32, 32)
    return {"picture": pictures, "labels": labels, "counted": pictures, "region": region, "count": torch.tensor([2, 3])}


class Fixed(torch.nn.Module):
    """Answers with parameters of its own, one field for each picture."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.logits, self.field = (torch.nn.Parameter(torch.randn(3, *size)) for size in ((8, 8), (2, 8, 8)))

    def forward(self, pictures):
        assert len(pictures) <= 3
        return self.logits[: len(pictures)], self.field[: len(pictures)]


def test_each_loss_has_its_own_part():
    net = Fixed()
    losses = wsid_loss(WSID, net, batch())
    assert losses["loss"].item() == pytest.approx(
        sum(v.item() for k, v in losses.items() if k not in ("loss", "subitizing"))
        + COUNT.weight * losses["subitizing"].item(),
        rel=1e-5,
    )
    losses["subitizing"].backward()
    assert net.logits.grad is None or not net.logits.grad.any()
    touched = net.field.grad.abs().sum(1) > 0
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[2:6, 1:7] = True
    assert not touched[:2].any() and touched[2].any() and not touched[2][~region].any()


def test_without_counts_only_pairs_are_shown():
    net = Fixed()
    losses = wsid_loss(WSID.model_copy(update={"count": None}), net, batch())
    assert "subitizing" not in losses
    losses["loss"].backward()
    assert not net.field.grad[2].any()


@pytest.mark.parametrize("surrogate", ["soft", "straight", "kmeans"])
def test_every_surrogate_can_be_asked_for(surrogate):
    field = torch.randn(2, 2, 8, 8, requires_grad=True)
    region = torch.zeros(2, 8, 8, dtype=torch.bool)
    region[:, 2:6, 2:6] = True
    with torch.autocast("cpu", torch.bfloat16):
        loss = count_loss(field, region, torch.tensor([1, 7]), COUNT.model_copy(update={"surrogate": surrogate}))
    assert loss.dtype == torch.float32 and loss.item() > 0
    loss.backward()
    assert not field.grad.abs().sum(1)[~region].any()
