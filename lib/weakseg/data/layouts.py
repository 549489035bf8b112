"""Writing drawn pictures in the official layouts, so that one loader per layout serves drawn and real pictures
alike.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from faster_coco_eval.core import mask as rle_tools

from weakseg.data.files import read_mask, write_labels, write_lines, write_picture
from weakseg.data.scene import Picture, box_of, void_border, with_void

DIFFICULT_VISIBLE, DIFFICULT_SHARE = 0.4, 0.003  # an animal that is hardly seen, or tiny

FLAGS = ("difficult", "occluded", "truncated")
Labelled = tuple[str, tuple[int, int, int, int], dict[str, bool]]


@dataclass(frozen=True)
class Record:
    """What the lists and json files say of one picture."""

    name: str
    size: tuple[int, int]  # (height, width)
    labels: tuple[int, ...]
    boxes: tuple[tuple[int, int, int, int], ...]  # half-open
    flags: tuple[tuple[bool, bool, bool], ...]  # as FLAGS
    rles: tuple[str, ...]
    areas: tuple[int, ...]


def voc_name(index: int) -> str:
    """File stem of a drawn picture, in the form of the VOC names."""
    return f"2012_{index:06d}"


def _voc(out: Path) -> Path:
    return out / "VOCdevkit" / "VOC2012"


def write_version(out: Path, version: int, params: dict) -> None:
    """menagerie.json: the version of the drawing and its params."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "menagerie.json").write_text(
        json.dumps({"version": version, "params": params}, indent=1, sort_keys=True) + "\n"
    )


def make_voc_folders(out: Path) -> None:
    """Empty folders of the devkit."""
    for folder in (
        "JPEGImages",
        "Annotations",
        "SegmentationClass",
        "SegmentationObject",
        "SegmentationClassAug",
        "SegmentationObjectAug",
    ):
        (_voc(out) / folder).mkdir(parents=True, exist_ok=True)


def write_voc_picture(
    out: Path, index: int, picture: Picture, classes: Sequence[str], void_share: float, *, clean: bool
) -> Record:
    """Photo, masks and annotation of one picture. Clean masks have a void border (as VOC), the others none (as SBD)."""
    name, root, tail = voc_name(index), _voc(out), "" if clean else "Aug"
    border = void_border(picture.instance_map, void_share) if clean else np.zeros(picture.instance_map.shape, bool)
    write_picture(root / "JPEGImages" / f"{name}.jpg", picture.image)
    write_labels(root / f"SegmentationClass{tail}" / f"{name}.png", with_void(picture.semantic, border))
    write_labels(root / f"SegmentationObject{tail}" / f"{name}.png", with_void(picture.instance_map, border))
    record = _record(name, picture)
    objects = [
        (classes[label], box, dict(zip(FLAGS, flags, strict=True)))
        for label, box, flags in zip(record.labels, record.boxes, record.flags, strict=True)
    ]
    (root / "Annotations" / f"{name}.xml").write_text(annotation_text(name, record.size, objects))
    return record


def _record(name: str, picture: Picture) -> Record:
    masks = [picture.instance_map == k + 1 for k in range(len(picture.labels))]
    areas = tuple(int(m.sum()) for m in masks)
    seen = picture.visible, picture.hidden, areas
    flags = tuple(
        (
            bool(v < DIFFICULT_VISIBLE or a < DIFFICULT_SHARE * picture.instance_map.size),
            bool(h > 0.05),
            bool(v < 0.97 * (1 - h)),
        )
        for v, h, a in zip(*seen, strict=True)
    )
    rles = tuple(rle_tools.encode(np.asfortranarray(m.astype(np.uint8)))["counts"].decode() for m in masks)
    boxes = tuple(tuple(int(x) for x in box) for box in picture.boxes)
    return Record(name, picture.instance_map.shape, tuple(int(x) for x in picture.labels), boxes, flags, rles, areas)


def annotation_text(name: str, size: tuple[int, int], objects: Sequence[Labelled]) -> str:
    """VOC annotation of (class name, half-open box, flags) objects; VOC boxes count from 1, last pixel included."""
    root = ElementTree.Element("annotation")
    _fill(root, {"folder": "VOC2012", "filename": f"{name}.jpg"})
    _fill(ElementTree.SubElement(root, "size"), {"width": size[1], "height": size[0], "depth": 3})
    _fill(root, {"segmented": 1})
    for title, (x0, y0, x1, y1), flags in objects:
        element = ElementTree.SubElement(root, "object")
        _fill(element, {"name": title, **{flag: int(value) for flag, value in flags.items()}})
        _fill(ElementTree.SubElement(element, "bndbox"), {"xmin": x0 + 1, "ymin": y0 + 1, "xmax": x1, "ymax": y1})
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _fill(element: ElementTree.Element, content: dict[str, object]) -> None:
    for tag, value in content.items():
        ElementTree.SubElement(element, tag).text = str(value)


def finish_voc(out: Path, records: Sequence[Record], splits: dict[str, list[str]], classes: Sequence[str]) -> None:
    """Lists of ImageSets/Segmentation and ImageSets/Main, and classes.txt with the class names in the order of mask
    values.
    """
    root, by_name = _voc(out), {record.name: record for record in records}
    write_lines(root / "classes.txt", classes)
    for split, names in splits.items():
        write_lines(root / "ImageSets/Segmentation" / f"{split}.txt", names)
        for label, title in enumerate(classes):
            write_lines(
                root / "ImageSets/Main" / f"{title}_{split}.txt",
                [f"{n} {_presence(by_name[n], label):2d}" for n in names],
            )


def _presence(record: Record, label: int) -> int:
    """1 present, 0 only difficult ones, -1 absent: the code of the VOC class lists."""
    hard = [flags[0] for have, flags in zip(record.labels, record.flags, strict=True) if have == label]
    return -1 if not hard else int(not all(hard))


def write_coco(out: Path, records: Sequence[Record], splits: dict[str, list[str]], classes: Sequence[str]) -> None:
    """coco/{train2017,val2017}/*.jpg (linked) and coco/annotations/instances_*.json with exact masks as RLE."""
    by_name = {record.name: record for record in records}
    (out / "coco/annotations").mkdir(parents=True, exist_ok=True)
    for split, names in splits.items():
        folder = out / "coco" / f"{split}2017"
        folder.mkdir(parents=True, exist_ok=True)
        content = coco_json([by_name[name] for name in names], classes)
        for name, entry in zip(names, content["images"], strict=True):
            _link(_voc(out) / "JPEGImages" / f"{name}.jpg", folder / entry["file_name"])
        (out / "coco/annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))


def _link(source: Path, target: Path) -> None:
    """Hard link, or a copy where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def coco_json(records: Sequence[Record], classes: Sequence[str]) -> dict:
    """COCO instances: boxes x, y, width, height; category ids count from 1."""
    images, annotations = [], []
    for record in records:
        number, (height, width) = int(record.name.split("_")[1]) + 1, record.size
        images.append({"id": number, "file_name": f"{number:012d}.jpg", "height": height, "width": width})
        for label, (x0, y0, x1, y1), rle, area in zip(
            record.labels, record.boxes, record.rles, record.areas, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "iscrowd": 0,
                    "area": area,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": {"size": [height, width], "counts": rle},
                }
            )
    categories = [{"id": k + 1, "name": name, "supercategory": "animal"} for k, name in enumerate(classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def make_duts_folders(out: Path, part: str) -> None:
    """Empty folders DUTS/DUTS-TR/DUTS-TR-{Image,Mask} (or TE)."""
    for kind in ("Image", "Mask"):
        (out / "DUTS" / f"DUTS-{part}" / f"DUTS-{part}-{kind}").mkdir(parents=True, exist_ok=True)


def thing_name(index: int) -> str:
    """File stem of a drawn salient thing."""
    return f"thing_{index:06d}"


def write_duts_picture(out: Path, part: str, index: int, picture: Picture) -> None:
    """Picture and 0/255 mask of one salient thing."""
    folder = out / "DUTS" / f"DUTS-{part}"
    write_picture(folder / f"DUTS-{part}-Image" / f"{thing_name(index)}.jpg", picture.image)
    write_labels(
        folder / f"DUTS-{part}-Mask" / f"{thing_name(index)}.png",
        np.where(picture.instance_map > 0, np.uint8(255), np.uint8(0)),
    )


def write_msra(out: Path, count: int, annotators: int, seed: int) -> None:
    """MSRA-B layout: the same salient pictures with the boxes that several annotators drew, in
    MSRA-B/UserData/UserData.txt.

    Every annotator moves each side of the true box by a normal error of 4 % of the box; one in twenty misses and errs
    by 25 %.
    """
    duts, root = out / "DUTS/DUTS-TR", out / "MSRA-B"
    (root / "Image").mkdir(parents=True, exist_ok=True)
    (root / "UserData").mkdir(exist_ok=True)
    lines = [str(count)]
    for index in range(count):
        name = thing_name(index)
        _link(duts / "DUTS-TR-Image" / f"{name}.jpg", root / "Image" / f"{name}.jpg")
        mask = read_mask(duts / "DUTS-TR-Mask" / f"{name}.png")
        boxes = annotated_boxes(np.random.default_rng([seed, 3, index]), box_of(mask), mask.shape, annotators)
        lines += [
            f"{name}.jpg",
            f"{mask.shape[1]} {mask.shape[0]}",
            " ".join(f"{x0} {y0} {x1} {y1};" for x0, y0, x1, y1 in boxes),
            "",
        ]
    (root / "UserData/UserData.txt").write_text("\n".join(lines) + "\n")


def annotated_boxes(
    rng: np.random.Generator, box: tuple[int, int, int, int], size: tuple[int, int], count: int
) -> np.ndarray:
    """Boxes of `count` annotators, int (count, 4) half-open and inside the picture of (height, width)."""
    x0, y0, x1, y1 = box
    error = np.where(rng.uniform(size=(count, 1)) < 0.05, 0.25, 0.04) * np.array([x1 - x0, y1 - y0] * 2)
    drawn = np.round(np.array(box) + rng.normal(0, 1, (count, 4)) * error).astype(int)
    height, width = size
    low = np.clip(drawn[:, :2], 0, [width - 2, height - 2])
    high = np.minimum(np.maximum(drawn[:, 2:], low + 2), [width, height])
    return np.concatenate([low, high], 1)


def make_ilso_folders(out: Path) -> None:
    """Empty folders ILSO/{imgs,gt}."""
    for kind in ("imgs", "gt"):
        (out / "ILSO" / kind).mkdir(parents=True, exist_ok=True)


def write_ilso_picture(out: Path, index: int, picture: Picture) -> None:
    """Picture and instance map (0 background, 1..n) of several salient things."""
    write_picture(out / "ILSO/imgs" / f"{index:06d}.jpg", picture.image)
    write_labels(out / "ILSO/gt" / f"{index:06d}.png", picture.instance_map)


def write_ilso_lists(out: Path, count: int) -> None:
    """Lists train, val, test in the shares 5 : 2 : 3 of the official 1,000 pictures."""
    names = [f"{index:06d}" for index in range(count)]
    first, second = round(0.5 * count), round(0.7 * count)
    for split, part in (("train", names[:first]), ("val", names[first:second]), ("test", names[second:])):
        write_lines(out / "ILSO" / f"{split}.txt", part)
