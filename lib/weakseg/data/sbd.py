"""SBD (Hariharan et al. 2011): masks in .mat files; with VOC 2012 they make `trainaug`, 10,582 pictures.

Names: (VOC train + SBD train + SBD val) without VOC val. SBD masks have no void pixel; the official masks of VOC
train keep theirs.
"""

from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from weakseg.data.files import read_lines, read_picture, same_size, write_labels, write_lines
from weakseg.data.voc import VOC_CLASSES, devkit, split_names
from weakseg.study.machine import parallel

TRAINAUG = 10_582
FOLDERS = ("benchmark_RELEASE/dataset", "SBD/dataset", "SBD")


def sbd_folder(root: Path) -> Path:
    """The folder with cls/, inst/, train.txt and val.txt under `root`; FileNotFoundError with the mend when there is
    none.
    """
    for folder in FOLDERS:
        if (root / folder / "cls").is_dir():
            return root / folder
    raise FileNotFoundError(f"{root / FOLDERS[0]}: missing; fetch sbd into the folder that holds VOCdevkit/")


def read_mat(path: Path, kind: str) -> np.ndarray:
    """uint8 (H, W): class values 0..20 of a `cls` file, or instance numbers 0..n of an `inst` file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; fetch sbd again")
    try:
        labels = loadmat(path, squeeze_me=True, struct_as_record=False)[
            "GTcls" if kind == "cls" else "GTinst"
        ].Segmentation
    except (KeyError, AttributeError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise ValueError(f"{path}: truncated or no SBD file ({error}); fetch sbd again") from None
    labels = np.asarray(labels)
    if kind == "cls" and labels.max(initial=0) > len(VOC_CLASSES):
        raise ValueError(f"{path}: class value {labels.max()}, but VOC has 20 classes; fetch sbd again")
    return labels.astype(np.uint8)


def trainaug_names(root: Path) -> list[str]:
    """(VOC train + SBD train + SBD val) - VOC val, in the order VOC train, then SBD's by name."""
    folder, mend = sbd_folder(root), "fetch sbd again"
    first, held = split_names(root, "train"), set(split_names(root, "val"))
    more = {name for split in ("train", "val") for name in read_lines(folder / f"{split}.txt", mend)}
    return first + sorted(more - set(first) - held)


def build_trainaug(root: Path) -> int:
    """Write SegmentationClassAug, SegmentationObjectAug (names that VOC itself has no mask of) and
    ImageSets/Segmentation/trainaug.txt.

    Returns the number of names: 10,582 from the two official archives. The list is written last.
    """
    root = Path(root)
    target, source, names = devkit(root), sbd_folder(root), trainaug_names(root)
    for kind in ("Class", "Object"):
        (target / f"Segmentation{kind}Aug").mkdir(exist_ok=True)
    wanted = [name for name in names if not (target / "SegmentationClass" / f"{name}.png").is_file()]
    parallel(partial(_convert, source=source, target=target), wanted, title="building trainaug")
    write_lines(target / "ImageSets/Segmentation/trainaug.txt", names)
    return len(names)


def _convert(name: str, *, source: Path, target: Path) -> None:
    """Class and instance mask of one SBD picture as PNG; their sizes must agree with the photo."""
    photo = target / "JPEGImages" / f"{name}.jpg"
    image = read_picture(photo)
    for kind, folder in (("cls", "SegmentationClassAug"), ("inst", "SegmentationObjectAug")):
        path = source / kind / f"{name}.mat"
        labels = read_mat(path, kind)
        same_size(image, photo, labels, path)
        write_labels(target / folder / f"{name}.png", labels)
