"""Classifiers small enough for tests."""

import pytest

from weakseg.nets.final import Optimisation
from weakseg.papers.guided_labelling.model import SeederParams


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
