import json
import pickle
import shutil

import numpy as np
import pytest

from weakseg.data import coco as layout
from weakseg.data import weak
from weakseg.data.coco import CocoSet, decode, list_names
from weakseg.data.voc import Box, VocSet


def test_same_truth_as_the_voc_layout(drawn):
    coco, voc = CocoSet(drawn / "coco", "train"), VocSet(drawn, "trainaug")
    assert coco.classes == voc.classes and len(coco) == len(voc)
    for index in range(len(voc)):
        assert np.array_equal(coco.image(index), voc.image(index))
        if index >= 10:  # beyond train the VOC masks have no void border
            (masks, labels), (truth, want) = coco.instances(index), voc.instances(index)
            assert np.array_equal(masks, truth) and labels.tolist() == want.tolist()
            assert np.array_equal(coco.semantic(index), voc.semantic(index))
        assert coco.objects(index) == [
            box.__class__(b.label, b.x0, b.y0, b.x1, b.y1) for b in voc.objects(index) for box in [b]
        ]


def test_polygons_and_run_lengths_by_hand():
    square = decode([[1, 1, 4, 1, 4, 3, 1, 3]], 5, 6, "x")
    assert square.sum() == 6 and square[1:3, 1:4].all()
    counts = {"size": [2, 3], "counts": [1, 2, 3]}  # column by column: 0 1 | 1 0 | 0 0
    assert decode(counts, 2, 3, "x").tolist() == [[False, True, False], [True, False, False]]


def one_picture(folder, classes=None, **changes):
    car = {"image_id": 7, "category_id": 3, "iscrowd": 0}
    flat = {"bbox": [1, 2, 1.03, 0], "segmentation": [[1, 2, 1, 2, 2.03, 2, 2.03, 2]]}  # such as train2017 has two
    annotations = [
        car | {"id": 4, "area": 0} | flat,
        car | {"id": 1, "area": 16, "bbox": [0, 0, 4, 4], "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]},
        car | {"id": 2, "category_id": 90, "area": 4, "bbox": [1, 1, 2, 2], "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]},
        car
        | {"id": 3, "iscrowd": 1, "area": 8, "bbox": [4, 0, 2, 4], "segmentation": {"size": [4, 6], "counts": [16, 8]}},
    ]
    content = {
        "images": [{"id": 7, "file_name": "000000000007.jpg", "height": 4, "width": 6}],
        "categories": [{"id": 90, "name": "brush"}, {"id": 3, "name": "car"}],
        "annotations": annotations,
    } | changes
    for name in ("annotations", "val2017"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return CocoSet(folder, "val", classes)


def test_crowds_are_void_and_no_object_and_small_things_lie_in_front(tmp_path):
    pictures = one_picture(tmp_path)
    assert pictures.classes == ("car", "brush")
    masks, labels = pictures.instances(0)
    assert masks.shape == (2, 4, 6) and labels.tolist() == [0, 1]
    want = np.array([[1, 1, 1, 1, 255, 255], [1, 2, 2, 1, 255, 255], [1, 2, 2, 1, 255, 255], [1, 1, 1, 1, 255, 255]])
    assert np.array_equal(pictures.semantic(0), want)
    assert pictures.objects(0) == [Box(0, 0, 0, 4, 4), Box(1, 1, 1, 3, 3)]


def test_other_classes_are_void_and_no_object(tmp_path):
    pictures = one_picture(tmp_path, classes=("brush",))
    masks, labels = pictures.instances(0)
    assert masks.sum() == 4 and labels.tolist() == [0] and pictures.objects(0) == [Box(0, 1, 1, 3, 3)]
    assert np.bincount(pictures.semantic(0).ravel())[[0, 1, 255]].tolist() == [0, 4, 20]


def test_a_picture_without_annotation_has_no_object(tmp_path):
    pictures = one_picture(tmp_path, annotations=[])
    masks, labels = pictures.instances(0)
    assert masks.shape == (0, 4, 6) and labels.shape == (0,)
    assert pictures.objects(0) == [] and not weak.tags(pictures, 0).any() and pictures.has_instances(0)


def test_train_is_a_fixed_part_of_train2017(drawn, monkeypatch):
    whole, few = list_names(drawn / "coco", "trainaug"), list_names(drawn / "coco", "train")
    assert whole == few == CocoSet(drawn / "coco", "train").names and len(whole) == 24  # fewer than N_TRAIN
    monkeypatch.setattr(layout, "N_TRAIN", 7)
    few = list_names(drawn / "coco", "train")
    assert len(few) == 7 and set(few) < set(whole) and few == sorted(few) == list_names(drawn / "coco", "train")
    assert list_names(drawn / "coco", "val") == CocoSet(drawn / "coco", "val").names
    with pytest.raises(FileNotFoundError, match=r"coco: no list 'tune'; COCO has trainaug, train, val; data.tune_take"):
        list_names(drawn / "coco", "tune")


def test_a_set_goes_to_a_worker_without_its_annotations(drawn):
    pictures = CocoSet(drawn / "coco", "train", names=list_names(drawn / "coco", "train")[3:5])
    sent = pickle.dumps(pictures)
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent).semantic(1), pictures.semantic(1))


def test_broken_files_are_named(tmp_path, copy):
    missing = r"instances_val2017.json: missing; fetch coco, or point WEAKSEG_DATA or data.root"
    with pytest.raises(FileNotFoundError, match=missing):
        CocoSet(tmp_path, "val")
    broken = {"id": 5, "image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1], "area": 1}
    pictures = one_picture(tmp_path, annotations=[broken | {"segmentation": {"size": [9, 9], "counts": [81]}}])
    with pytest.raises(ValueError, match=r"annotation 5: mask of 9x9 pixels in a picture of 6x4"):
        pictures.instances(0)
    path = tmp_path / "annotations/instances_val2017.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r"val2017.json: truncated or no json"):
        CocoSet(tmp_path, "val")
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"val2017.json: no 'images'"):
        CocoSet(tmp_path, "val")
    with pytest.raises(ValueError, match=r"'unicorn' is no category"):
        CocoSet(copy / "coco", "val", classes=("unicorn",))
    shutil.rmtree(copy / "coco/val2017")
    with pytest.raises(FileNotFoundError, match=r"coco/val2017: missing; fetch coco"):
        CocoSet(copy / "coco", "val")
