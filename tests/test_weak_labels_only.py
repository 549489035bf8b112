"""No training stage of a weakly supervised method opens a mask, nor, where tags are the supervision, an annotation.

Every method runs on drawn pictures under an audit hook that notes each file any library opens. The masks lie where
they always lie, so nothing but the methods themselves keeps them shut.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from weakseg.data import weak
from weakseg.data.menagerie import MenagerieParams
from weakseg.data.sets import DataParams, open_set, pictures
from weakseg.data.voc import split_names
from weakseg.study.stages import Store

MASKS = {"SegmentationClass", "SegmentationClassAug", "SegmentationObject", "SegmentationObjectAug"}
TRAINED_ON_TAGS = {"train_classifier", "train_irnet", "train_affinitynet", "train_prm", "train_sec"}


def write_tags_only(full: Path, root: Path, data: DataParams) -> None:
    """A copy of a drawn root whose annotations are gone and whose tags stand in tags.csv."""
    shutil.copytree(full, root)
    kit = root / "VOCdevkit/VOC2012"
    shutil.rmtree(kit / "Annotations")
    kit.joinpath("ImageSets/Main").mkdir(exist_ok=True)
    with open(kit / "ImageSets/Main/tags.csv", "w", newline="") as file:
        table = csv.writer(file)
        for split in ("trainaug", "val", "tune"):
            drawn = open_set(full, data, split)
            if split == "trainaug":
                table.writerow(["image", *drawn.classes])
            table.writerows([name, *weak.tags(drawn, i).astype(int)] for i, name in enumerate(drawn.names))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A drawn root with masks and annotations."""
    few = MenagerieParams(size=64, classes=3, n_trainaug=12, n_train=4, n_val=4, n_tune=3, n_salient=0, n_ilso=0,
                          n_salient_test=0, coco=False)  # fmt: skip
    return pictures(Store(tmp_path_factory.mktemp("drawn")), DataParams(menagerie=few)).path


@pytest.fixture(scope="module")
def opened(root, tmp_path_factory) -> dict[str, dict[str, set[str]]]:
    """supervision -> stage -> files below VOC2012 that it opened."""
    folder = tmp_path_factory.mktemp("watched")
    write_tags_only(root, folder / "tags_only", DataParams(layout="voc", root=str(root)))
    script = Path(__file__).with_name("watched.py")
    words = [sys.executable, str(script), str(folder / "tags_only"), str(root), str(folder / "runs")]
    environment = {**os.environ, "WEAKSEG_THREADS": "1", "OMP_NUM_THREADS": "1"}  # one process sees every open
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return {part: {stage: set(files) for stage, files in stages.items()} for part, stages in found.items()}


def kinds(files: set[str]) -> set[str]:
    """The folders of VOC2012 that files lie in."""
    return {file.split("/")[0] for file in files if "/" in file}


def test_tags_alone_train_every_method_of_tags(opened):
    assert TRAINED_ON_TAGS | {"train_mask_rcnn", "train_deeplab", "make_labels", "sec_cues"} <= set(opened["tags"])
    assert {stage for stage, files in opened["tags"].items() if kinds(files) - {"JPEGImages", "ImageSets"}} == set()
    assert "ImageSets/Main/tags.csv" in opened["tags"]["train_classifier"]  # read once, then kept by the process


def test_sdi_sees_boxes_and_no_mask(opened):
    allowed = {"JPEGImages", "ImageSets", "Annotations"}
    assert {stage for stage, files in opened["boxes"].items() if kinds(files) - allowed} == set()
    assert "Annotations" in kinds(opened["boxes"]["sdi_labels"])
    assert "Annotations" not in kinds(opened["boxes"]["train_mask_rcnn"])


def test_what_may_see_masks_does(opened):
    """The check can fail: evaluation and full supervision open masks, and the hook sees it."""
    seen = {stage: kinds(files) & MASKS for stage, files in opened["masks"].items()}
    assert "SegmentationObject" in seen["judge_instances"] and "SegmentationObject" in seen["train_mask_rcnn"]
    assert "SegmentationClass" in seen["judge_semantic"] and "SegmentationClass" in seen["train_deeplab"]
    assert {stage for stage, masks in seen.items() if masks} == {
        "choose_backgrounds", "judge_instances", "judge_semantic", "train_mask_rcnn", "train_deeplab",
    }  # fmt: skip


def test_the_background_score_is_chosen_on_set_aside_masks_only(opened, root):
    files = opened["masks"]["choose_backgrounds"]
    named = {Path(file).stem for file in files if file.split("/")[0] in MASKS}
    assert named == set(split_names(root, "tune"))
    assert not named & (set(split_names(root, "trainaug")) | set(split_names(root, "val")))
