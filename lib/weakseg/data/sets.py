"""Which pictures a study uses: drawn, or a data root in the layout of VOC or COCO; and the list behind each split."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from weakseg.data import coco
from weakseg.data.coco import CocoSet, PictureSet, some
from weakseg.data.menagerie import MenagerieParams, draw_set
from weakseg.data.voc import VocSet, split_names
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store, external

SPLITS = {
    "trainaug": "trainaug",
    "train": "train",
    "val": "val",
    "tune": "tune",
    "train_instances": "train",
    "val_instances": "val",
}


class DataParams(Group):
    """Pictures of a study.

    Splits: trainaug (training), train (part of it, pseudo labels are judged there), val, tune (thresholds).

    splits maps a split to the list of that name, in ImageSets/Segmentation or of `coco.list_names`; a split that is not
    named keeps its own name.
    Without a tune list, tune_take pictures of the list tune_from are set aside: they leave every other split.
    """

    layout: Literal["menagerie", "voc", "coco"] = "menagerie"
    menagerie: MenagerieParams | None = None
    root: str | None = None  # folder that holds VOCdevkit/ or coco/; else the variable WEAKSEG_DATA
    classes: tuple[str, ...] | None = None  # all classes of the set when absent
    splits: dict[str, str] = Field(default_factory=dict)
    tune_take: int = Field(0, ge=0)
    tune_from: str = "train"

    @model_validator(mode="after")
    def _agree(self):
        if self.layout == "menagerie" and self.menagerie is None:
            raise ValueError("menagerie: missing; layout menagerie needs the group that says what to draw")
        if self.layout == "menagerie" and (self.root or self.tune_take):
            raise ValueError("root and tune_take belong to layouts voc and coco; drawn pictures have a tune list")
        return self

    def list_of(self, split: str) -> str:
        """Name of the list behind a split."""
        return self.splits.get(split) or SPLITS.get(split, split)

    @property
    def aside(self) -> str:
        """Where a sweep is measured: "tune" if pictures are set aside, else "train", where labels are judged anyway."""
        return "tune" if self.layout == "menagerie" or self.tune_take or "tune" in self.splits else "train"


def pictures(store: Store, data: DataParams) -> Artifact:
    """The folder of pictures as an artifact: drawn by a stage, or the data root as it lies on disk."""
    if data.layout == "menagerie":
        return store(draw_set, menagerie=data.menagerie)
    return external(data_root(data))


def data_root(data: DataParams) -> Path:
    """data.root, else the variable WEAKSEG_DATA. FileNotFoundError with the mend when neither leads to a folder."""
    root, held = data.root or os.environ.get("WEAKSEG_DATA"), "coco/" if data.layout == "coco" else "VOCdevkit/"
    if not root:
        raise FileNotFoundError(
            f"data.root: not set; name the folder that holds {held} there or in the variable WEAKSEG_DATA"
        )
    if not Path(root).is_dir():
        raise FileNotFoundError(
            f"{root}: no such folder; data.root or WEAKSEG_DATA must name the folder that holds {held}"
        )
    return Path(root)


def listed_names(root: Path, data: DataParams, listed: str) -> list[str]:
    """Names of the pictures in a list. FileNotFoundError names the lists that exist."""
    return coco.list_names(root / "coco", listed) if data.layout == "coco" else split_names(root, listed)


def _tune_list(data: DataParams) -> str:
    """The list that the tune pictures are taken from."""
    return data.splits.get(data.tune_from, data.tune_from)


def tune_names(root: Path, data: DataParams) -> list[str]:
    """The pictures set aside when the root has no tune list: tune_take of tune_from, drawn once with a fixed seed."""
    source = listed_names(root, data, _tune_list(data))
    if data.tune_take > len(source):
        raise ValueError(
            f"data.tune_take: {data.tune_take} pictures wanted, but the list {data.tune_from} has {len(source)}"
        )
    return some(source, data.tune_take)


def open_set(artifact: Artifact | Path, data: DataParams, split: str) -> PictureSet:
    """One split of the pictures. The tune pictures are in no other split."""
    root = artifact.path if isinstance(artifact, Artifact) else Path(artifact)
    tuned = bool(data.tune_take) and split == "tune"
    listed = _tune_list(data) if tuned else data.list_of(split)
    names = listed_names(root, data, listed)
    if data.tune_take:
        aside = set(tune_names(root, data))
        names = [name for name in names if (name in aside) == tuned]
    if data.layout == "coco":
        return CocoSet(root / "coco", coco.PARTS[listed], data.classes, names)
    return VocSet(root, listed, data.classes, names)


def covering(artifact: Artifact, data: DataParams, split: str) -> str:
    """ "trainaug" for splits that are part of it, so that their pictures are computed once; else the split itself."""
    if split == "tune":
        return split
    names = {part: set(open_set(artifact, data, part).names) for part in (split, "trainaug")}
    return "trainaug" if names[split] <= names["trainaug"] else split
