"""Every notebook of every paper, really executed on 48 drawn pictures; a second run does nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from weakseg.study import plan
from weakseg.study.rehearsal import rehearse
from weakseg.study.reported import reported

ROOT = Path(__file__).parent.parent
PAPERS = sorted(path.name for path in (ROOT / "notebooks").iterdir() if path.is_dir())
ORDER = ("ablations", "baselines", "figures", "lesson")  # figures wait for ablations and baselines


def command(outputs: Path, *words: str) -> subprocess.CompletedProcess:
    """`python -m weakseg.study...` into a folder of its own; fails the test with what it printed."""
    env = os.environ | {"WEAKSEG_OUTPUTS": str(outputs), "WEAKSEG_ROOT": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.fixture(scope="module", params=PAPERS)
def study(request, tmp_path_factory):
    """(paper, outputs folder) of a finished toy study."""
    outputs = tmp_path_factory.mktemp(request.param)
    for notebook in ORDER:
        command(outputs, "weakseg.study.run", request.param, notebook, "--profile", "toy")
    command(outputs, "weakseg.study.report", "--profile", "toy", "--papers", request.param)
    return request.param, outputs


def test_every_reported_cell_has_a_number_or_a_reason(study):
    paper, outputs = study
    for table, expected in reported(paper).tables.items():
        cells = pd.read_csv(outputs / "toy" / paper / "tables" / f"{table}.csv")
        told = {row.row for row in expected.rows if row.paper}
        assert told <= set(cells["row"])
        assert (cells["ours"].notna() | cells["reason"].notna()).all(), table
        assert cells["ours"].dropna().between(0, 100).all()


def test_figures_are_pictures_for_page_and_print(study):
    paper, outputs = study
    pictures = list((outputs / "toy" / paper / "figures").glob("*.png"))
    assert len(pictures) >= 10
    for picture in pictures:
        assert picture.with_suffix(".pdf").read_bytes()[:4] == b"%PDF"
        assert json.loads(picture.with_suffix(".json").read_text())["title"]


def test_the_report_shows_every_table_figure_and_claim(study):
    paper, outputs = study
    page = (outputs / "toy" / "index.html").read_text()
    for figure in (outputs / "toy" / paper / "figures").glob("*.png"):
        assert f"{paper}/figures/{figure.name}" in page
    claims = pd.read_csv(outputs / "toy" / "claims.csv")
    assert set(claims["verdict"]) <= {"held", "not held", "undecided", "not run"}
    assert len(claims[claims["paper"] == paper]) >= 5


def test_a_rehearsal_without_results_knew_every_training(study, tmp_path, monkeypatch):
    paper, outputs = study
    trained = {folder.name for folder in (outputs / "toy" / "runs").glob("*.train_*/*") if folder.is_dir()}
    monkeypatch.setenv("WEAKSEG_OUTPUTS", str(tmp_path))
    asked = {}
    for notebook in ("ablations", "baselines"):
        asked |= rehearse(plan.Run(paper, notebook, "toy")).asked
    assert trained == {one.folder.name for one in asked.values() if ".train_" in one.name}


def test_a_second_run_computes_nothing(study):
    paper, outputs = study
    began = time.time()
    for notebook in ORDER:
        command(outputs, "weakseg.study.run", paper, notebook, "--profile", "toy")
    assert not [path for path in (outputs / "toy" / "runs").glob("*/*/record.json") if path.stat().st_mtime > began]
    assert time.time() - began < 60
