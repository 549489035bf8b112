"""`python -m weakseg.data derive voc_animals`: the photographs of profile `voc_animals`, rebuilt from VOC 2012 and SBD.

The project ships lists of picture names and the rule; photos and masks come from the official archives. Long side 256
pixels.

Instances by rule ("clean" pictures only). From class mask and boxes at full size: every class in the mask has boxes;
boxes of one
class do not overlap; at least 98 % of each class lies in its boxes (the rest becomes void); each piece's extent
agrees with its box
(IoU >= 0.8). A box whose class is marked nowhere gives no instance. Pictures of 2007 keep no annotation: their rows
are in tags.csv.
"""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from weakseg.data.files import VOID, read_labels, read_lines, read_picture, write_labels, write_lines
from weakseg.data.layouts import annotation_text
from weakseg.data.scene import box_of
from weakseg.data.voc import devkit, mask_path, read_annotation, vocabulary
from weakseg.study.machine import parallel

LISTS = Path(__file__).parent / "lists" / "voc_animals"
SIDE, INSIDE, AGREE = 256, 0.98, 0.8
Corners = tuple[float, float, float, float]
Objects = list[tuple[str, Corners, bool]]


def derive_voc_animals(source: Path, out: Path, lists: Path = LISTS) -> list[str]:
    """Write the derived devkit below `out`. source: folder that holds the official VOCdevkit/ with trainaug built.

    Returns lines that say what was written and where the rule and the shipped instance lists differ.
    """
    kit, target = devkit(source), devkit_folders(out)
    names = {path.stem: read_lines(path, "") for path in sorted(lists.glob("*.txt"))}
    every = sorted({name for split in ("train", "val") for name in names[split]})
    classes = vocabulary(kit)
    if (kit / "classes.txt").is_file():
        write_lines(target / "classes.txt", classes)
    clean = dict(
        zip(
            every,
            parallel(partial(_derive, kit=kit, target=target, classes=classes), every, title="deriving"),
            strict=True,
        )
    )
    write_tags(target / "ImageSets/Main/tags.csv", kit, every, classes)
    lines = [f"{target}: {len(every)} pictures, {sum(clean.values())} with instances"]
    for split in ("train", "val"):
        found = [name for name in names[split] if clean[name]]
        lines += _differences(names.get(f"{split}_instances"), found, f"{split}_instances")
        names[f"{split}_instances"] = found
    for split, entries in names.items():
        write_lines(target / "ImageSets/Segmentation" / f"{split}.txt", entries)
    return lines


def devkit_folders(out: Path) -> Path:
    """Empty devkit below `out`."""
    folder = out / "VOCdevkit/VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def _differences(shipped: Sequence[str] | None, found: Sequence[str], title: str) -> list[str]:
    if shipped is None or set(shipped) == set(found):
        return []
    lost, new = sorted(set(shipped) - set(found)), sorted(set(found) - set(shipped))
    return [
        f"{title}: differs from the shipped list, {len(lost)} gone {lost[:3]}, "
        f"{len(new)} new {new[:3]}; the rule's own list is written"
    ]


def _derive(name: str, *, kit: Path, target: Path, classes: Sequence[str]) -> bool:
    """One picture; returns whether it has instances by the rule."""
    photo = read_picture(kit / "JPEGImages" / f"{name}.jpg")
    mask = read_labels(mask_path(kit, "Class", name))
    annotation = kit / "Annotations" / f"{name}.xml"
    objects = read_annotation(annotation) if not name.startswith("2007_") else []
    height, width = smaller(*photo.shape[:2])
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    Image.fromarray(small).save(target / "JPEGImages" / f"{name}.jpg", quality=85)
    write_labels(target / "SegmentationClass" / f"{name}.png", nearest(mask, height, width))
    if objects:
        small_objects = [
            (title, scaled(box, photo.shape[:2], (height, width)), {"difficult": hard}) for title, box, hard in objects
        ]
        text = annotation_text(name, (height, width), small_objects)
        (target / "Annotations" / f"{name}.xml").write_text(text)
    numbers = instances_by_rule(mask, objects, classes)
    if numbers is not None:
        write_labels(target / "SegmentationObject" / f"{name}.png", nearest(numbers, height, width))
    return numbers is not None


def smaller(height: int, width: int) -> tuple[int, int]:
    """(height, width) with a long side of 256; smaller pictures stay."""
    scale = min(1.0, SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Label map at another size: each new pixel centre takes the label under it."""
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    return labels[rows[:, None], columns]


def instances_by_rule(mask: np.ndarray, objects: Objects, classes: Sequence[str]) -> np.ndarray | None:
    """uint8 (H, W) of 0, 1..n, 255 from class mask and boxes, or None when the picture is not clean (see the head of
    this file).
    """
    out = np.where(mask == VOID, np.uint8(VOID), np.uint8(0))
    number = 0
    for value in np.setdiff1d(np.unique(mask), [0, VOID]):
        boxes = [corners for name, corners, _ in objects if name == classes[value - 1]]
        pieces = _pieces(mask == value, boxes)
        if pieces is None:
            return None
        out[mask == value] = VOID  # what lies in no box
        for piece in pieces:
            number += 1
            out[piece] = number
    return out if number else None


def _pieces(region: np.ndarray, boxes: list[Corners]) -> list[np.ndarray] | None:
    """The parts of one class's region in each of its boxes, or None when the rule is broken."""
    windows = [_window(box, region.shape) for box in boxes]
    if not boxes or any(_overlap(a, b) > 0 for k, a in enumerate(boxes) for b in boxes[:k]):
        return None
    pieces = []
    for window, box in zip(windows, boxes, strict=True):
        piece = np.zeros_like(region)
        piece[window] = region[window]
        if not piece.any() or _iou(box_of(piece), box) < AGREE:
            return None
        pieces.append(piece)
    return pieces if sum(piece.sum() for piece in pieces) >= INSIDE * region.sum() else None


def _window(box: Corners, shape: tuple[int, int]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (round(value) for value in box)
    return slice(max(0, y0), min(shape[0], y1)), slice(max(0, x0), min(shape[1], x1))


def _overlap(a: Corners, b: Corners) -> float:
    """Common area of two boxes."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _iou(a: Corners, b: Corners) -> float:
    both = _overlap(a, b)
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return both / (area_a + area_b - both)


def scaled(box: Corners, size: tuple[int, int], small: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box in a picture of another (height, width): rounded, at least one pixel, inside."""
    (height, width), (h, w) = size, small
    x0, y0, x1, y1 = box
    left, top = min(round(x0 * w / width), w - 1), min(round(y0 * h / height), h - 1)
    return left, top, min(max(round(x1 * w / width), left + 1), w), min(max(round(y1 * h / height), top + 1), h)


def write_tags(path: Path, kit: Path, names: Sequence[str], classes: Sequence[str]) -> None:
    """tags.csv: image and one 0/1 column per class, from the official annotations with difficult objects."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["image", *classes])
        for name in names:
            present = {title for title, _, _ in read_annotation(kit / "Annotations" / f"{name}.xml")}
            rows.writerow([name, *(int(title in present) for title in classes)])
