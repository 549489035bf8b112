"""A devkit of a dozen small drawn pictures: two classes of discs on plain ground."""

import pytest

from weakseg.data.menagerie import MenagerieParams
from weakseg.data.sets import DataParams, pictures
from weakseg.data.voc import VocSet
from weakseg.study.stages import Store


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """(store, pictures artifact, data params) of a tiny Menagerie."""
    store = Store(tmp_path_factory.mktemp("runs"))
    few = MenagerieParams(
        size=64,
        classes=3,
        n_trainaug=12,
        n_train=4,
        n_val=4,
        n_tune=2,
        n_salient=1,
        n_salient_test=1,
        n_ilso=2,
        coco=False,
    )
    data = DataParams(menagerie=few)
    return store, pictures(store, data), data


@pytest.fixture
def blind(tmp_path, monkeypatch):
    """An empty store, and from here on reading any mask is an error."""

    def refuse(self, kind, index):
        raise AssertionError(f"a weakly supervised stage opened Segmentation{kind} of {self.names[index]}")

    monkeypatch.setattr(VocSet, "_mask", refuse)
    return Store(tmp_path / "blind")
