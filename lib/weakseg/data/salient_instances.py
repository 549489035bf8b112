"""Sets with salient instances: where WSID-Net's counts come from and where it is judged. No class anywhere.

Two sources: the ILSO layout below the pictures' root; or a VOC-layout set whose annotated objects count as the salient
ones, for photographs that have boxes but no salient instances.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from weakseg.data.ilso import IlsoSet
from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import count
from weakseg.study.stages import Artifact

Source = Literal["ilso", "voc"]
SPLITS = {
    "ilso": {"train": "train", "masked": "train", "tune": "val", "test": "test"},
    "voc": {"train": "trainaug", "masked": "train_instances", "tune": "tune", "test": "val_instances"},
}


@dataclass(frozen=True)
class SalientPictures:
    """One split; a method is given only the parts that it may see (`pictures_only`).

    image(i) -> uint8 (H, W, 3); count(i) -> int; masks(i) -> bool (n, H, W).
    """

    names: tuple[str, ...]
    image: Callable[[int], np.ndarray]
    count: Callable[[int], int]
    masks: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return len(self.names)


class PictureView:
    """Names and photos, nothing else: no attribute leads to a mask or a count."""

    __slots__ = ("names", "image")

    def __init__(self, pictures: SalientPictures):
        self.names = pictures.names
        self.image = lambda index, image=pictures.image: image(index)

    def __len__(self) -> int:
        return len(self.names)


def open_salient(pictures: Artifact, data: DataParams, source: Source, split: str) -> SalientPictures:
    """Split "train" (counts), "masked" (those of train with instance masks, for full supervision), "tune" (thresholds)
    or "test" of the source.

    Of photographs, "train" are those with an annotation: the others have no count.
    Raises ValueError for another split, FileNotFoundError where the set, or every annotation, is missing.
    """
    if split not in SPLITS[source]:
        raise ValueError(f"split {split!r}: salient instances have {', '.join(SPLITS[source])}")
    if source == "ilso":
        ilso = IlsoSet(pictures.path, SPLITS[source][split])
        return SalientPictures(tuple(ilso.names), ilso.image, ilso.count, ilso.instances)
    voc = open_set(pictures, data, SPLITS[source][split])
    kept = [i for i in range(len(voc.names)) if split != "train" or voc.annotation_path(i).is_file()]
    if not kept:
        raise FileNotFoundError(f"{voc.annotation_path(0)}: missing, as all of split {split!r}; fetch the annotations")
    return SalientPictures(
        tuple(voc.names[i] for i in kept),
        lambda i: voc.image(kept[i]),
        lambda i: int(count(voc, kept[i]).sum()),
        lambda i: voc.instances(kept[i])[0],
    )


def derive_counts(out: Path, *, pictures: Artifact, data: DataParams, source: Source, split: str) -> None:
    """Stage: counts.json, the number of salient instances by name. The only stage of training that opens the truth."""
    opened = open_salient(pictures, data, source, split)
    found = {name: opened.count(index) for index, name in enumerate(opened.names)}
    (out / "counts.json").write_text(json.dumps(found, indent=0, sort_keys=True))


def read_counts(counts: Artifact) -> dict[str, int]:
    """name -> number of salient instances, as `derive_counts` wrote them."""
    return json.loads((counts / "counts.json").read_text())
