"""A devkit of a dozen small drawn pictures with their salient set, and classifiers small enough for tests."""

import pytest

from weakseg.data.menagerie import MenagerieParams
from weakseg.data.sets import DataParams, pictures
from weakseg.nets.final import Optimisation
from weakseg.papers.guided_labelling.model import SeederParams
from weakseg.study.stages import Store


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """(store, pictures artifact, data params) of a tiny Menagerie."""
    store = Store(tmp_path_factory.mktemp("runs"))
    few = MenagerieParams(
        size=64,
        classes=3,
        n_trainaug=10,
        n_train=4,
        n_val=4,
        n_tune=2,
        n_salient=6,
        n_salient_test=1,
        n_ilso=2,
        coco=False,
    )
    data = DataParams(menagerie=few)
    return store, pictures(store, data), data


@pytest.fixture(scope="session")
def small_seeder():
    return SeederParams(
        trunk="tiny",
        weights=None,
        channels=16,
        dilation=3,
        side=None,
        training=Optimisation(steps=4, batch_size=4, lr=0.01),
    )
