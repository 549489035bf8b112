"""A devkit of a dozen small drawn pictures with a salient set of other classes."""

import pytest

from weakseg.data.menagerie import MenagerieParams
from weakseg.data.sets import DataParams, pictures
from weakseg.study.stages import Store


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """(store, pictures artifact, data params) of a tiny Menagerie."""
    store = Store(tmp_path_factory.mktemp("runs"))
    few = MenagerieParams(size=64, classes=3, n_trainaug=12, n_train=4, n_val=4, n_tune=2, n_salient=8, n_ilso=0,
                          n_salient_test=1, coco=True)  # fmt: skip
    data = DataParams(menagerie=few)
    return store, pictures(store, data), data
