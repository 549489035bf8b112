"""Boundary and centroid branch: what they are shown, their training, their fields."""

import functools
from pathlib import Path

import cv2
import numpy as np
import torch

from weakseg.data.salient_instances import PictureView, Source, open_salient, read_counts
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment, fields
from weakseg.nets.final import fit_final, trained
from weakseg.nets.relations import RelationSamples
from weakseg.nets.saliency import read_saliency
from weakseg.ops.cam import grid_size
from weakseg.papers.wsid_net.losses import wsid_loss
from weakseg.papers.wsid_net.model import build_wsid
from weakseg.papers.wsid_net.params import WsidParams
from weakseg.study.artifacts import save_maps
from weakseg.study.machine import autocast, device
from weakseg.study.stages import Artifact
from weakseg.study.train import save_model


class CountedPictures:
    """Pictures with the predicted salient region and a count. A picture is shown whole, since a cut would change its
    count: shrunk to the crop where it is larger, and padded."""

    def __init__(self, view: PictureView, saliency: Artifact, counts: dict[str, int], crop: int, salient: float):
        self.view, self.saliency, self.counts, self.crop, self.salient = view, saliency, counts, crop, salient
        missing = [name for name in view.names if name not in counts]
        if missing or not view.names:
            what = f"{missing[0]} has none" if missing else "there is no picture"
            raise ValueError(
                f"counts: {what}; L_SU needs a count for every picture of the set, or set wsid.count: null"
            )

    def sample(self, rng: np.random.Generator) -> dict:
        """counted (3, crop, crop), region uint8 (crop, crop) of 0, 1 and 255 outside, count."""
        index = int(rng.integers(len(self.view)))
        name, picture = self.view.names[index], self.view.image(index)
        H, W, _ = picture.shape
        region = (read_saliency(self.saliency, name) >= self.salient).astype(np.uint8)
        region = cv2.resize(region, (W, H), interpolation=cv2.INTER_NEAREST)
        picture, region = augment.rescale(picture, region, min(1, self.crop / max(H, W)))
        picture, region = augment.window(*augment.random_flip(picture, region, rng), self.crop, self.crop)
        picture = augment.to_bytes(picture)
        return {"counted": picture, "region": torch.from_numpy(region), "count": self.counts[name]}


class BranchSamples:
    """Pictures with confident areas; each brings a counted picture along, where there are any."""

    def __init__(self, pairs: RelationSamples, counted: CountedPictures | None):
        self.pairs, self.counted = pairs, counted

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        sample = self.pairs[key]
        if self.counted is None:
            return sample
        return {**sample, **self.counted.sample(np.random.default_rng([key[1], 1]))}


def train_branches(
    out: Path,
    *,
    pictures: Artifact,
    relation: Artifact,
    saliency: Artifact | None = None,
    counts: Artifact | None = None,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    source: Source,
    wsid: WsidParams,
    seed: int,
) -> None:
    """Stage: trains both branches on pairs of the confident areas and, unless wsid.count is null, on counts; measures
    the mean shift. Writes model.safetensors and log.csv.

    saliency, counts: of the counted pictures, needed with wsid.count. init: a run with the same backbone to start from.
    """
    torch.manual_seed(seed)
    model = build_wsid(wsid, str(weights.path) if weights else wsid.weights)
    seen = TagView(open_set(pictures, data, "trainaug"))
    counted = None
    if wsid.count is not None:
        if saliency is None or counts is None:
            raise ValueError("wsid.count: L_SU needs saliency and counts of the counted pictures; give them or null")
        view = PictureView(open_salient(pictures, data, source, "train"))
        counted = CountedPictures(view, saliency, read_counts(counts), wsid.crop, wsid.count.salient)
    samples = BranchSamples(RelationSamples(seen, relation, wsid.crop, wsid.scales), counted)
    loss, how = functools.partial(wsid_loss, wsid), wsid.training
    fit_final(out, model, model.backbone, samples, loss, how, init=init, seed=seed, title="two branches")
    if wsid.mean_shift:
        shown = TagView(open_set(pictures, data, "train"))
        model.mean_shift.copy_(fields.measure_shift(model, shown, wsid.crop, wsid.infer_batch_size))
        save_model(model, out / "model.safetensors")


def make_branch_fields(
    out: Path, *, model: Artifact, pictures: Artifact, data: DataParams, source: Source, split: str, wsid: WsidParams
) -> None:
    """Stage: one fields/<name>.npz per picture: boundary (h, w) and displacement (2, h, w), float16, stride 4."""
    view = PictureView(open_salient(pictures, data, source, split))
    net = trained(build_wsid(wsid), model)
    images = [view.image(index) for index in range(len(view))]
    framed = (fields.framed(image, wsid.crop) for image in images)
    for positions, batch in augment.same_size_batches(framed, wsid.infer_batch_size):
        with autocast(wsid.training.precision):
            found = [field.cpu().numpy() for field in fields.infer_fields(net, batch.to(device()))]
        for row, position in enumerate(positions):
            h, w = grid_size(images[position].shape[:2])
            boundary, displacement = (field[row, ..., :h, :w].astype(np.float16) for field in found)
            save_maps(out / "fields", view.names[position], boundary=boundary, displacement=displacement)
