"""COCO 2017: {train2017,val2017}/*.jpg and annotations/instances_*.json, polygons or run lengths.

What is one object: an annotation with an area that is no crowd region. A crowd region stands for several objects
without telling them apart; two boxes of train2017 have a height of zero.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from faster_coco_eval.core import mask as rle_tools

from weakseg.data.files import VOID, read_picture
from weakseg.data.voc import Box, VocSet

PARTS = {"trainaug": "train", "train": "train", "val": "val"}  # list of a study -> part of COCO
N_TRAIN = 5000  # pictures of the list "train", as many as val2017 has


class CocoSet:
    """One part of COCO with the methods of VocSet, which mean the same here.

    root: folder that holds annotations/. split: "train" or "val". classes: the classes of the study, in label order
    (all categories in the order of their ids when None). names: file stems; all of the json when None.
    Pixels of other classes and of crowd regions are void; their instances, boxes and tags are dropped.
    """

    def __init__(
        self, root: Path | str, split: str, classes: Sequence[str] | None = None, names: Sequence[str] | None = None
    ):
        self.root, self.split = Path(root), split
        self.json_path, self.folder = _json_path(self.root, split), self.root / f"{split}2017"
        self._content = indexed(self.json_path)
        self.vocabulary = tuple(self._content.categories.values())
        self.classes = tuple(classes or self.vocabulary)
        unknown = [name for name in self.classes if name not in self.vocabulary]
        if unknown:
            raise ValueError(f"data.classes: {unknown[0]!r} is no category of {self.json_path}")
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: missing; fetch coco, its photos belong there")
        known = {name: label for label, name in enumerate(self.classes)}
        self._label = {number: known[name] for number, name in self._content.categories.items() if name in known}
        self.names = list(self._content.images if names is None else names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"CocoSet({self.folder}, {len(self)} pictures, {len(self.classes)} classes)"

    def __reduce__(self) -> tuple:
        """Goes to a worker process without the annotations, a long message: the worker has them or reads the json."""
        return CocoSet, (self.root, self.split, self.classes, self.names)

    def _entry(self, index: int) -> dict:
        return self._content.images[self.names[index]]

    def image_path(self, index: int) -> Path:
        """Photo of picture `index`."""
        return self.folder / self._entry(index)["file_name"]

    def image(self, index: int) -> np.ndarray:
        """RGB, uint8 (H, W, 3), read-only; its size is checked against the json."""
        image, entry = read_picture(self.image_path(index)), self._entry(index)
        if image.shape[:2] != (entry["height"], entry["width"]):
            h, w = image.shape[:2]
            raise ValueError(
                f"{self.image_path(index)}: {w}x{h} pixels, but {self.json_path.name} says "
                f"{entry['width']}x{entry['height']}; fetch again"
            )
        return image

    def _annotations(self, index: int) -> list[dict]:
        """All annotations of a picture, other classes and crowd regions included."""
        return self._content.annotations.get(self._entry(index)["id"], [])

    def _single(self, index: int) -> list[dict]:
        """Annotations of one object each, of the listed classes."""
        return [
            a
            for a in self._annotations(index)
            if a["category_id"] in self._label and not a.get("iscrowd") and min(a["bbox"][2:]) > 0
        ]

    def _mask(self, index: int, annotation: dict) -> np.ndarray:
        entry = self._entry(index)
        where = f"{self.json_path}: annotation {annotation.get('id')}"
        return decode(annotation["segmentation"], entry["height"], entry["width"], where)

    def has_instances(self, index: int) -> bool:
        """True: the json has the masks of every picture that it lists."""
        return 0 <= index < len(self)

    def instances(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """masks bool (n, H, W), labels int (n,) 0-based, in the order of `objects`."""
        entry, single = self._entry(index), self._single(index)
        masks = [self._mask(index, a) for a in single]
        return np.array(masks, bool).reshape(-1, entry["height"], entry["width"]), np.array(
            [self._label[a["category_id"]] for a in single], int
        )

    def semantic(self, index: int) -> np.ndarray:
        """uint8 (H, W): 0 background, 1..C, 255 void; crowds lie under all, a small object over a large one."""
        entry = self._entry(index)
        out = np.zeros((entry["height"], entry["width"]), np.uint8)
        for annotation in sorted(self._annotations(index), key=lambda a: (not a.get("iscrowd"), -a["area"])):
            known = annotation["category_id"] in self._label and not annotation.get("iscrowd")
            out[self._mask(index, annotation)] = self._label[annotation["category_id"]] + 1 if known else VOID
        return out

    def annotation_path(self, index: int) -> Path:
        """The json, which annotates every picture."""
        return self.json_path

    def objects(self, index: int) -> list[Box]:
        """Annotated boxes, half-open, in pixels and their fractions."""
        found = [(self._label[a["category_id"]], *a["bbox"]) for a in self._single(index)]
        return [Box(label, x, y, x + w, y + h) for label, x, y, w, h in found]


PictureSet = VocSet | CocoSet


def list_names(root: Path, listed: str) -> list[str]:
    """Names of a list: "trainaug" all of train2017, "train" N_TRAIN of them, drawn with a fixed seed, "val" val2017.

    root: folder that holds annotations/. FileNotFoundError for another list.
    """
    if listed not in PARTS:
        raise FileNotFoundError(
            f"{root}: no list {listed!r}; COCO has {', '.join(PARTS)}; data.tune_take sets pictures aside for tune"
        )
    names = list(indexed(_json_path(Path(root), PARTS[listed])).images)
    return some(names, N_TRAIN) if listed == "train" else names


def some(names: Sequence[str], count: int) -> list[str]:
    """`count` of the names at most, drawn with a fixed seed, in their order."""
    chosen = np.random.default_rng(0).permutation(len(names))[:count]
    return [names[k] for k in sorted(chosen)]


@dataclass(frozen=True)
class Content:
    """An instances json by what is asked of it.

    categories: id -> name, in order of id. images: file stem -> entry, in order of id. annotations: id of a picture ->
    its annotations.
    """

    categories: dict[int, str]
    images: dict[str, dict]
    annotations: dict[int, list[dict]]


def _json_path(root: Path, split: str) -> Path:
    return root / "annotations" / f"instances_{split}2017.json"


def indexed(path: Path) -> Content:
    """Content of an instances json, parsed once while the file stays as it is: train2017's has 450 MB."""
    stat = path.stat() if path.is_file() else None
    return _indexed(path, (stat.st_mtime_ns, stat.st_size) if stat else None)


@lru_cache(maxsize=2)
def _indexed(path: Path, _: tuple[int, int] | None) -> Content:
    content = read_coco(path)
    annotations = defaultdict(list)
    for annotation in content["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    return Content(
        {c["id"]: c["name"] for c in sorted(content["categories"], key=lambda c: c["id"])},
        {Path(i["file_name"]).stem: i for i in sorted(content["images"], key=lambda i: i["id"])},
        dict(annotations),
    )


def read_coco(path: Path) -> dict:
    """Content of an instances json; FileNotFoundError or ValueError with one line."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: missing; fetch coco, or point WEAKSEG_DATA or data.root at the folder that holds coco/"
        )
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: truncated or no json ({error}); fetch coco again") from None
    absent = [
        key for key in ("images", "annotations", "categories") if not isinstance(content, dict) or key not in content
    ]
    if absent:
        raise ValueError(f"{path}: no {absent[0]!r}; this is not an instances file of COCO")
    return content


def decode(segmentation: list | dict, height: int, width: int, where: str) -> np.ndarray:
    """bool (H, W) of polygons, or of run lengths (compressed or not). ValueError opens with `where`."""
    try:
        if isinstance(segmentation, dict):
            packed = (
                segmentation
                if isinstance(segmentation["counts"], str | bytes)
                else rle_tools.frPyObjects(segmentation, height, width)
            )
            mask = rle_tools.decode(packed)
        else:
            mask = rle_tools.decode(rle_tools.merge(rle_tools.frPyObjects(segmentation, height, width)))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"{where}: broken segmentation ({error}); fetch coco again") from None
    if mask.shape != (height, width):
        raise ValueError(
            f"{where}: mask of {mask.shape[1]}x{mask.shape[0]} pixels in a picture of {width}x{height}; "
            "fetch coco again"
        )
    return mask.astype(bool)
