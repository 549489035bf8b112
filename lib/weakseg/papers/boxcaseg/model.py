"""The joint network: one HRNet and three heads of the same form (BoxCaseg section 3.3, figure 4)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weakseg.nets import hrnet

WIDER = 4  # hidden units of the weight-transfer MLP, times the channels
LEAK = 0.1
MLP_STD, NEW_STD = 0.01, 0.001


@dataclass(frozen=True)
class Scores:
    """Logits at stride 4: weak (B, h, w) of every picture; salient and transferred (S, h, w) of those asked for."""

    weak: Tensor
    salient: Tensor
    transferred: Tensor


class Head(nn.Module):
    """1x1 convolution, batch norm, ReLU, 1x1 convolution to one channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        self.predict = nn.Conv2d(channels, 1, 1)
        for layer in (self.mix, self.predict):
            nn.init.normal_(layer.weight, std=NEW_STD)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, h, w)."""
        return self.predict(torch.relu(self.norm(self.mix(features)))).squeeze(1)


class WeightTransfer(nn.Module):
    """Maps the kernel and the bias of one layer of the weak head to those of the transferred head.

    Each output filter, a row of C numbers, goes through an MLP of its own: row' = A2 leaky(A1 row + a1) + a2. The bias
    goes through b' = k b + c with two scalars. What comes in is detached: the weak head learns nothing from here.
    """

    def __init__(self, channels: int):
        super().__init__()
        hidden = WIDER * channels
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.LeakyReLU(LEAK), nn.Linear(hidden, channels))
        for parameter in self.mlp.parameters():
            nn.init.normal_(parameter, std=MLP_STD)
        self.factor, self.shift = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def forward(self, layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """A 1x1 layer with kernel (F, C, 1, 1) and bias (F,) -> kernel and bias of the same shapes."""
        F, C, _, _ = layer.weight.shape
        kernel = self.mlp(layer.weight.detach().view(F, C)).view(F, C, 1, 1)  # (F, C, 1, 1)
        return kernel, self.factor * layer.bias.detach() + self.shift


class TransferredHead(nn.Module):
    """A head without convolutions of its own: they come from the weak head by weight transfer. It has its own norm."""

    def __init__(self, channels: int):
        super().__init__()
        self.mix, self.predict = WeightTransfer(channels), WeightTransfer(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor, weak: Head) -> Tensor:
        """features (B, C, h, w) and the head to learn from -> logits (B, h, w)."""
        hidden = torch.relu(self.norm(nn.functional.conv2d(features, *self.mix(weak.mix))))
        return nn.functional.conv2d(hidden, *self.predict(weak.predict)).squeeze(1)


class BoxCaseg(nn.Module):
    """The weak head sees every picture; the salient and the transferred head see those that are asked for."""

    def __init__(self, backbone: hrnet.HighResolutionNet):
        super().__init__()
        self.backbone = backbone
        self.weak, self.salient = Head(backbone.channels), Head(backbone.channels)
        self.transferred = TransferredHead(backbone.channels)

    def forward(self, pictures: Tensor, asked: Tensor | None = None) -> Scores:
        """Normalised pictures (B, 3, 4 h, 4 w), asked (S,): the places of those the last two heads see; None: all."""
        features = self.backbone(pictures)
        B, _, h, w = features.shape
        weak, some = self.weak(features), features if asked is None else features[asked]
        if not len(some):  # batch norm has no statistics of nothing
            return Scores(weak, weak.new_zeros(0, h, w), weak.new_zeros(0, h, w))
        return Scores(weak, self.salient(some), self.transferred(some, self.weak))
