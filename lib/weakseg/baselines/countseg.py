"""Object counts beside tags (Cholakkal et al., CVPR 2019): a density branch says how many peaks of a class to follow.

Simplified: counts above `most` teach "at least so many" and nothing finer, as in the paper, but the density enters the
choice of proposals by the number of peaks alone, not by a penalty on each proposal's density; both branches share all
of the backbone and are trained together from the start; proposals are selective search and grouped regions in place of
MCG.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from weakseg.baselines import prm as peak_response
from weakseg.baselines.inputs import square
from weakseg.baselines.prm import PeakNet, PrmParams, RetrievalParams
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import CountView, TagView
from weakseg.nets import augment
from weakseg.nets.backbones import weights_input
from weakseg.nets.final import load_backbone, trained
from weakseg.ops import peaks
from weakseg.ops.peaks import Peaks
from weakseg.ops.proposals import ProposalParams, load_proposals, propose
from weakseg.study import train
from weakseg.study.artifacts import save_instances
from weakseg.study.machine import device
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class CountSegParams(Group):
    """prm: the class maps, proposals and retrieval, where peak_threshold and max_peaks do not count.

    most: the largest count that is told exactly (people see up to four at a glance). spatial, counting: weights of the
    density's two losses.
    """

    prm: PrmParams = PrmParams()
    most: int = Field(4, ge=1)
    spatial: float = Field(1.0, ge=0)
    counting: float = Field(0.1, ge=0)


class CountNet(PeakNet):
    """Class maps as PRM's, and a density map of every class whose sum is the count."""

    def __init__(self, backbone, classes: int):
        super().__init__(backbone, classes)
        self.density = nn.Conv2d(backbone.channels[-1], classes, 1)

    def both(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """pictures (B, 3, H, W) -> class maps and density maps, (B, C, h, w) each.

        The density is divided by the number of cells: without that, a count of 1,000 cells starts 90 off, and its
        gradient breaks the features before the tags are learned.
        """
        features = self.backbone(pictures)[-1]
        _, _, h, w = features.shape
        return self.head(features), self.density(features) / (h * w)


def build_countseg(params: PrmParams, classes: int, weights: str | None = None) -> CountNet:
    """The network on the backbone of `params`."""
    return CountNet(peak_response.build_prm(params, classes, weights).backbone, classes)


class CountSamples(peak_response.TagSamples):
    """Pictures with tags and counts for `fit`."""

    def __getitem__(self, key: tuple[int, int]) -> dict:
        return {**super().__getitem__(key), "count": torch.as_tensor(self.view.count(key[0]))}


def strongest(maps: Tensor, count: Tensor, window: int = 3) -> Tensor:
    """bool (B, C, h, w): the `count` (B, C) highest peaks of every class map; fewer where it has fewer."""
    B, C, h, w = maps.shape
    heights = maps.masked_fill(~peaks.find_peaks(maps, window), -torch.inf).flatten(2)  # (B, C, h * w)
    rank = heights.argsort(dim=2, descending=True, stable=True).argsort(dim=2)
    return ((rank < count[..., None]) & heights.isfinite()).view(B, C, h, w)


def density_losses(density: Tensor, maps: Tensor, count: Tensor, most: int, window: int = 3) -> dict[str, Tensor]:
    """What counts say of density maps (B, C, h, w):

    spatial   cross entropy of sigmoid(h w D): 1 at the `count` highest peaks of a present class (mean over these
              peaks), 0 anywhere in an absent one (mean over its cells)
    counting  (sum of D - count)^2, or max(0, most + 1 - sum of D)^2 where there are more than `most`, mean over
              all classes
    """
    present = count > 0
    points = strongest(maps.detach(), count.clamp(max=most), window) & present[..., None, None]
    logits = density * density[0, 0].numel()
    at_points = F.softplus(-logits)[points].sum() / points.sum().clamp(min=1)
    elsewhere = F.softplus(logits)[~present]
    spatial = at_points + elsewhere.sum() / max(1, elsewhere.numel())
    total = density.sum((2, 3))
    short = torch.where(count > most, (most + 1 - total).clamp(min=0), total - count)
    return {"spatial": spatial, "counting": short.square().mean()}


def count_loss(params: CountSegParams, model: CountNet, batch: dict) -> dict[str, Tensor]:
    """PRM's loss on the class maps plus the weighted losses of the density."""
    maps, density = (each.float() for each in model.both(batch["picture"]))
    tags = F.multilabel_soft_margin_loss(peaks.stimulate(maps, params.prm.window), batch["tags"])
    terms = density_losses(density, maps, batch["count"], params.most, params.prm.window)
    return {"loss": tags + params.spatial * terms["spatial"] + params.counting * terms["counting"], **terms}


def train_countseg(
    out: Path,
    *,
    pictures: Artifact,
    weights: Artifact | None = None,
    init: Artifact | None = None,
    data: DataParams,
    countseg: CountSegParams,
    seed: int,
) -> None:
    """Stage: trains on tags and counts; writes model.safetensors and log.csv.

    weights: the file that prm.weights names. init: a run whose model.safetensors holds the same backbone.
    """
    torch.manual_seed(seed)
    view, how = CountView(open_set(pictures, data, "trainaug")), countseg.prm
    model = build_countseg(how, len(view.classes), str(weights.path) if weights else how.weights)
    if init is not None:
        load_backbone(model.backbone, init / "model.safetensors")
    groups = [
        {"params": [p for p in model.backbone.parameters() if p.requires_grad], "lr": how.lr * how.backbone_lr_factor},
        {"params": [*model.head.parameters(), *model.density.parameters()], "lr": how.lr},
    ]
    fit = {"epochs": how.epochs, "batch_size": how.batch_size, "precision": how.precision}
    by = torch.optim.SGD(groups, momentum=how.momentum, weight_decay=how.weight_decay)
    loss = partial(count_loss, countseg)
    train.fit(
        model.to(device()),
        CountSamples(view, how.side),
        loss,
        by,
        out=out,
        seed=seed,
        title="CountSeg",
        clip=10.0,
        **fit,
    )
    train.save_model(model, out / "model.safetensors")


def counted_peaks(maps: Tensor, density: Tensor, params: PrmParams) -> Peaks:
    """As many peaks of every class as its density counts, if its score reaches `class_threshold`; by picture."""
    present = peaks.stimulate(maps, params.window) >= params.retrieval.class_threshold
    count = density.sum((2, 3)).round().clamp(min=0).long() * present
    picture, label, y, x = strongest(maps, count, params.window).nonzero(as_tuple=True)
    return Peaks(picture, label, y, x, maps[picture, label, y, x])


def predict_countseg(
    out: Path,
    *,
    model: Artifact,
    proposals: Artifact,
    pictures: Artifact,
    data: DataParams,
    countseg: CountSegParams,
    split: str,
) -> None:
    """Stage: writes instances/<name>.npz for every picture of the split; no tag and no count is read."""
    view, how = TagView(open_set(pictures, data, split)), countseg.prm
    net = trained(build_countseg(how, len(view.classes)), model)
    twin = peaks.for_back_propagation(net)
    for index, name in enumerate(view.names):
        picture = augment.to_tensor(square(view.image(index), how.side))[None].to(device())
        with torch.no_grad():
            maps, density = (each.float() for each in net.both(picture))
        found = counted_peaks(maps, density, how)
        responses = peaks.back_propagate(twin, picture, found, how.batch_size).cpu().numpy()
        masks, labels = load_proposals(proposals, name), found.label.cpu().numpy()
        seen = responses, maps[0, found.label].cpu().numpy(), masks
        chosen, scores = peak_response.retrieve(*seen, how.retrieval)
        kept = peak_response.suppress(masks[chosen], scores, how.retrieval.nms)
        save_instances(out / "instances", name, masks[chosen][kept], labels[: len(chosen)][kept], scores[kept])


def instances(
    store: Store,
    *,
    pictures: Artifact,
    init: Artifact | None,
    data: DataParams,
    countseg: CountSegParams,
    split: str,
    seed: int,
) -> Artifact:
    """Training, proposals and prediction: an artifact with instances/ of the split."""
    prm = countseg.prm
    untuned = prm.model_copy(update={"proposals": ProposalParams(), "retrieval": RetrievalParams()})
    learning = countseg.model_copy(update={"prm": untuned})
    common = {"pictures": pictures, "data": data}
    weights = weights_input(prm.weights, prm.backbone)
    model = store(train_countseg, weights=weights, init=init, countseg=learning, seed=seed, **common)
    proposals = store(propose, split=split, proposals=prm.proposals, **common)
    return store(predict_countseg, model=model, proposals=proposals, countseg=countseg, split=split, **common)
