"""PRM+D (Cholakkal et al., CVPR 2019): peaks with a density branch that learns counts, without classes in the end.

Kept: the peak branch of PRM on tags; a density map for each class whose sum is a count, mean squared error up to four
and a ranking loss above; one more convolution that merges the classes into one map, as WSID-Net adapts it; a density
term in the score of an instance; suppressed instances come back until the predicted count is met. Simplified: one
training in place of two stages, without the loss that ties density to peaks; counts are totals of a picture; region
grouping in place of MCG; the density term ranks instances but does not choose proposals.
"""

from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from weakseg.baselines.inputs import square
from weakseg.baselines.prm import RetrievalParams, TagSamples, retrieve, suppress
from weakseg.data.salient_instances import PictureView, Source, open_salient, read_counts
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment, backbones
from weakseg.nets.final import Optimisation, fit_final, trained
from weakseg.ops import peaks
from weakseg.ops.proposals import ProposalParams, region_masks
from weakseg.study.artifacts import save_instances
from weakseg.study.machine import device, parallel
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store

SUBITIZED = 4  # counts up to here are regressed; above, the density has only to say "more"
EMPTY = -5.0  # first density, before softplus: a map of 14 x 14 cells starts near a count of 1, not at 140


class PrmDParams(Group):
    """The network, its training, retrieval as in PRM, and the weight of the density in an instance's score."""

    backbone: backbones.Name = "resnet50"
    weights: str | None = "torchvision"
    output_stride: Literal[8, 16, 32] = 32
    side: int | None = Field(448, ge=32)
    window: Literal[3, 5, 7] = 3
    count_weight: float = Field(0.1, gt=0)
    density: float = Field(0.2, ge=0)
    training: Optimisation = Optimisation(batch_size=16, epochs=20, lr=0.01, backbone_lr=0.01)
    proposals: ProposalParams = ProposalParams()
    retrieval: RetrievalParams = RetrievalParams(peak_threshold=20.0)


class CountNet(nn.Module):
    """Peak and density maps of every class, each merged into one map by a 1x1 convolution."""

    def __init__(self, backbone: backbones.Backbone, classes: int):
        super().__init__()
        self.backbone = backbone
        self.peaks, self.density = (nn.Conv2d(backbone.channels[-1], classes, 1) for _ in range(2))
        self.merge_peaks, self.merge_density = nn.Conv2d(classes, 1, 1), nn.Conv2d(classes, 1, 1)
        nn.init.constant_(self.merge_density.bias, EMPTY)
        nn.init.constant_(self.merge_peaks.weight, 1 / classes)  # of random sign, its peaks may lie where nothing is

    def maps(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pictures (B, 3, H, W) in [0, 1] -> class maps (B, C, h, w), merged map (B, 1, h, w), density (B, 1, h, w),
        which is not negative."""
        features = self.backbone(pictures)[-1]
        classes = self.peaks(features)
        return classes, self.merge_peaks(classes), F.softplus(self.merge_density(self.density(features)))

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures -> merged map (B, 1, h, w), whose peaks are followed back."""
        return self.merge_peaks(self.peaks(self.backbone(pictures)[-1]))


def build_count_net(prm_d: PrmDParams, classes: int, weights: str | None = None) -> CountNet:
    """The network of `prm_d`; `weights` (a file or "torchvision") for its backbone, random ones without."""
    norm = backbones.norm_kept(prm_d.backbone, prm_d.weights, None)
    backbone = backbones.build(prm_d.backbone, weights=weights, output_stride=prm_d.output_stride, frozen_norm=norm)
    return CountNet(backbone, classes)


def density_loss(density: Tensor, counts: Tensor) -> Tensor:
    """Mean over pictures of (sum - t)^2 for counts t <= 4, and of max(0, 5 - sum) above. density: (B, 1, h, w)."""
    total = density.sum((1, 2, 3))
    few, many = (total - counts).square(), F.relu(SUBITIZED + 1 - total)
    return torch.where(counts <= SUBITIZED, few, many).mean()


def prm_d_loss(prm_d: PrmDParams, model: CountNet, batch: dict) -> dict[str, Tensor]:
    """Tags by the peaks of the class maps; something salient, and how many, by the merged maps."""
    classes, _, _ = model.maps(batch["picture"])
    _, merged, density = model.maps(batch["counted"])
    tags = F.multilabel_soft_margin_loss(peaks.stimulate(classes.float(), prm_d.window), batch["tags"])
    there = (batch["count"] > 0).float()[:, None]
    salient = F.binary_cross_entropy_with_logits(peaks.stimulate(merged.float(), prm_d.window), there)
    counted = density_loss(density.float(), batch["count"])
    return {"loss": tags + salient + prm_d.count_weight * counted, "tags": tags, "salient": salient, "counts": counted}


class CountSamples:
    """Tagged pictures, each with a counted one beside it, which is resized as they are."""

    def __init__(self, tagged: TagSamples, view: PictureView, counts: dict[str, int], side: int):
        self.tagged, self.view, self.counts, self.side = tagged, view, counts, side

    def __len__(self) -> int:
        return len(self.tagged)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        rng = np.random.default_rng([key[1], 1])
        index = int(rng.integers(len(self.view)))
        picture, _ = augment.random_flip(square(self.view.image(index), self.side), None, rng)
        counted = {"counted": augment.to_bytes(picture), "count": self.counts[self.view.names[index]]}
        return {**self.tagged[key], **counted}


def train_prm_d(
    out: Path,
    *,
    pictures: Artifact,
    counts: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    source: Source,
    prm_d: PrmDParams,
    seed: int,
) -> None:
    """Stage: trains on tags and counts; writes model.safetensors and log.csv.

    init: a run with the same backbone to start from; weights: the file that prm_d.weights names.
    """
    torch.manual_seed(seed)
    tagged = TagView(open_set(pictures, data, "trainaug"))
    view = PictureView(open_salient(pictures, data, source, "train"))
    model = build_count_net(prm_d, len(tagged.classes), str(weights.path) if weights else prm_d.weights)
    samples = CountSamples(TagSamples(tagged, prm_d.side), view, read_counts(counts), prm_d.side)
    loss = partial(prm_d_loss, prm_d)
    fit_final(out, model, model.backbone, samples, loss, prm_d.training, init=init, seed=seed, title="PRM+D")


def predict_prm_d(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    split: str,
    prm_d: PrmDParams,
) -> None:
    """Stage: instances/<name>.npz of every picture of the split."""
    view = PictureView(open_salient(pictures, data, source, split))
    net = trained(build_count_net(prm_d, len(open_set(pictures, data, "trainaug").classes)), model)
    twin = peaks.for_back_propagation(net)
    images = (square(view.image(index), prm_d.side) for index in range(len(view)))
    items = []
    for positions, batch in augment.same_size_batches(images, prm_d.training.batch_size):
        for position, found in zip(positions, respond(net, twin, batch.to(device()), prm_d), strict=True):
            items.append((view.names[position], view.image(position), *found))
    parallel(partial(_retrieve_picture, out / "instances", prm_d), items, title="PRM+D retrieval")


def respond(
    net: CountNet, twin: nn.Module, pictures: Tensor, prm_d: PrmDParams
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per picture of a batch: responses of its peaks (P, H, W), the merged map for each (P, h, w), density (h, w)."""
    r = prm_d.retrieval
    with torch.no_grad():
        _, merged, density = net.maps(pictures)
    any_score = -float("inf")  # everything salient is wanted
    found = peaks.list_peaks(merged, r.peak_threshold, r.relative, any_score, prm_d.window, r.max_peaks)
    responses = peaks.back_propagate(twin, pictures, found, prm_d.training.batch_size).cpu().numpy()
    maps, owner = merged[found.picture, found.label].cpu().numpy(), found.picture.cpu().numpy()
    densities = density[:, 0].cpu().numpy()
    return [(responses[owner == b], maps[owner == b], densities[b]) for b in range(len(pictures))]


def counted_instances(masks: np.ndarray, scores: np.ndarray, count: int, threshold: float) -> np.ndarray:
    """Places of the kept masks (n, H, W): non-maximum suppression, then the best suppressed ones that differ from all
    kept until `count` are there."""
    kept = suppress(masks, scores, threshold).tolist()
    for place in np.argsort(-scores, kind="stable"):
        if len(kept) >= count:
            break
        if not any((masks[place] == masks[other]).all() for other in kept):
            kept.append(int(place))
    return np.array(kept, dtype=np.int64)


def _retrieve_picture(folder: Path, prm_d: PrmDParams, item: tuple) -> None:
    name, image, responses, class_maps, density = item
    H, W, _ = image.shape
    masks = region_masks(image, prm_d.proposals)
    chosen, scores = retrieve(responses, class_maps, masks, prm_d.retrieval)
    masks = masks[chosen].reshape(len(chosen), H, W)
    share = cv2.resize(density, (W, H), interpolation=cv2.INTER_LINEAR)
    share = share / max(float(share.sum()), 1e-6)
    scores = scores + prm_d.density * (masks * share).sum((1, 2))
    kept = counted_instances(masks, scores, round(float(density.sum())), prm_d.retrieval.nms)
    save_instances(folder, name, masks[kept], np.zeros(len(kept), np.int64), scores[kept])


def instances(
    store: Store,
    *,
    pictures: Artifact,
    counts: Artifact,
    init: Artifact | None,
    data: DataParams,
    source: Source,
    prm_d: PrmDParams,
    split: str,
    seed: int,
) -> Artifact:
    """Training and prediction: an artifact with instances/ of the split."""
    shown, plain = {"pictures": pictures, "data": data, "source": source}, PrmDParams()
    after = {key: getattr(plain, key) for key in ("density", "proposals", "retrieval")}
    weights = backbones.weights_input(prm_d.weights, prm_d.backbone)
    learn = {"counts": counts, "init": init, "weights": weights, "prm_d": prm_d.model_copy(update=after), "seed": seed}
    return store(predict_prm_d, model=store(train_prm_d, **learn, **shown), prm_d=prm_d, split=split, **shown)
