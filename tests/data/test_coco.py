import json

import numpy as np
import pytest

from weakseg.data.coco import CocoSet, decode
from weakseg.data.voc import VocSet


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


def one_picture(folder, **changes):
    car = {"image_id": 7, "category_id": 3, "iscrowd": 0}
    annotations = [
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
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return CocoSet(folder, "val")


def test_crowds_are_void_and_small_things_lie_in_front(tmp_path):
    pictures = one_picture(tmp_path)
    assert pictures.classes == ("car", "brush")
    masks, labels = pictures.instances(0)
    assert masks.shape == (2, 4, 6) and labels.tolist() == [0, 1]
    want = np.array([[1, 1, 1, 1, 255, 255], [1, 2, 2, 1, 255, 255], [1, 2, 2, 1, 255, 255], [1, 1, 1, 1, 255, 255]])
    assert np.array_equal(pictures.semantic(0), want)
    assert [box.difficult for box in pictures.objects(0)] == [False, False, True]


def test_a_picture_without_annotation_has_no_instance(tmp_path):
    masks, labels = one_picture(tmp_path, annotations=[]).instances(0)
    assert masks.shape == (0, 4, 6) and labels.shape == (0,)


def test_broken_files_are_named(tmp_path, copy):
    with pytest.raises(FileNotFoundError, match=r"instances_val2017.json: missing; fetch coco"):
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
