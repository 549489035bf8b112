"""How many pictures a split has, and of what size, before there are any: from the params, or as VOC 2012 and COCO 2017
have them.
"""

import functools
import math

from weakseg.data.coco import N_TRAIN
from weakseg.data.sets import SPLITS, DataParams

VOC = {"trainaug": 10582, "train": 1464, "val": 1449, "trainval": 2913, "test": 1456}
"""PASCAL VOC 2012 with SBD; its pictures are 500 pixels wide and about 375 high."""
COCO = {"trainaug": 118287, "train": N_TRAIN, "val": 5000}
"""COCO 2017, 80 classes; its pictures are 640 pixels wide or high, the other side mostly 480."""


def pictures(data: DataParams, split: str, source: str | None = None) -> int:
    """How many pictures a split has; `source` "ilso" or "menagerie"-like sets of salient things have their own."""
    return len(names(data, split, source))


@functools.lru_cache(maxsize=256)
def _range(prefix: str, start: int, stop: int) -> list[str]:
    return [f"{prefix}{k}" for k in range(start, stop)]


def names(data: DataParams, split: str, source: str | None = None) -> list[str]:
    """A stand-in for each picture's name. train lies in trainaug; what is set aside for tune lies in no other split."""
    drawn = data.menagerie
    if source in ("ilso",):
        n = drawn.n_ilso if drawn else 1000
        return _range("salient", 0, n // 2 if split == "train" else n // 4)
    behind = data.list_of(split)
    if drawn:
        n_of = {"trainaug": drawn.n_trainaug, "train": drawn.n_train, "val": drawn.n_val, "tune": drawn.n_tune}
        n = n_of.get(SPLITS.get(split, split), drawn.n_trainaug)
        return _range({"val": "val", "tune": "tune"}.get(behind, ""), 0, n)
    if split == "tune" and data.aside != "tune":
        raise ValueError("data.tune_take: no pictures are set aside, and official data have no list of that name")
    if split == "tune":
        return _range("tune", 0, data.tune_take)
    official = COCO if data.layout == "coco" else VOC
    n = official.get(SPLITS.get(split, split), official["trainaug"])
    n -= data.tune_take if split in ("train", "trainaug") else 0
    return _range("val" if behind.startswith("val") else "", 0, n)


def classes(data: DataParams) -> int:
    """How many classes: as drawn, as chosen, or all: VOC's twenty, COCO's eighty."""
    whole = 80 if data.layout == "coco" else 20
    return data.menagerie.classes if data.menagerie else len(data.classes or range(whole))


def pixels(data: DataParams) -> int:
    """Pixels of one picture."""
    official = 640 * 480 if data.layout == "coco" else 500 * 375
    return math.prod(data.menagerie.shape) if data.menagerie else official
