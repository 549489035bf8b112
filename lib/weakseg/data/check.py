"""`python -m weakseg.data check`: every missing, truncated, mis-sized or mis-labelled file of a data root, one line
each.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from weakseg.data.coco import CocoSet
from weakseg.data.files import VOID, read_labels
from weakseg.data.ilso import SHARES, IlsoSet
from weakseg.data.msra import MsraSet
from weakseg.data.saliency import SalientSet, open_duts, open_ecssd
from weakseg.data.voc import VocSet, devkit, mask_path, read_annotation, split_names
from weakseg.data.weak import tags
from weakseg.study.machine import parallel

Check = Callable[[], object]


def check(root: Path) -> list[str]:
    """All faults below a data root, in order of set and picture. FileNotFoundError when no known set lies there."""
    root = Path(root)
    parts = {
        "VOCdevkit": check_voc,
        "coco": check_coco,
        "DUTS": check_duts,
        "ECSSD": check_ecssd,
        "MSRA-B": check_msra,
        "ILSO": check_ilso,
    }
    found = [part for name, part in parts.items() if (root / name).is_dir()]
    if not found:
        raise FileNotFoundError(f"{root}: none of {', '.join(parts)} is there; point at the folder that holds them")
    return [line for part in found for line in part(root)]


def faults(checks: Iterable[Check]) -> list[str]:
    """The one-line messages of those checks that raise."""
    lines = []
    for one in checks:
        try:
            one()
        except (FileNotFoundError, ValueError) as error:
            lines.append(str(error))
    return lines


def check_voc(root: Path) -> list[str]:
    """Every picture of every list: photo, masks, annotation or tags."""
    try:
        lists = sorted(path.stem for path in (devkit(root) / "ImageSets/Segmentation").glob("*.txt"))
        split = {name: split_names(root, name) for name in lists}
    except FileNotFoundError as error:
        return [str(error)]
    if not lists:
        return [f"{devkit(root) / 'ImageSets/Segmentation'}: no list; fetch voc2012 again"]
    strict = [name for name in lists if name.endswith("_instances")] or [
        name for name in lists if name in ("train", "val", "trainval")
    ]
    with_instances = {name for one in strict for name in split[one]}
    names = sorted({name for one in split.values() for name in one})
    doubled = [
        f"{name}.txt: {len(n) - len(set(n))} names stand there twice; take them out"
        for name, n in split.items()
        if len(set(n)) < len(n)
    ]
    rows = parallel(
        partial(_voc_picture, root=root, with_instances=frozenset(with_instances)), names, title="checking VOC"
    )
    return doubled + _shared_names(split) + [line for row in rows for line in row]


def _shared_names(split: dict[str, list[str]]) -> list[str]:
    """train and val lists must share no picture."""
    both = set(split.get("trainaug", [])) | set(split.get("train", []))
    shared = sorted(both & set(split.get("val", [])))
    return (
        [f"val.txt: {len(shared)} pictures are also trained on ({shared[0]} ...); take them out of train or trainaug"]
        if shared
        else []
    )


def _voc_picture(name: str, *, root: Path, with_instances: frozenset[str]) -> list[str]:
    one = VocSet(root, "", names=[name])
    lines = faults([lambda: one.image(0)])
    if lines:  # sizes can only be compared with a photo
        return lines
    checks: list[Check] = [lambda: one.semantic(0), lambda: _voc_labels(one)]
    if name in with_instances or one.has_instances(0):
        checks.append(lambda: _voc_instances(one))
    return list(dict.fromkeys(faults(checks)))


def _voc_instances(one: VocSet) -> None:
    """Instance numbers count 1..n without a gap and every instance has a class."""
    path = mask_path(one.folder, "Object", one.names[0])
    one.instances(0)
    numbers = np.setdiff1d(np.unique(read_labels(path)), [0, VOID])
    if len(numbers) and numbers[-1] != len(numbers):
        raise ValueError(f"{path}: instance numbers {numbers.tolist()} have gaps; number them 1..n")
    if len(numbers) != len(one.instances(0)[1]):
        raise ValueError(f"{path}: an instance has no class under it; correct this mask or the class mask")


def _voc_labels(one: VocSet) -> None:
    """Annotation readable, classes known, boxes inside the photo; without an annotation, a row of tags."""
    tags(one, 0)
    path = one.annotation_path(0)
    if not path.is_file():
        return
    height, width = one.image(0).shape[:2]
    for name, (x0, y0, x1, y1), _ in read_annotation(path):
        if x0 < -1 or y0 < -1 or x1 > width + 1 or y1 > height + 1:
            raise ValueError(
                f"{path}: box {x0 + 1:g},{y0 + 1:g},{x1:g},{y1:g} of {name} lies outside the "
                f"{width}x{height} photo; correct it"
            )


def check_coco(root: Path) -> list[str]:
    """Both splits: json readable, every photo there and of the stated size, every mask decodable."""
    lines = []
    for split in ("train", "val"):
        if not (root / "coco/annotations" / f"instances_{split}2017.json").is_file() and split == "train":
            continue  # val alone is a usable set
        try:
            pictures = CocoSet(root / "coco", split)
        except (FileNotFoundError, ValueError) as error:
            lines.append(str(error))
            continue
        rows = parallel(partial(_coco_picture, pictures=pictures), range(len(pictures)), title=f"checking COCO {split}")
        lines += [line for row in rows for line in row]
    return lines


def _coco_picture(index: int, *, pictures: CocoSet) -> list[str]:
    return faults([lambda: pictures.image(index), lambda: pictures.instances(index)])


def check_duts(root: Path) -> list[str]:
    """DUTS-TR and, where present, DUTS-TE."""
    parts = [part for part in ("TR", "TE") if (root / "DUTS" / f"DUTS-{part}").is_dir()] or ["TR"]
    return [line for part in parts for line in _check_salient(partial(open_duts, root, part), f"DUTS-{part}")]


def check_ecssd(root: Path) -> list[str]:
    """All pictures of ECSSD."""
    return _check_salient(partial(open_ecssd, root), "ECSSD")


def _check_salient(opener: Callable[[], SalientSet], title: str) -> list[str]:
    try:
        pictures = opener()
    except (FileNotFoundError, ValueError) as error:
        return [str(error)]
    rows = parallel(partial(_salient_picture, pictures=pictures), range(len(pictures)), title=f"checking {title}")
    return [line for row in rows for line in row]


def _salient_picture(index: int, *, pictures: SalientSet) -> list[str]:
    return faults([lambda: pictures.mask(index)])


def check_msra(root: Path) -> list[str]:
    """Annotation texts and all photos of MSRA-B."""
    try:
        pictures = MsraSet(root)
    except (FileNotFoundError, ValueError) as error:
        return [str(error)]
    return [line for k in range(len(pictures)) for line in faults([partial(pictures.image, k)])]


def check_ilso(root: Path) -> list[str]:
    """All pictures and instance masks of ILSO."""
    lines = []
    for split in SHARES:
        try:
            pictures = IlsoSet(root, split)
        except (FileNotFoundError, ValueError) as error:
            return [str(error)]
        lines += [line for k in range(len(pictures)) for line in faults([partial(pictures.instances, k)])]
    return lines
