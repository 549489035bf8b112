"""No mask may be opened."""

import pytest

from weakseg.data.voc import VocSet
from weakseg.study.stages import Store


@pytest.fixture
def blind(tmp_path, monkeypatch):
    """An empty store, and from here on reading any mask is an error."""

    def refuse(self, kind, index):
        raise AssertionError(f"a weakly supervised stage opened Segmentation{kind} of {self.names[index]}")

    monkeypatch.setattr(VocSet, "_mask", refuse)
    return Store(tmp_path / "blind")
