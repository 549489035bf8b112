"""The stages of deep community learning: end-to-end training on tags, detection, masks."""

import json
from functools import partial
from pathlib import Path

import torch
from pydantic import PositiveInt

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets.final import Optimisation, fit_final, trained
from weakseg.nets.proposal_samples import ProposalSamples, collate_proposals
from weakseg.nets.roi_detector import DetectorParams, start_of
from weakseg.nets.roi_infer import RoiTestParams, detect_all
from weakseg.papers.community_learning.img import ImgParams
from weakseg.papers.community_learning.infer import mask_all
from weakseg.papers.community_learning.losses import LossWeights, SelectionParams, community_losses
from weakseg.papers.community_learning.model import CommunityNet, SegParams, build_community, start_from
from weakseg.study.params import Group
from weakseg.study.stages import Artifact

PAPER_TRAINING = Optimisation(
    steps=120_000, batch_size=2, lr=0.001, weight_decay=5e-4, schedule="steps", drops=(0.75,), clip=10.0
)


class TrainingParams(Group):
    """short_sides: of the pictures, one at random each time; null takes them as they are. flip: mirror half of them.

    prefix: the detector alone is trained this long first, once for all variants; null (the paper) trains all parts
    together from the first step, so that no two variants share anything. A longer prefix shares more of the cost, but
    the features of its span are the detector's alone.
    """

    short_sides: tuple[PositiveInt, ...] | None = (480, 576, 688, 864, 1000)
    flip: bool = True
    prefix: Optimisation | None = None
    optimisation: Optimisation = PAPER_TRAINING
    selection: SelectionParams = SelectionParams()
    weights: LossWeights = LossWeights()


def train_community(
    out: Path,
    *,
    pictures: Artifact,
    proposals: Artifact,
    weights: Artifact | None = None,
    init: Artifact | None = None,
    prefix: Artifact | None = None,
    data: DataParams,
    detector: DetectorParams,
    img: ImgParams,
    seg: SegParams,
    training: TrainingParams,
    seed: int,
) -> None:
    """Stage: trains all parts that are on, end to end, on tags; writes model.safetensors, log.csv and won.json.

    weights: the file that detector.weights names. init: a tag classifier on the same backbone. prefix: a run of this
    stage with fewer parts, to go on from. won.json: per class, in how many pictures it was tagged and in how many of
    these it was the highest label of a proposal, over the whole training.
    """
    torch.manual_seed(seed)
    view = TagView(open_set(pictures, data, "trainaug"))
    start = str(weights.path) if weights else detector.weights
    model = build_community(detector, img, seg, len(view.classes), None if prefix else start, None if prefix else init)
    if prefix is not None:
        start_from(model, prefix / "model.safetensors")
    samples = ProposalSamples(view, proposals, training.short_sides, training.flip)
    losses = partial(community_losses, detector, img.threshold, training.selection, training.weights)
    what = model, start_of(model.detector), samples, losses, training.optimisation
    fit_final(out, *what, init=None, seed=seed, title="community", collate=collate_proposals)
    (out / "won.json").write_text(json.dumps(counted(model, view.classes)))


def counted(model: CommunityNet, classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Per class how often it was tagged and how often it then won; a line for each that never did."""
    pairs = zip(classes, model.tagged.tolist(), model.won.tolist(), strict=True)
    found = {name: {"tagged": tagged, "won": won} for name, tagged, won in pairs}
    for name, facts in found.items():
        if facts["tagged"] and not facts["won"]:
            print(
                f"community: class {name!r} was tagged {facts['tagged']} times and never the highest label of a "
                "proposal; train longer, or look at its proposals",
                flush=True,
            )
    return found


def load_community(
    model: Artifact, detector: DetectorParams, img: ImgParams, seg: SegParams, classes: int
) -> CommunityNet:
    """The trained network, in inference mode, on the machine's device."""
    return trained(build_community(detector, img, seg, classes), model)


def detect_objects(
    out: Path,
    *,
    model: Artifact,
    proposals: Artifact,
    pictures: Artifact,
    data: DataParams,
    split: str,
    detector: DetectorParams,
    img: ImgParams,
    seg: SegParams,
    precision: str,
    test: RoiTestParams,
) -> None:
    """Stage: writes boxes/<name>.npz for every picture of the split; no tag is read."""
    view = TagView(open_set(pictures, data, split))
    net = load_community(model, detector, img, seg, len(view.classes))
    detect_all(out, net.detector, view, proposals, test, precision)


def make_masks(
    out: Path,
    *,
    model: Artifact,
    detections: Artifact,
    pictures: Artifact,
    data: DataParams,
    split: str,
    detector: DetectorParams,
    img: ImgParams,
    seg: SegParams,
    precision: str,
    test: RoiTestParams,
) -> None:
    """Stage: writes instances/<name>.npz, a mask inside every detected box."""
    view = TagView(open_set(pictures, data, split))
    net = load_community(model, detector, img, seg, len(view.classes))
    mask_all(out, net, view, detections, test, img.threshold, precision)
