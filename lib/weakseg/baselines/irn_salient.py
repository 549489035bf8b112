"""IRN (Ahn et al., CVPR 2019) on pictures without tags: its instances, class by class, before the saliency filter.

Kept: class attention times instances of the displacement field, the random walk stopped by boundaries. What differs
from IRN on VOC: salient pictures bring no tags, so the classifier's own answer stands in for them; and the class of an
instance is put aside in the end.
"""

from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from weakseg.data.salient_instances import PictureView, Source, open_salient
from weakseg.data.sets import DataParams, open_set
from weakseg.nets import augment
from weakseg.nets.classifier import ClassifierParams, load_classifier, read_cams
from weakseg.ops.cam import CamParams, multi_scale
from weakseg.ops.displacement import end_points
from weakseg.ops.instances import WalkParams, instance_scores, propagate_all
from weakseg.study.artifacts import load_maps, save_maps
from weakseg.study.machine import autocast, device
from weakseg.study.params import Group
from weakseg.study.stages import Artifact


class IrnSalientParams(Group):
    """tag: probability from which a class counts as tagged; the likeliest one always does. weak, iterations: of the
    displacement field, as in IRN. faithful: cells that arrive at no centroid form one more instance, as in IRN's
    released code; otherwise they belong to none."""

    tag: float = Field(0.5, gt=0, lt=1)
    weak: float = Field(2.5, gt=0)
    iterations: int = Field(300, ge=1)
    faithful: bool = False


def predicted_tags(logits: np.ndarray, tag: float) -> np.ndarray:
    """Classes (n,), n >= 1, that a classifier's logits (C,) name: those of probability `tag` or more, else the best."""
    found = np.flatnonzero(logits >= np.log(tag / (1 - tag)))
    return found if len(found) else np.array([logits.argmax()])


@torch.inference_mode()
def make_predicted_cams(
    out: Path,
    *,
    model: Artifact,
    pictures: Artifact,
    data: DataParams,
    source: Source,
    split: str,
    classifier: ClassifierParams,
    cam: CamParams,
    irn: IrnSalientParams,
) -> None:
    """Stage: cams/<name>.npz as nets.classifier.make_cams writes them, of the classes that the classifier names."""
    view = PictureView(open_salient(pictures, data, source, split))
    net = load_classifier(model, classifier, len(open_set(pictures, data, "trainaug").classes))
    images = (view.image(index) for index in range(len(view)))
    for positions, batch in augment.same_size_batches(images, cam.batch_size):
        with autocast(classifier.precision):
            logits = net(batch.to(device())).float().cpu().numpy()
            maps = [m.cpu().numpy() for m in multi_scale(net, batch.to(device()), cam)]
        for row, position in enumerate(positions):
            classes = predicted_tags(logits[row], irn.tag)
            scales = {f"scale{k}": m[row, classes] for k, m in enumerate(maps)}
            size = np.array(batch.shape[-2:])
            save_maps(out / "cams", view.names[position], classes=classes, size=size, **scales)


def walk_irn(
    out: Path,
    *,
    cams: Artifact,
    fields: Artifact,
    walk: WalkParams,
    irn: IrnSalientParams,
) -> None:
    """Stage: walked/<name>.npz: rows of scores (t, h, w), one for each class and instance, and the picture's size."""
    for file in sorted((cams / "cams").glob("*.npz")):
        stored, attention = load_maps(fields / "fields", file.stem), read_cams(cams, file.stem)
        displacement, boundary = (stored[key].astype(np.float32) for key in ("displacement", "boundary"))
        ends = end_points(torch.from_numpy(displacement)[None], irn.iterations)[0].numpy()
        rows = instance_scores(attention, displacement, ends, irn.weak, irn.faithful)
        (walked,) = propagate_all([rows], boundary[None], walk)
        size = np.array(attention.high.shape[1:])
        save_maps(out / "walked", file.stem, rows=walked.values.astype(np.float16), size=size)
