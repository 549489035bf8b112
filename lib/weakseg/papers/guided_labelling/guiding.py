"""Stages of the guide labeller: seeds and saliency of every picture become the label maps that the segmenter learns."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from weakseg.data.coco import PictureSet
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.metrics.seeds import SeedEvidence
from weakseg.nets import augment
from weakseg.ops.crf import CrfParams, refine
from weakseg.papers.guided_labelling import guides
from weakseg.papers.guided_labelling.frame import frame_of, framed
from weakseg.papers.guided_labelling.guides import IGNORED, GuideParams
from weakseg.papers.guided_labelling.model import GapNet, SeederParams
from weakseg.papers.guided_labelling.saliency import read_saliency
from weakseg.papers.guided_labelling.seeders import Heat
from weakseg.papers.guided_labelling.seeding import checked, load_seeder, read_heat
from weakseg.study.artifacts import load_labels, load_maps, save_labels, save_maps
from weakseg.study.machine import device, parallel
from weakseg.study.stages import Artifact

GuideName = Literal["seeds", "g0", "g1", "g2", "oracle"]
NEEDS: dict[GuideName, tuple[str, ...]] = {
    "seeds": ("heat",),
    "g0": ("saliency",),
    "g1": ("saliency", "scores"),
    "g2": ("heat", "saliency"),
    "oracle": ("heat",),
}


def seed_labels(heat: Heat, threshold: float) -> np.ndarray:
    """Seeds uint8 (H, W): the class with the highest heat where that reaches `threshold`, else background."""
    label, confidence = heat.label()
    return np.where(confidence >= threshold, label, 0).astype(np.uint8)


def refined_seeds(image: np.ndarray, heat: Heat, threshold: float, crf: CrfParams) -> np.ndarray:
    """crf-seed: seeds uint8 (H, W) after the dense CRF. Its probabilities are heat and, for the background, the
    threshold, in proportion, so that without neighbours the seeds stay as they are."""
    scores = np.concatenate([np.full((1, *heat.maps.shape[1:]), threshold), heat.maps.clip(min=0)])
    values = np.concatenate([[0], heat.classes + 1]).astype(np.uint8)
    return values[refine(image, scores / scores.sum(0), crf).argmax(0)]


# ---------------------------------------------------------------- G1: scores of components


def score_components(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    saliency: Artifact,
    data: DataParams,
    split: str,
    seeder: SeederParams,
    level: float,
    smallest: float,
) -> None:
    """Stage: scores/<name>.npz with the plain classifier's scores of the picture, `whole` (C,), and of each saliency
    component alone, `alone` (n, C)."""
    view = TagView(open_set(pictures, data, split))
    net = load_seeder(model, "vgg16", seeder, len(view.classes))
    for index, name in enumerate(view.names):
        picture = view.image(index)
        regions = guides.components(read_saliency(saliency, name) >= level, smallest * picture[..., 0].size)
        scores = region_scores(net, picture, regions, seeder.side)
        save_maps(out / "scores", name, whole=scores[0], alone=scores[1:])


@torch.inference_mode()
def region_scores(net: GapNet, picture: np.ndarray, regions: np.ndarray, side: int | None) -> np.ndarray:
    """Logits float32 (n + 1, C) of the picture and of each component 1..n of `regions` (H, W) with all else zeroed."""
    parts = [picture, *(picture * (regions == k)[..., None] for k in range(1, regions.max() + 1))]
    frame = frame_of(picture.shape[:2], side)
    batch = torch.stack([augment.to_tensor(framed(part, frame)) for part in parts])
    return net(batch.to(device())).float().cpu().numpy()


# ---------------------------------------------------------------- guides


@dataclass(frozen=True)
class Sources:
    """What guide labels are made from; NEEDS says what each rule asks for."""

    name: GuideName
    heat: Artifact | None
    saliency: Artifact | None
    scores: Artifact | None
    guide: GuideParams
    level: float
    crf_seed: CrfParams | None
    seed: int

    def __post_init__(self):
        for what in NEEDS[self.name]:
            if getattr(self, what) is None:
                raise ValueError(f"guide {self.name}: needs {what}; give it")


def make_guides(
    out: Path,
    *,
    pictures: Artifact,
    heat: Artifact | None = None,
    saliency: Artifact | None = None,
    scores: Artifact | None = None,
    data: DataParams,
    split: str,
    name: GuideName,
    guide: GuideParams,
    level: float = 0.5,
    crf_seed: CrfParams | None = None,
    seed: int = 0,
) -> None:
    """Stage: semantic/<name>.png, the guide labels of every picture of the split.

    level: of the saliency maximum that is salient. crf_seed: refines the seeds of "seeds". seed: of G0's draws. The
    oracle, and no other rule, looks at masks.
    """
    sources = Sources(name, heat, saliency, scores, guide, level, crf_seed, seed)
    opened = open_set(pictures, data, split)
    checked(TagView(opened))
    job = functools.partial(_write_guide, out, opened, sources)
    named = parallel(job, range(len(opened)), title=f"guides, {name}")
    if not any(named):
        mend = "train the classifier longer or lower guides.threshold" if heat else "see what saliency finds"
        print(f"guides, {name}: no pixel of {len(named)} pictures has a class, only background is learned; {mend}")


def _write_guide(out: Path, opened: PictureSet, sources: Sources, index: int) -> bool:
    """Writes the guide of one picture; True when it gives a class to any pixel."""
    view = TagView(opened)
    picture, tags, name = view.image(index), view.tags(index), view.names[index]
    rng = np.random.default_rng([sources.seed, index])
    try:
        labels = guide_labels(sources, name, picture, tags, salient_mask(sources, opened, index), rng)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    save_labels(out / "semantic", name, labels)
    return bool(((labels > 0) & (labels != IGNORED)).any())


def salient_mask(sources: Sources, opened: PictureSet, index: int) -> np.ndarray | None:
    """The saliency mask bool (H, W) that a rule goes by: for the oracle all objects, void left out; None for seeds."""
    if sources.name == "oracle":
        truth = opened.semantic(index)
        return (truth > 0) & (truth != augment.VOID)
    if sources.saliency is None:
        return None
    return read_saliency(sources.saliency, opened.names[index]) >= sources.level


def guide_labels(
    sources: Sources,
    name: str,
    picture: np.ndarray,
    tags: np.ndarray,
    salient: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Guide labels uint8 (H, W) of one picture; salient: bool (H, W), None for "seeds"."""
    guide = sources.guide
    if sources.name == "g0":
        return guides.g0(salient, tags, rng)
    if sources.name == "g1":
        stored = load_maps(sources.scores / "scores", name)
        return guides.g1(guides.components(salient, guide.smallest * salient.size), **stored, tags=tags)
    heat = read_heat(sources.heat, name)
    if sources.name == "seeds" and sources.crf_seed is not None:
        return refined_seeds(picture, heat, guide.threshold, sources.crf_seed)
    seeds = seed_labels(heat, guide.threshold)
    return seeds if sources.name == "seeds" else guides.g2(picture, seeds, salient, guide)


# ---------------------------------------------------------------- evaluation


def judge_guides(out: Path, *, labels: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz with the pixel counts of guide labels, as seed evidence of one threshold (table 2)."""
    opened = open_set(pictures, data, split)
    rows = [
        (name, load_labels(labels / "semantic", name), opened.semantic(index))
        for index, name in enumerate(opened.names)
    ]
    label_evidence(rows, len(opened.classes)).save(out / "evidence.npz")


def label_evidence(rows: list[tuple[str, np.ndarray, np.ndarray]], classes: int) -> SeedEvidence:
    """Counts of (name, labels (H, W), truth (H, W)): an ignored pixel is claimed by no label, but still to be found."""
    names, right, claimed, truths = [], [], [], []
    for name, labels, truth in rows:
        labels, truth = labels[truth != augment.VOID], truth[truth != augment.VOID]
        names.append(name)
        right.append(_histogram(labels[labels == truth], classes))
        claimed.append(_histogram(labels[labels != IGNORED], classes))
        truths.append(_histogram(truth, classes))
    counts = (np.array(each, np.int32)[:, None] for each in (right, claimed))
    return SeedEvidence(*counts, np.array(truths, np.int32), np.zeros(1), np.array(names))


def _histogram(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels.astype(np.int64), minlength=classes + 1)
