"""Weak labels, derived by named functions, and views that let a method see exactly what it may.

A view holds its set behind a closure: a training stage that is given a TagView has no attribute that leads to a mask.
"""

import csv
from functools import cache
from pathlib import Path

import numpy as np

from weakseg.data.coco import PictureSet
from weakseg.data.voc import Box


@cache
def _tag_table(path: Path) -> dict[str, dict[str, int]]:
    """image -> class -> 0/1 from ImageSets/Main/tags.csv."""
    with path.open(newline="") as file:
        return {row.pop("image"): {name: int(value) for name, value in row.items()} for row in csv.DictReader(file)}


def tags(pictures: PictureSet, index: int) -> np.ndarray:
    """Classes present, float32 (C,) of 0 and 1: object names of the annotation, difficult ones included (as IRN's
    official code does).

    A picture without annotation takes its row of ImageSets/Main/tags.csv; ValueError when neither exists.
    """
    out = np.zeros(len(pictures.classes), np.float32)
    if pictures.annotation_path(index).is_file():
        out[[box.label for box in pictures.objects(index)]] = 1
        return out
    table, name = pictures.folder / "ImageSets/Main/tags.csv", pictures.names[index]
    rows = _tag_table(table) if table.is_file() else {}
    if name not in rows:
        raise ValueError(
            f"{pictures.annotation_path(index)}: missing and {table} has no row for it; fetch the annotations"
        )
    unknown = [c for c in rows[name] if c not in pictures.vocabulary]
    if unknown:
        raise ValueError(f"{table}: tag {unknown[0]!r} is not in the class list; correct the column name")
    return np.array([rows[name].get(c, 0) for c in pictures.classes], np.float32)


def boxes(pictures: PictureSet, index: int, difficult: bool = True) -> list[Box]:
    """Annotated boxes; without the difficult ones when `difficult` is false."""
    return [box for box in pictures.objects(index) if difficult or not box.difficult]


def count(pictures: PictureSet, index: int) -> np.ndarray:
    """Number of annotated objects of each class, int (C,)."""
    return np.bincount([box.label for box in pictures.objects(index)], minlength=len(pictures.classes))


class _View:
    """Names, classes, photos. Deliberately without a reference to the set among its attributes."""

    __slots__ = ("names", "classes", "image")

    def __init__(self, pictures: PictureSet):
        self.names, self.classes = tuple(pictures.names), pictures.classes
        self.image = lambda index: pictures.image(index)

    def __len__(self) -> int:
        return len(self.names)


class TagView(_View):
    """Photos and tags: tags(i) -> float32 (C,)."""

    __slots__ = ("tags",)

    def __init__(self, pictures: PictureSet):
        super().__init__(pictures)
        self.tags = lambda index: tags(pictures, index)


class BoxView(TagView):
    """Photos, tags and boxes: boxes(i) -> list[Box]."""

    __slots__ = ("boxes",)

    def __init__(self, pictures: PictureSet):
        super().__init__(pictures)
        self.boxes = lambda index: boxes(pictures, index)


def known_boxes(view: BoxView, index: int) -> list[Box] | None:
    """The annotated boxes of a picture; None where it has no annotation."""
    try:
        return view.boxes(index)
    except FileNotFoundError:
        return None


class CountView(TagView):
    """Photos, tags and counts: count(i) -> int (C,)."""

    __slots__ = ("count",)

    def __init__(self, pictures: PictureSet):
        super().__init__(pictures)
        self.count = lambda index: count(pictures, index)


class MaskView(BoxView):
    """Full supervision: also semantic(i) and instances(i)."""

    __slots__ = ("semantic", "instances")

    def __init__(self, pictures: PictureSet):
        super().__init__(pictures)
        self.semantic = lambda index: pictures.semantic(index)
        self.instances = lambda index: pictures.instances(index)


class SalientView:
    """A salient set: image(i) and mask(i) -> bool (H, W); no class anywhere."""

    __slots__ = ("names", "image", "mask")

    def __init__(self, pictures):
        self.names = tuple(pictures.names)
        self.image = lambda index: pictures.image(index)
        self.mask = lambda index: pictures.mask(index)

    def __len__(self) -> int:
        return len(self.names)
