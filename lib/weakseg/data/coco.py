"""COCO 2017: {train2017,val2017}/*.jpg and annotations/instances_*.json, polygons or run lengths."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from faster_coco_eval.core import mask as rle_tools

from weakseg.data.files import VOID, read_picture
from weakseg.data.voc import Box


class CocoSet:
    """One split of COCO with the methods of VocSet. root: folder that holds annotations/. split: "train" or "val".

    Labels are 0-based in the order of the category ids. A crowd region has no single instance: instances() leaves it
    out, semantic()
    makes it void, objects() marks it difficult.
    """

    def __init__(self, root: Path | str, split: str, classes: Sequence[str] | None = None):
        self.root, self.split = Path(root), split
        self.json_path = self.root / "annotations" / f"instances_{split}2017.json"
        content = read_coco(self.json_path)
        categories = sorted(content["categories"], key=lambda c: c["id"])
        self.vocabulary = tuple(c["name"] for c in categories)
        self.classes = tuple(classes or self.vocabulary)
        unknown = [name for name in self.classes if name not in self.vocabulary]
        if unknown:
            raise ValueError(f"data.classes: {unknown[0]!r} is no category of {self.json_path}")
        self._label = {c["id"]: self.classes.index(c["name"]) for c in categories if c["name"] in self.classes}
        self._images = sorted(content["images"], key=lambda i: i["id"])
        self._of: dict[int, list[dict]] = defaultdict(list)
        for annotation in content["annotations"]:
            self._of[annotation["image_id"]].append(annotation)
        self.names = [Path(i["file_name"]).stem for i in self._images]

    def __len__(self) -> int:
        return len(self.names)

    def image_path(self, index: int) -> Path:
        """Photo of picture `index`."""
        return self.root / f"{self.split}2017" / self._images[index]["file_name"]

    def image(self, index: int) -> np.ndarray:
        """RGB, uint8 (H, W, 3); its size is checked against the json."""
        image, entry = read_picture(self.image_path(index)), self._images[index]
        if image.shape[:2] != (entry["height"], entry["width"]):
            h, w = image.shape[:2]
            raise ValueError(
                f"{self.image_path(index)}: {w}x{h} pixels, but {self.json_path.name} says "
                f"{entry['width']}x{entry['height']}; fetch again"
            )
        return image

    def _annotations(self, index: int) -> list[dict]:
        """Annotations of the listed classes; those of other classes are not this study's."""
        return [a for a in self._of[self._images[index]["id"]] if a["category_id"] in self._label]

    def _mask(self, index: int, annotation: dict) -> np.ndarray:
        entry = self._images[index]
        return decode(
            annotation["segmentation"],
            entry["height"],
            entry["width"],
            f"{self.json_path}: annotation {annotation.get('id')}",
        )

    def instances(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """masks bool (n, H, W), labels int (n,) 0-based, without crowd regions."""
        entry, single = self._images[index], [a for a in self._annotations(index) if not a.get("iscrowd")]
        masks = [self._mask(index, a) for a in single]
        return np.array(masks, bool).reshape(-1, entry["height"], entry["width"]), np.array(
            [self._label[a["category_id"]] for a in single], int
        )

    def semantic(self, index: int) -> np.ndarray:
        """uint8 (H, W): 0 background, 1..C, 255 crowds; a small object lies over a large one."""
        entry = self._images[index]
        out = np.zeros((entry["height"], entry["width"]), np.uint8)
        for annotation in sorted(self._annotations(index), key=lambda a: (not a.get("iscrowd"), -a["area"])):
            out[self._mask(index, annotation)] = (
                VOID if annotation.get("iscrowd") else self._label[annotation["category_id"]] + 1
            )
        return out

    def objects(self, index: int) -> list[Box]:
        """Annotated boxes, half-open; `difficult` marks crowd regions."""
        found = [(self._label[a["category_id"]], a["bbox"], bool(a.get("iscrowd"))) for a in self._annotations(index)]
        return [Box(label, x, y, x + w, y + h, crowd) for label, (x, y, w, h), crowd in found]


def read_coco(path: Path) -> dict:
    """Content of an instances json; FileNotFoundError or ValueError with one line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; fetch coco, or point the root at the folder that holds annotations/")
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
