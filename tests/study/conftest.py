"""For the tests of results: a project in a temporary folder with one paper, `fake`, whose evidence is made by hand."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import weakseg.papers
from weakseg.metrics.semantic import SemanticEvidence
from weakseg.study import plan, records
from weakseg.study.session import Session
from weakseg.study.stages import Artifact
from weakseg.study.tables import Measured

PARAMS = """
from weakseg.study.params import Group

class Walk(Group):
    beta: float = 10.0
    steps: int = 256

class FakeParams(Group):
    profile: str
    seeds: tuple[int, ...]
    walk: Walk = Walk()

PARAMS = FakeParams
"""
REPORTED = """
title: "Fake: a paper of two tables"
official_code: "nobody's code"
tables:
  main:
    title: "Semantic labels"
    dataset: "VOC 2012 train"
    columns:
      mIoU: {metric: mIoU}
    about: [supervision]
    rows:
      - {row: "CAM", about: {supervision: I}, paper: {mIoU: 48.3}, official: {mIoU: 48.1}, verified: true}
      - {row: "walk & more", about: {supervision: I}, paper: {mIoU: 66.5}, note: "A note of 100 %."}
      - {row: "boxes", about: {supervision: B}, paper: {mIoU: 70.0}}
      - {row: "our own", ours_only: true}
    footnotes: ["The text says 66.0."]
  other:
    title: "Val and test"
    dataset: "VOC 2012 val and test"
    columns:
      val: {metric: mIoU}
      test: {metric: mIoU}
    rows:
      - {row: "CAM", paper: {val: 40.0, test: null}, verified: [val]}
"""
CLAIMS = """
claims:
  - {id: walk_over_cam, table: main, statement: "The walk helps", kind: greater,
     left: {row: "walk & more", column: mIoU}, right: {row: "CAM", column: mIoU}}
  - {id: walk_over_boxes, table: main, statement: "The walk beats boxes", kind: greater,
     left: {row: "walk & more", column: mIoU}, right: {row: "boxes", column: mIoU}}
"""
TOLERANCE = "profiles:\n  toy:\n    default: {mIoU: 2.0}\n"
N = 60


def evidence(out: Path, hits: np.ndarray) -> None:
    """One class; hits[i] of 100 pixels of picture i are right, the rest called background: mIoU is mean(hits) / 2."""
    confusion = np.zeros((len(hits), 2, 2), dtype=np.int64)
    confusion[:, 1, 1], confusion[:, 1, 0] = hits, 100 - hits
    out.mkdir(parents=True, exist_ok=True)
    SemanticEvidence(confusion=confusion, names=np.array([f"p{i:02}" for i in range(len(hits))])).save(
        out / "evidence.npz"
    )


@dataclass(frozen=True)
class Fake:
    """The project and the ways to fill it."""

    root: Path
    home: Path

    def session(self, **given) -> Session:
        return Session.open("fake", {"profile": "toy", **given})

    def measured(self, row: str, hits: np.ndarray, seed: int = 0, column: str = "mIoU") -> Measured:
        """A number with its evidence: hits (N,) right pixels of 100 in each picture."""
        folder = self.home / "runs" / "stages.evaluate" / f"{row.replace(' ', '')}{column}{seed}"
        evidence(folder, hits)
        facts = {"stage": "evaluate", "key": folder.name, "inputs": {}, "seconds": 2.0}
        (folder / "record.json").write_text(json.dumps(facts))
        return Measured(row, column, seed, float(np.mean(hits)) / 2, "mIoU, 60 pictures", Artifact(folder, folder.name))

    def notebook_done(self, name: str = "ablations", seeds: tuple[int, ...] = (0,)) -> plan.Run:
        """The record and the files of a notebook that ran to its end."""
        run = plan.Run("fake", name, "toy", {"seeds": list(seeds)})
        run.source.parent.mkdir(parents=True, exist_ok=True)
        if not run.source.exists():
            tag = {"metadata": {"tags": ["parameters"]}, "cell_type": "code", "source": "profile = None"}
            run.source.write_text(json.dumps({"cells": [tag]}))
        run.records.mkdir(parents=True, exist_ok=True)
        for kind in ("ipynb", "html"):
            (run.folder / f"{name}.{kind}").write_text("{}")
        about = {"cpu": "a processor", "cores": 2, "gpu": None, "system": "Linux"}
        known = plan.parts(run)
        facts = {"seconds": 65.0, "peak_memory_mb": 900, "began": "2026-01-02T03:04:05+00:00", "commit": "abc"}
        versions = {"python": "3.11", "torch": "2.12.1"}
        records.write(run, plan.key_of(known), known, seeds=list(seeds), machine=about, versions=versions, **facts)
        return run


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A project with the paper `fake` at profile `toy`; the outputs lie inside it."""
    files = {
        "pyproject.toml": "",
        "params/toy/fake.yaml": "# Expect 50 +- 2.\n# One minute.\n\nprofile: toy\nseeds: [0]\nwalk: {beta: 8}\n",
        "params/reported/fake.yaml": REPORTED,
        "params/claims/fake.yaml": CLAIMS,
        "params/tolerance.yaml": TOLERANCE,
        "papers/fake/__init__.py": "",
        "papers/fake/params.py": PARAMS,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("WEAKSEG_ROOT", str(tmp_path))
    monkeypatch.delenv("WEAKSEG_OUTPUTS", raising=False)
    monkeypatch.setenv("WEAKSEG_NOTEBOOK", "ablations")
    monkeypatch.setattr(weakseg.papers, "__path__", [*weakseg.papers.__path__, str(tmp_path / "papers")])
    yield Fake(tmp_path, tmp_path / "outputs" / "toy")
    for name in [name for name in sys.modules if name.startswith("weakseg.papers.fake")]:
        del sys.modules[name]
