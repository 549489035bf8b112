"""Salient instances of two sources, and views that hide them."""

import shutil

import numpy as np
import pytest

from weakseg.data import weak
from weakseg.data.ilso import IlsoSet
from weakseg.data.salient_instances import PictureView, derive_counts, open_salient, read_counts
from weakseg.data.sets import DataParams, open_set
from weakseg.study.stages import Store, external


@pytest.fixture(scope="module")
def opened_root(drawn, tmp_path_factory):
    """(store, pictures artifact, data params) of the drawn set of this folder's tests."""
    return Store(tmp_path_factory.mktemp("runs")), external(drawn), DataParams(layout="voc", root=str(drawn))


@pytest.mark.parametrize(
    ("source", "split"), [("ilso", "train"), ("ilso", "masked"), ("voc", "train"), ("voc", "tune"), ("voc", "test")]
)
def test_counts_are_those_of_the_source(opened_root, source, split):
    store, pictures, data = opened_root
    opened = open_salient(pictures, data, source, split)
    counts = read_counts(store(derive_counts, pictures=pictures, data=data, source=source, split=split))
    assert list(counts) == sorted(opened.names) and len(opened) == len(counts) > 0
    assert [counts[name] for name in opened.names] == [opened.count(i) for i in range(len(opened))]
    assert opened.masks(0).shape[1:] == opened.image(0).shape[:2] and opened.masks(0).dtype == bool


def test_ilso_counts_are_its_instances(opened_root):
    _, pictures, data = opened_root
    opened, ilso = open_salient(pictures, data, "ilso", "train"), IlsoSet(pictures.path, "train")
    assert opened.names == tuple(ilso.names)
    assert [opened.count(i) for i in range(len(opened))] == [len(ilso.instances(i)) for i in range(len(ilso))]


def test_voc_counts_come_from_boxes(opened_root):
    _, pictures, data = opened_root
    opened, voc = open_salient(pictures, data, "voc", "test"), open_set(pictures, data, "val")
    assert [opened.count(i) for i in range(len(opened))] == [int(weak.count(voc, i).sum()) for i in range(len(voc))]


def test_photographs_without_annotation_are_not_counted(opened_root, drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "set")
    root = tmp_path / "set"
    pictures, data = external(root), DataParams(layout="voc", root=str(root))
    names = open_salient(pictures, data, "voc", "train").names
    voc = open_set(pictures, data, "trainaug")
    paths = [voc.annotation_path(i) for i in range(len(voc.names))]
    paths[1].unlink()
    opened = open_salient(pictures, data, "voc", "train")
    assert opened.names == (names[0], *names[2:]) and opened.count(1) == weak.count(voc, 2).sum()
    np.testing.assert_array_equal(opened.image(1), voc.image(2))
    for path in paths[:1] + paths[2:]:
        path.unlink()
    with pytest.raises(FileNotFoundError, match="missing, as all of split 'train'; fetch the annotations"):
        open_salient(pictures, data, "voc", "train")


def test_a_view_has_photos_only(opened_root):
    _, pictures, data = opened_root
    view = PictureView(open_salient(pictures, data, "ilso", "train"))
    assert not hasattr(view, "masks") and not hasattr(view, "count")
    assert view.image(0).ndim == 3 and len(view) == len(view.names)


def test_an_unknown_split_is_refused(opened_root):
    _, pictures, data = opened_root
    with pytest.raises(ValueError, match="split 'val': salient instances have train, masked, tune, test"):
        open_salient(pictures, data, "ilso", "val")
