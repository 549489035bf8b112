import shutil

import numpy as np
import pytest

from weakseg.data import derive, weak
from weakseg.data.check import check
from weakseg.data.derive import derive_voc_animals, instances_by_rule, nearest, scaled, smaller
from weakseg.data.files import write_lines
from weakseg.data.menagerie import MenagerieParams, draw_set
from weakseg.data.voc import VocSet, split_names

CLASSES = ("cat", "dog")


def picture(*regions):
    """Class mask (20, 40) and the instance truth; a region is (value, x0, y0, x1, y1)."""
    mask = np.zeros((20, 40), np.uint8)
    for value, x0, y0, x1, y1 in regions:
        mask[y0:y1, x0:x1] = value
    return mask


def box(name, *corners):
    return (name, tuple(float(c) for c in corners), False)


def test_the_rule_splits_a_class_by_its_boxes():
    mask = picture((1, 2, 2, 10, 10), (1, 20, 2, 30, 12), (2, 32, 3, 38, 9))
    objects = [box("cat", 2, 2, 10, 10), box("cat", 20, 2, 30, 12), box("dog", 32, 3, 38, 9), box("person", 0, 0, 9, 9)]
    numbers = instances_by_rule(mask, objects, (*CLASSES, "person"))
    assert np.array_equal(numbers, picture((1, 2, 2, 10, 10), (2, 20, 2, 30, 12), (3, 32, 3, 38, 9)))


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ([], "a class without a box"),
        ([box("cat", 2, 2, 10, 10), box("cat", 9, 2, 30, 12)], "boxes of one class overlap"),
        ([box("cat", 2, 2, 10, 10)], "less than 98 % inside"),
        ([box("cat", 2, 2, 10, 10), box("cat", 20, 2, 36, 18)], "extent and box disagree"),
        ([box("cat", 2, 2, 10, 10), box("cat", 20, 2, 30, 12), box("cat", 32, 15, 38, 19)], "a box with nothing in it"),
    ],
)
def test_a_picture_that_is_not_clean_has_no_instances(objects, why):
    mask = picture((1, 2, 2, 10, 10), (1, 20, 2, 30, 12))
    assert instances_by_rule(mask, objects, CLASSES) is None, why


def test_a_little_outside_the_boxes_becomes_void():
    mask = picture((1, 0, 0, 20, 20))
    mask[0, 20:25] = 1  # 5 of 405 pixels
    numbers = instances_by_rule(mask, [box("cat", 0, 0, 20, 20)], CLASSES)
    assert (numbers[0, 20:25] == 255).all() and (numbers[:, :20] == 1).all()


def test_sizes_and_boxes_by_hand():
    assert smaller(375, 500) == (192, 256) and smaller(500, 333) == (256, 170) and smaller(100, 50) == (100, 50)
    assert scaled((0, 0, 500, 375), (375, 500), (192, 256)) == (0, 0, 256, 192)
    assert scaled((499, 374, 500, 375), (375, 500), (192, 256)) == (255, 191, 256, 192)
    labels = np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.uint8)
    assert nearest(labels, 1, 2).tolist() == [[5, 7]] and np.array_equal(nearest(labels, 2, 4), labels)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A fake official devkit with pictures larger than 256 pixels, and lists as the project ships them."""
    root = tmp_path_factory.mktemp("official")
    params = MenagerieParams(
        size=(300, 400),
        n_trainaug=10,
        n_train=4,
        n_val=6,
        n_tune=1,
        n_salient=0,
        n_salient_test=0,
        n_ilso=0,
        coco=False,
    )
    draw_set(root, menagerie=params)
    lists = root / "lists"
    for shipped, listed in (("train", "trainaug"), ("train_voc", "train"), ("val", "val")):
        write_lines(lists / f"{shipped}.txt", split_names(root, listed))
    return root, lists


def test_the_derived_set_is_whole_and_small(official, tmp_path):
    root, lists = official
    lines = derive_voc_animals(root, tmp_path, lists)
    assert len(lines) == 1 and "16 pictures" in lines[0]
    assert check(tmp_path) == []
    for split, listed in (("train", "trainaug"), ("val", "val"), ("train_voc", "train")):
        big, small = VocSet(root, listed), VocSet(tmp_path, split)
        assert small.names == big.names
        for index in range(len(big)):
            assert small.image(index).shape == (192, 256, 3)
            assert np.array_equal(small.semantic(index), nearest(big.semantic(index), 192, 256))
            assert np.array_equal(weak.tags(small, index), weak.tags(big, index))
    clean = VocSet(tmp_path, "train_instances")
    assert 0 < len(clean) < 10
    for index in range(len(clean)):
        masks, labels = clean.instances(index)
        want = weak.count(clean, index)
        assert np.array_equal(np.bincount(labels, minlength=6), want) and len(masks) == want.sum()


def test_pictures_of_2007_keep_their_tags_only(official, tmp_path):
    root, lists = official
    other = shutil.copytree(root, tmp_path / "in")
    old, new = split_names(other, "val")[0], "2007_000001"
    for path in list(other.rglob(f"{old}.*")):
        path.rename(path.with_stem(new))
    write_lines(other / "lists/val.txt", [new, *split_names(root, "val")[1:]])
    derive_voc_animals(other, tmp_path / "out", other / "lists")
    small, big = VocSet(tmp_path / "out", "val"), VocSet(root, "val")
    assert small.names[0] == new and not small.annotation_path(0).exists() and not small.has_instances(0)
    assert np.array_equal(weak.tags(small, 0), weak.tags(big, 0))
    assert new not in split_names(tmp_path / "out", "val_instances")


def test_a_difference_from_the_shipped_instance_list_is_said(official, tmp_path):
    root, lists = official
    write_lines(lists / "val_instances.txt", ["2012_999999"])
    lines = derive_voc_animals(root, tmp_path, lists)
    (lists / "val_instances.txt").unlink()
    assert any("val_instances: differs from the shipped list, 1 gone ['2012_999999']" in line for line in lines)


def test_the_shipped_lists_hold_together():
    names = {path.stem: path.read_text().split() for path in derive.LISTS.glob("*.txt")}
    sizes = {title: len(entries) for title, entries in names.items()}
    assert sizes == {"train": 1500, "train_voc": 437, "train_instances": 1006, "val": 445, "val_instances": 248}
    assert all(len(set(entries)) == len(entries) for entries in names.values())
    assert not set(names["train"]) & set(names["val"])
    assert set(names["train_voc"]) < set(names["train"]) and set(names["train_instances"]) < set(names["train"])
    assert set(names["val_instances"]) < set(names["val"])
