"""Several processes: a training killed and taken up by as many, refused by another number; a notebook by torchrun."""

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from weakseg.study.stages import Store

HERE = Path(__file__).parent


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import engine_stages

    return engine_stages


@pytest.fixture
def training(toy, tmp_path):
    """A training of some steps in two processes, started by `pair`; none of them outlives the test."""
    found = Training(toy, tmp_path)
    yield found
    for process in found.running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)


class Training:
    def __init__(self, toy, root: Path) -> None:
        self.toy, self.root, self.running = toy, root, []
        self.stage, self.call = toy.train_points, {"classifier": toy.Classifier(epochs=8), "seed": 1, "pause": 0.003}

    def folder(self, name: str) -> Path:
        store = Store(self.root / name)
        return store.folder(store.plan(self.stage, **self.call))

    def saved(self, name: str) -> Path:
        folder = self.folder(name)
        return folder.with_name(f"{folder.name}.partial") / "checkpoint.pt"

    def alone(self, name: str) -> None:
        Store(self.root / name)(self.stage, **self.call)

    def pair(self, name: str) -> None:
        """Starts two processes that train together, as torchrun would."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        for rank in ("0", "1"):
            given = {"WORLD_SIZE": "2", "RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            said = self.root / f"said{rank}"
            self.running.append(self.toy.fork(lambda: self.alone(name), said, LOCAL_RANK=rank, **given))

    def finish(self) -> None:
        ended = [os.waitpid(process, 0)[1] for process in self.running]
        said = [(self.root / f"said{rank}").read_text() for rank in (0, 1)]
        self.running = []
        assert ended == [0, 0], said

    def kill_in_the_middle(self, name: str) -> None:
        self.pair(name)
        while not self.saved(name).exists() or torch.load(self.saved(name), weights_only=True)["step"] < 12:
            assert [os.waitpid(process, os.WNOHANG)[0] for process in self.running] == [0, 0]
            time.sleep(0.02)
        for process in self.running:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
        self.running = []
        assert self.saved(name).exists() and not self.folder(name).exists()


@pytest.mark.parametrize("stage", ["train_shared", "train_heads"])
def test_two_processes_repeat_one(toy, training, stage):
    """Tolerance: 1e-5 relative on losses, 1e-5 absolute on weights (means of halves instead of one mean, in fp32)."""
    training.stage, training.call = getattr(toy, stage), {"seed": 3}
    training.alone("alone")
    training.pair("together")
    training.finish()
    left, right = (training.folder(name) for name in ("alone", "together"))
    logs = [pd.read_csv(folder / "log.csv").to_numpy() for folder in (left, right)]
    np.testing.assert_allclose(*logs, rtol=1e-5)
    weights, others = (load_file(folder / "model.safetensors") for folder in (left, right))
    assert all(torch.allclose(weights[name], others[name], atol=1e-5, rtol=0) for name in weights)


def test_two_killed_and_started_again_end_with_the_same_bytes(training):
    training.pair("whole")
    training.finish()
    training.kill_in_the_middle("killed")
    training.pair("killed")
    training.finish()
    for file in ("model.safetensors", "log.csv"):
        assert (training.folder("killed") / file).read_bytes() == (training.folder("whole") / file).read_bytes()


def test_another_number_of_processes_does_not_take_it_up_and_says_so(training):
    training.kill_in_the_middle("killed")
    with pytest.raises(ValueError, match=r"is of another training .*processes\); delete it to start anew"):
        training.alone("killed")
    training.saved("killed").unlink()
    training.alone("killed")
    assert (training.folder("killed") / "model.safetensors").is_file()


def test_torchrun_runs_a_notebook_once_and_shares_its_trainings(study):
    study.notebook(
        "together",
        f"import os, sys; sys.path.insert(0, {str(HERE)!r})",
        "import engine_stages as toy",
        "from weakseg.study import machine, places; from weakseg.study.stages import Store",
        "made = Store(places.outputs() / 'toy' / 'runs')(toy.train_shared, seed=3)",
        "open(places.root() / f'rank{machine.rank()}of{machine.world()}', 'a').write('ran')",
    )
    words = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "weakseg.study.run")
    command = (*words, "tiny", "together", "--profile", "toy")
    for _ in range(2):  # the second time everything is up to date
        code, said = study.python(*command)
        assert code == 0, said
    assert sorted(file.name for file in study.root.glob("rank*")) == ["rank0of2", "rank1of2"]
    assert all(file.read_text() == "ran" for file in study.root.glob("rank*"))
    assert len(list((study.out.parent / "runs").glob("*/*/record.json"))) == 1
    assert (study.out / "records/together.json").is_file() and said.count("is up to date") == 2
