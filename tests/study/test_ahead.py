"""Stages computed ahead: all that nobody computes, from the end, with the bytes that a notebook would get."""

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from weakseg.study import ahead, plan
from weakseg.study.rehearsal import Asked, Rehearsal
from weakseg.study.stages import RECORD, Artifact, Store, lock_of
from weakseg.study.standins import Absent

HERE = Path(__file__).parent
RUN = plan.Run("tiny", "ablations", "toy")


class Wanted:
    """What a notebook asks for: a seed's number, drawn, then doubled twice."""

    def __init__(self, toy, root: Path) -> None:
        self.store, self.asked = Store(root / "runs"), {}
        drawn = self.ask(toy.draw, seed=21)
        for factor in (2, 3):
            self.ask(toy.double, number=drawn, factor=factor)

    def ask(self, stage, **arguments) -> Artifact:
        made = self.store.plan(stage, **arguments)
        folder = self.store.folder(made)
        self.asked[made["key"]] = Asked(stage, arguments, made, folder)
        return Artifact(Absent(folder), made["key"])

    @property
    def folders(self) -> list[Path]:
        return [one.folder for one in self.asked.values()]

    def done(self) -> list[bool]:
        return [(folder / RECORD).is_file() for folder in self.folders]


@pytest.fixture
def wanted(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HERE)
    import engine_stages

    found = Wanted(engine_stages, tmp_path)
    monkeypatch.setattr(ahead, "rehearse", lambda run: Rehearsal(run, found.asked))
    monkeypatch.setattr(ahead, "_mark", lambda run: tmp_path / run.notebook)
    monkeypatch.setattr(ahead, "PAUSE", 0.05)
    return found


def test_stages_are_computed_after_what_they_take_and_the_last_first(wanted, capsys):
    assert ahead.help_out([RUN]) == 3 and ahead.help_out([RUN]) == 0
    assert [(folder / "number.txt").read_text() for folder in wanted.folders] == ["21", "42", "63"]
    begun = [line.split()[1].rstrip(":") for line in capsys.readouterr().out.splitlines()]
    drawn, twice, thrice = (folder.name for folder in wanted.folders)
    assert begun == [drawn, thrice, twice]


def test_a_finished_notebook_needs_nothing(wanted, tmp_path):
    (tmp_path / RUN.notebook).touch()
    assert ahead.help_out([RUN]) == 0 and wanted.done() == [False] * 3


def test_a_notebook_that_failed_meanwhile_needs_nothing(wanted, tmp_path, monkeypatch):
    failure = tmp_path / "failed.json"
    failure.touch()
    monkeypatch.setattr(ahead.records, "failure_of", lambda run: failure)
    os.utime(failure, (0, time.time() + 60))
    assert ahead.help_out([RUN]) == 0
    os.utime(failure, (0, 0))  # it failed before: now it is tried again
    assert ahead.help_out([RUN]) == 3


def test_what_another_process_computes_is_waited_for(wanted, tmp_path, monkeypatch):
    looks = []

    def pause(seconds: float) -> None:
        looks.append(wanted.done())
        if len(looks) == 2:  # the other one ends
            lock.release()

    wanted.folders[0].parent.mkdir(parents=True)
    lock = FileLock(lock_of(wanted.folders[0]), is_singleton=False)
    lock.acquire()
    monkeypatch.setattr(time, "sleep", pause)
    assert ahead.help_out([RUN]) == 3
    assert looks == [[False] * 3] * 2


def test_a_stage_that_fails_is_left_to_its_notebook(wanted, capsys):
    wanted.asked.clear()
    drawn = wanted.ask(draw_nothing, seed=1)
    wanted.ask(draw_nothing, seed=2, drawn=drawn)
    assert ahead.help_out([RUN]) == 0
    assert "draw_nothing: left to its notebook (ValueError: nothing to draw)" in capsys.readouterr().out


def draw_nothing(out: Path, *, seed: int, drawn: Artifact | None = None) -> None:
    raise ValueError("nothing to draw")
