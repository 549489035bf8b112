"""PASCAL VOC devkit: VOCdevkit/VOC2012 with photos, masks, annotations and lists; also drawn sets and one's own in
that layout.

Masks: 0 background, 1..C classes in the order of `classes.txt` (VOC's 20 names when that file is absent), 255 void.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from weakseg.data.files import VOID, read_labels, read_lines, read_picture, same_size

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
CACHE_BYTES = 600_000_000  # decoded arrays kept per set


@dataclass(frozen=True)
class Box:
    """One annotated object: 0-based class and half-open pixel box x0, y0, x1, y1."""

    label: int
    x0: float
    y0: float
    x1: float
    y1: float
    difficult: bool = False


class VocSet:
    """One split of a VOC devkit.

    root: folder that holds VOCdevkit/. split: a list in ImageSets/Segmentation. classes: the classes of the study, in
    label order
    (all of the devkit's when None). Pixels of other classes become void, their instances, boxes and tags are dropped:
    a picture of a
    cat with an unlisted person says nothing wrong about the cat, and the person is neither background nor any listed
    class.
    Masks are looked for in SegmentationClass, then SegmentationClassAug (SBD), the same for SegmentationObject.
    """

    def __init__(
        self, root: Path | str, split: str, classes: Sequence[str] | None = None, names: Sequence[str] | None = None
    ):
        self.root, self.split = Path(root), split
        self.folder = devkit(self.root)
        self.vocabulary = vocabulary(self.folder)
        self.classes = tuple(classes or self.vocabulary)
        unknown = [name for name in self.classes if name not in self.vocabulary]
        if unknown:
            raise ValueError(
                f"data.classes: {unknown[0]!r} is no class of {self.folder}; it has {', '.join(self.vocabulary)}"
            )
        self.names = list(names) if names is not None else split_names(self.root, split)
        self._kept: dict[tuple[str, int], object] = {}
        self._room = CACHE_BYTES

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"VocSet({self.folder}, {self.split!r}, {len(self)} pictures, {len(self.classes)} classes)"

    @cached_property
    def _value_map(self) -> np.ndarray:
        """Mask value of the devkit -> value of this set; unlisted classes -> void."""
        table = np.full(256, VOID, np.uint8)
        table[0] = 0
        for label, name in enumerate(self.classes):
            table[self.vocabulary.index(name) + 1] = label + 1
        return table

    def _keep(self, key: tuple[str, int], read: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of `read`, decoded once while the set is small enough to be kept."""
        if key not in self._kept:
            array = read()
            array.flags.writeable = False
            if array.nbytes > self._room:
                return array
            self._room -= array.nbytes
            self._kept[key] = array
        return self._kept[key]

    def image_path(self, index: int) -> Path:
        """Photo of picture `index`."""
        return self.folder / "JPEGImages" / f"{self.names[index]}.jpg"

    def image(self, index: int) -> np.ndarray:
        """RGB, uint8 (H, W, 3), read-only."""
        return self._keep(("image", index), lambda: np.array(read_picture(self.image_path(index))))

    def _mask(self, kind: str, index: int) -> np.ndarray:
        """Raw mask (H, W) of SegmentationClass or SegmentationObject, its size checked against the photo."""
        path = mask_path(self.folder, kind, self.names[index])
        mask = np.array(read_labels(path))
        same_size(self.image(index), self.image_path(index), mask, path)
        return mask

    def _raw_semantic(self, index: int) -> np.ndarray:
        mask = self._mask("Class", index)
        wrong = np.setdiff1d(np.unique(mask), [*range(len(self.vocabulary) + 1), VOID])
        if len(wrong):
            path = mask_path(self.folder, "Class", self.names[index])
            raise ValueError(
                f"{path}: label value {wrong[0]}, but there are {len(self.vocabulary)} classes; "
                "correct the mask or classes.txt"
            )
        return mask

    def semantic(self, index: int) -> np.ndarray:
        """uint8 (H, W): 0 background, 1..C, 255 void."""
        return self._keep(("semantic", index), lambda: self._value_map[self._raw_semantic(index)])

    def has_instances(self, index: int) -> bool:
        """Whether the picture has an instance mask."""
        return any(
            (self.folder / f"SegmentationObject{tail}" / f"{self.names[index]}.png").is_file() for tail in ("", "Aug")
        )

    def instances(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """masks bool (n, H, W), labels int (n,) 0-based.

        An instance's class is the commonest class value under it; void belongs to none.
        """
        numbers = self._keep(("object", index), lambda: self._mask("Object", index))
        values = self._raw_semantic(index)
        masks, labels = [], []
        for number in np.setdiff1d(np.unique(numbers), [0, VOID]):
            mask = numbers == number
            under = np.bincount(values[mask], minlength=256)
            under[[0, VOID]] = 0
            label = int(self._value_map[under.argmax()]) if under.any() else VOID
            if 0 < label < VOID:
                masks.append(mask)
                labels.append(label - 1)
        return np.array(masks, bool).reshape(-1, *numbers.shape), np.array(labels, int)

    def annotation_path(self, index: int) -> Path:
        """XML annotation of picture `index`; it may be absent."""
        return self.folder / "Annotations" / f"{self.names[index]}.xml"

    def objects(self, index: int) -> list[Box]:
        """Annotated objects of the listed classes, difficult ones included. FileNotFoundError without an annotation."""
        path = self.annotation_path(index)
        known = {name: label for label, name in enumerate(self.classes)}
        boxes = []
        for name, corners, difficult in read_annotation(path):
            if name not in self.vocabulary:
                raise ValueError(
                    f"{path}: object {name!r} is not in the class list; correct the name or add it to classes.txt"
                )
            if name in known:
                boxes.append(Box(known[name], *corners, difficult))
        return boxes


def devkit(root: Path) -> Path:
    """VOCdevkit/VOC2012 under `root`; FileNotFoundError with the mend when there is none."""
    folder = Path(root) / "VOCdevkit" / "VOC2012"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: missing; point WEAKSEG_DATA or data.root at the folder that holds VOCdevkit/, or fetch voc2012"
        )
    return folder


def vocabulary(folder: Path) -> tuple[str, ...]:
    """Class names of a devkit in the order of mask values 1..C: classes.txt, or VOC's own."""
    path = folder / "classes.txt"
    return tuple(read_lines(path, "")) if path.is_file() else VOC_CLASSES


def split_names(root: Path, split: str) -> list[str]:
    """Picture names of a list in ImageSets/Segmentation. FileNotFoundError names the lists that exist."""
    folder = devkit(Path(root)) / "ImageSets" / "Segmentation"
    have = ", ".join(sorted(path.stem for path in folder.glob("*.txt"))) or "none"
    return [
        line.split()[0]
        for line in read_lines(
            folder / f"{split}.txt", f"lists there: {have}; trainaug is built by `weakseg.data build`"
        )
    ]


def mask_path(folder: Path, kind: str, name: str) -> Path:
    """Segmentation{kind} mask of a picture, or Segmentation{kind}Aug where the first has none."""
    first = folder / f"Segmentation{kind}" / f"{name}.png"
    second = folder / f"Segmentation{kind}Aug" / f"{name}.png"
    return second if second.is_file() and not first.is_file() else first


def read_annotation(path: Path) -> list[tuple[str, tuple[float, float, float, float], bool]]:
    """(name, half-open box, difficult) of every object. VOC boxes count from 1 and include their last pixel.

    The outer `bndbox` counts, not those of body parts. FileNotFoundError or ValueError with one line that names the
    file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: missing; fetch the annotations or take the picture off the list")
    try:
        tree = ElementTree.parse(path)
        return [_object(element) for element in tree.findall("object")]
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: broken annotation ({error}); fetch it again") from None


def _object(element: ElementTree.Element) -> tuple[str, tuple[float, float, float, float], bool]:
    box = element.find("bndbox")
    x0, y0, x1, y1 = (float(box.find(tag).text) for tag in ("xmin", "ymin", "xmax", "ymax"))
    if not (x1 >= x0 and y1 >= y0):
        raise ValueError(f"box {x0:g},{y0:g},{x1:g},{y1:g} is inside out")
    return (
        element.find("name").text.strip(),
        (x0 - 1, y0 - 1, x1, y1),
        element.findtext("difficult", "0").strip() == "1",
    )
