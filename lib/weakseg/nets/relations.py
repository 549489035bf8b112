"""Confident areas as a stage, and the pictures with them that a net of fields is trained on."""

import functools
from pathlib import Path

import numpy as np
import torch

from weakseg.data.coco import PictureSet
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import augment
from weakseg.nets.classifier import read_cams
from weakseg.ops.confident import RelationParams, relation_map
from weakseg.study.artifacts import load_labels, save_labels
from weakseg.study.machine import parallel
from weakseg.study.stages import Artifact


def _write_relation(pictures: PictureSet, cams: Artifact, relation: RelationParams, out: Path, index: int) -> None:
    seen = TagView(pictures)
    attention = read_cams(cams, seen.names[index])
    labels = relation_map(seen.image(index), attention.high, attention.classes, relation)
    save_labels(out / "labels", seen.names[index], labels)


def label_relations(
    out: Path, *, pictures: Artifact, cams: Artifact, data: DataParams, split: str, relation: RelationParams
) -> None:
    """Stage: one labels/<name>.png of confident areas per picture."""
    opened = open_set(pictures, data, split)
    job = functools.partial(_write_relation, opened, cams, relation, out)
    parallel(job, range(len(opened)), title="relation labels")


class RelationSamples:
    """Pictures with confident areas for `fit`: random scale, flip, crop; labels at full size."""

    def __init__(self, seen: TagView, relation: Artifact, crop: int, scales: tuple[float, float] | None):
        self.seen, self.relation, self.crop, self.scales = seen, relation, crop, scales

    def __len__(self) -> int:
        return len(self.seen.names)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        index, draw = key
        rng = np.random.default_rng(draw)
        pair = self.seen.image(index), load_labels(self.relation / "labels", self.seen.names[index])
        if self.scales:
            pair = augment.random_scale(*pair, self.scales, rng)
        picture, labels = augment.random_crop(*augment.random_flip(*pair, rng), self.crop, rng)
        labels = torch.from_numpy(labels)
        return {"name": self.seen.names[index], "picture": augment.to_bytes(picture), "labels": labels}
