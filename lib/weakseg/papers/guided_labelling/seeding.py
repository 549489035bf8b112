"""Stages of the seeders: training, heat maps, and how good seeds and tags are."""

import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.data.coco import PictureSet
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import MaskView, TagView
from weakseg.metrics import seeds as seed_metrics
from weakseg.metrics.tags import TagEvidence
from weakseg.nets import augment, vgg
from weakseg.nets.final import load_backbone, trained
from weakseg.papers.guided_labelling import seeders
from weakseg.papers.guided_labelling.frame import frame_of, framed, unframed
from weakseg.papers.guided_labelling.model import GapNet, SeederParams, build_seeder, seeder_optimiser
from weakseg.papers.guided_labelling.seeders import BackpropParams, Heat, SeederName
from weakseg.study import train
from weakseg.study.artifacts import load_maps, save_maps
from weakseg.study.machine import device, parallel
from weakseg.study.stages import Artifact

CHUNK = 256  # pictures whose raw maps are in memory at once


def checked(view: TagView) -> TagView:
    """The view, when each of its pictures has a tag; ValueError naming the first that has none, before any work."""
    for index, name in enumerate(view.names):
        seeders.tagged(view.tags(index), len(view.classes), name)
    return view


# ---------------------------------------------------------------- training


class SeederSamples:
    """Pictures with tags for `fit`: cut at random on each side, framed, mirrored."""

    def __init__(self, view: TagView, seeder: SeederParams):
        self.view, self.seeder = view, seeder

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        rng = np.random.default_rng(draw)
        picture = cut_sides(self.view.image(index), self.seeder.cut, self.seeder.side is None, rng)
        picture = framed(picture, frame_of(picture.shape[:2], self.seeder.side))
        picture, _ = augment.random_flip(picture, None, rng)
        tags = torch.as_tensor(self.view.tags(index))
        return {"name": self.view.names[index], "picture": augment.to_bytes(picture), "tags": tags}


def cut_sides(picture: np.ndarray, most: float, keep_size: bool, rng: np.random.Generator) -> np.ndarray:
    """The picture without a random share up to `most` of each of its sides; resized back where `keep_size`."""
    H, W, _ = picture.shape
    top, bottom, left, right = (rng.uniform(0, most, 4) * (H, H, W, W)).astype(int)
    cut = picture[top : H - bottom, left : W - right]
    return augment.resize(cut, None, (H, W))[0] if keep_size else cut


def tag_loss(net: GapNet, batch: dict) -> dict[str, Tensor]:
    """Sigmoid cross entropy, summed over classes, mean over pictures (as Caffe counts it)."""
    logits = net(batch["picture"]).float()
    total = F.binary_cross_entropy_with_logits(logits, batch["tags"], reduction="sum")
    return {"loss": total / len(logits)}


def train_seeder(
    out: Path,
    *,
    pictures: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    form: vgg.Form,
    seeder: SeederParams,
    seed: int,
) -> None:
    """Stage: trains the classifier of a form on tags; writes model.safetensors and log.csv.

    init: a run whose model.safetensors holds the same trunk. weights: the file that seeder.weights names.
    """
    torch.manual_seed(seed)
    view = checked(TagView(open_set(pictures, data, "trainaug")))
    start = str(weights.path) if weights else seeder.weights
    net = build_seeder(form, seeder, len(view.classes), start)
    if init is not None:
        load_backbone(net.backbone, init / "model.safetensors")
    net.to(device())
    optimiser, how = seeder_optimiser(net, seeder), seeder.training.for_fit()
    train.fit(net, SeederSamples(view, seeder), tag_loss, optimiser, out=out, seed=seed, title=f"seeder {form}", **how)
    train.save_model(net, out / "model.safetensors")


def load_seeder(model: Artifact, form: vgg.Form, seeder: SeederParams, classes: int) -> GapNet:
    """The trained classifier, in inference mode, on the machine's device."""
    return trained(build_seeder(form, seeder, classes), model)


# ---------------------------------------------------------------- heat maps


def make_heat(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    split: str,
    name: SeederName,
    seeder: SeederParams,
    backprop: BackpropParams | None = None,
) -> None:
    """Stage: one heat/<picture>.npz per picture of the split (`read_heat`).

    model: from train_seeder, or from average_masks for the centre mean shape. backprop: for the methods that smooth.
    """
    opened = open_set(pictures, data, split)
    view = checked(TagView(opened))
    if name == "centre_mean_shape":
        shape = load_maps(model.path, "shape")["shape"]
        _save_all(out, view, lambda index, classes: np.repeat(shape[None], len(classes), 0), None)
        return
    net = load_seeder(model, seeders.FORMS[name], seeder, len(view.classes))
    if name in seeders.GAP:
        maps = functools.partial(_gap_of, net, view, seeder.side)
        _save_all(out, view, maps, seeder.side)
        return
    twin = seeders.twin_of(net, name)
    for start in range(0, len(view), CHUNK):
        indices = range(start, min(start + CHUNK, len(view)))
        items = [(index, _backprop_of(twin, view, name, seeder.side, index)) for index in indices]
        parallel(functools.partial(_smooth, out, opened, backprop), items, title=f"heat, {name}")


def _gap_of(net: GapNet, view: TagView, side: int | None, index: int, classes: np.ndarray) -> np.ndarray:
    picture = view.image(index)
    return seeders.gap_maps(net, picture, classes, frame_of(picture.shape[:2], side))


def _backprop_of(twin: torch.nn.Module, view: TagView, name: str, side: int | None, index: int) -> np.ndarray:
    return seeders.backprop_maps(twin, view.image(index), np.flatnonzero(view.tags(index)), name, side)


def _smooth(out: Path, opened: PictureSet, backprop: BackpropParams, item: tuple[int, np.ndarray]) -> None:
    (index, maps), view = item, TagView(opened)
    picture = view.image(index)
    smooth = seeders.smoothed(picture, maps, backprop)
    _save(out, view.names[index], np.flatnonzero(view.tags(index)), smooth, picture.shape[:2], None)


def _save_all(out: Path, view: TagView, maps_of, side: int | None) -> None:
    for index, name in enumerate(view.names):
        classes = np.flatnonzero(view.tags(index))
        _save(out, name, classes, maps_of(index, classes), view.image(index).shape[:2], side)


def _save(out: Path, name: str, classes: np.ndarray, maps: np.ndarray, size: tuple[int, int], side: int | None) -> None:
    geometry = np.array([*size, side or 0])
    save_maps(out / "heat", name, classes=classes, maps=maps.astype(np.float16), geometry=geometry)


def read_heat(heat: Artifact, name: str) -> Heat:
    """The heat of one picture at its full size, normalised."""
    stored = load_maps(heat / "heat", name)
    H, W, side = stored["geometry"].tolist()
    maps = unframed(stored["maps"].astype(np.float32), (H, W), frame_of((H, W), side or None))
    return Heat(stored["classes"], seeders.normalised(maps))


def average_masks(out: Path, *, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: shape.npz, the average of all class masks of the split. It sees masks; only the floor is made of them."""
    view = MaskView(open_set(pictures, data, split))
    truths = (view.semantic(index) for index in range(len(view)))
    masks = [truth == label for truth in truths for label in np.setdiff1d(truth, (0, augment.VOID))]
    save_maps(out, "shape", shape=seeders.mean_shape(masks))


# ---------------------------------------------------------------- evaluation


def judge_seeds(out: Path, *, heat: Artifact, pictures: Artifact, data: DataParams, split: str) -> None:
    """Stage: evidence.npz with the precision and recall of seeds at every threshold (section 4.2)."""
    opened = open_set(pictures, data, split)
    rows = ((name, *read_heat(heat, name).label(), opened.semantic(index)) for index, name in enumerate(opened.names))
    seed_metrics.collect(rows, len(opened.classes)).save(out / "evidence.npz")


@torch.inference_mode()
def score_tags(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    split: str,
    form: vgg.Form,
    seeder: SeederParams,
) -> None:
    """Stage: evidence.npz with the score of every class for every picture of the split."""
    view = TagView(open_set(pictures, data, split))
    net = load_seeder(model, form, seeder, len(view.classes))
    scores = np.zeros((len(view), len(view.classes)))
    images = (view.image(index) for index in range(len(view)))
    laid = (framed(image, frame_of(image.shape[:2], seeder.side)) for image in images)
    for positions, batch in augment.same_size_batches(laid, seeder.training.batch_size):
        scores[positions] = net(batch.to(device())).float().cpu().numpy()
    truth = np.stack([view.tags(index) for index in range(len(view))])
    TagEvidence(scores, truth, np.array(view.names)).save(out / "evidence.npz")
