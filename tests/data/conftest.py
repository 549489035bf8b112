"""One small drawn set for all data tests, and a copy of it that a test may damage."""

import shutil

import pytest

from weakseg.data.menagerie import MenagerieParams, draw_set

TINY = MenagerieParams(
    size=(60, 72), n_trainaug=24, n_train=10, n_val=8, n_tune=6, n_salient=6, n_salient_test=3, n_ilso=10, annotators=5
)


@pytest.fixture(scope="session")
def tiny():
    """Params of the small set."""
    return TINY


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Folder with the whole drawn set; read only."""
    out = tmp_path_factory.mktemp("menagerie")
    draw_set(out, menagerie=TINY)
    return out


@pytest.fixture
def copy(drawn, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(drawn, tmp_path / "copy")
