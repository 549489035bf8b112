"""One file per picture: what is written is what is read, in bytes that repeat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from weakseg.study.artifacts import (
    load_instances,
    load_labels,
    load_maps,
    save_instances,
    save_labels,
    save_maps,
    voc_palette,
)


@settings(deadline=None, max_examples=40)
@given(
    masks=arrays.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 19))),
    seed=st.integers(0, 9),
)
def test_instances_return_as_they_were(tmp_path_factory, masks, seed):
    folder, rng = tmp_path_factory.mktemp("instances"), np.random.default_rng(seed)
    labels, scores = rng.integers(0, 20, len(masks)), rng.random(len(masks), dtype=np.float32)
    save_instances(folder, "2007_000032", masks, labels, scores)
    read = load_instances(folder, "2007_000032")
    assert [one.dtype for one in read] == [bool, np.int64, np.float32]
    for back, given_one in zip(read, (masks, labels, scores), strict=True):
        np.testing.assert_array_equal(back, given_one)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    masks = np.random.default_rng(0).random((3, 40, 50)) > 0.5
    for name in ("a", "b"):
        save_instances(tmp_path, name, masks, np.arange(3), np.ones(3))
        save_maps(tmp_path, f"maps_{name}", cam=masks.astype(np.float16), stride=np.int64(4))
        save_labels(tmp_path, f"labels_{name}", masks[0].astype(np.uint8))
    for stem, ending in (("", "npz"), ("maps_", "npz"), ("labels_", "png")):
        assert (tmp_path / f"{stem}a.{ending}").read_bytes() == (tmp_path / f"{stem}b.{ending}").read_bytes()


def test_masks_are_small_on_disk(tmp_path):
    masks = np.zeros((10, 500, 500), dtype=bool)
    masks[:, 100:300, 50:400] = True
    save_instances(tmp_path, "a", masks, np.zeros(10, int), np.ones(10))
    assert (tmp_path / "a.npz").stat().st_size < 10_000  # 2.5 MB as bytes


def test_instances_that_disagree_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a: masks \(2, 4, 4\), labels \(1,\), scores \(2,\) must be"):
        save_instances(tmp_path, "a", np.zeros((2, 4, 4), bool), np.zeros(1, int), np.zeros(2))
    with pytest.raises(ValueError, match=r"must be \(n, H, W\), \(n,\), \(n,\)"):
        save_instances(tmp_path, "a", np.zeros((4, 4), bool), np.zeros(4, int), np.zeros(4))


@settings(deadline=None, max_examples=20)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_label_maps_return_as_they_were_with_the_voc_palette(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("labels")
    save_labels(folder, "deep/a", labels)
    np.testing.assert_array_equal(load_labels(folder, "deep/a"), labels)
    with Image.open(folder / "deep/a.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.array(picture.convert("RGB")), voc_palette()[labels])


def test_the_palette_is_the_devkit_s():
    expected = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    for label, colour in (expected | {20: (0, 64, 128), 255: (224, 224, 192)}).items():
        assert tuple(voc_palette()[label]) == colour


def test_what_is_no_label_map_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a: a label map is uint8 \(H, W\) \(got int64 \(2, 2\)\)"):
        save_labels(tmp_path, "a", np.zeros((2, 2), np.int64))
    Image.new("RGB", (3, 3)).save(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match="rgb.png: a label map is a palette or grey png"):
        load_labels(tmp_path, "rgb")
    Image.new("L", (3, 2), 7).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(load_labels(tmp_path, "grey"), np.full((2, 3), 7))


def test_maps_return_by_name_and_refuse_objects(tmp_path):
    save_maps(tmp_path, "a", cam=np.eye(3, dtype=np.float16), classes=np.array([1, 4]))
    back = load_maps(tmp_path, "a")
    assert list(back) == ["cam", "classes"] and back["cam"].dtype == np.float16
    np.testing.assert_array_equal(back["classes"], [1, 4])
    with pytest.raises(ValueError, match="b: array 'bad' holds Python objects"):
        save_maps(tmp_path, "b", bad=np.array([None]))


def test_a_missing_file_is_named(tmp_path):
    for load in (load_maps, load_instances, load_labels):
        with pytest.raises(FileNotFoundError, match=r"none\.(npz|png): no such artifact file"):
            load(tmp_path, "none")
