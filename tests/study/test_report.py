"""The report and the published copy: everything is there, links lead somewhere, nothing unsound is published."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from weakseg.study import places, publish, records, report

BOXES = {"boxes": "the drawn set has no boxes"}


def finished(fake, cam: int = 60, walk: int = 80) -> None:
    """A run of one notebook with a table, a figure and a note."""
    s = fake.session()
    fig = plt.figure(figsize=(2, 1))
    s.figure("fig1", fig, "Nothing, drawn <well>.")
    plt.close(fig)
    s.note("background_score", 0.25)
    s.table("main", [fake.measured("CAM", np.full(60, cam)), fake.measured("walk & more", np.full(60, walk))], BOXES)
    fake.notebook_done()


def html_of(home: Path) -> str:
    return (home / "index.html").read_text()


class Links(HTMLParser):
    """Every href and src, every id, and tags that would need a network or a script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.ids, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]
        self.ids += [value for name, value in attributes if name == "id"]


def check_page(home: Path) -> None:
    found = Links(html_of(home))
    assert len(found.ids) == len(set(found.ids)) and not {"script", "link", "iframe"} & set(found.tags)
    for link in found.links:
        assert not re.match(r"\w+:|//", link), link
        assert link[1:] in found.ids if link.startswith("#") else (home / unquote(link)).is_file(), link


def test_the_page_holds_every_table_figure_claim_and_notebook_and_its_links_work(fake, capsys):
    finished(fake)
    assert report.main(["--profile", "toy"]) == 0
    page = html_of(fake.home)
    check_page(fake.home)
    numbers = [
        "40.0",
        "0.25",
        "1 min 5 s",
        "</span> held",
        "</span> not run",
        "nothing is published",
        "a processor, 2 cores",
    ]
    words = [BOXES["boxes"], "Nothing, drawn &lt;well&gt;.", "The walk helps", "background score", "Expect 50 +- 2."]
    for said in [*numbers, *words, "fake/figures/fig1.png", "fake/ablations.html"]:
        assert said in page, said
    assert "nothing is published" in capsys.readouterr().out


def test_the_ledger_and_the_manifest_are_for_programs(fake):
    finished(fake)
    report.main(["--profile", "toy"])
    ledger = pd.read_csv(fake.home / "claims.csv").set_index("claim")
    assert ledger.loc["walk_over_cam", ["verdict", "estimate", "low", "high", "seeds"]].tolist() == [
        "held",
        10,
        10,
        10,
        1,
    ]
    made = json.loads((fake.home / "manifest.json").read_text())
    table = next(entry for entry in made["outputs"] if entry["path"] == "fake/tables/main.csv")
    assert (
        table["inputs"] == ["CAMmIoU0", "walk&moremIoU0"] and table["seconds"] == 65 and table["machine"]["cores"] == 2
    )
    assert table["versions"]["torch"] == "2.12.1" and len(table["key"]) == 64
    assert {entry["path"] for entry in made["outputs"]} == {
        f"fake/{name}" for name in records.outputs(fake.notebook_done())
    } and {stage["key"] for stage in made["stages"]} == set(table["inputs"])  # fmt: skip
    assert "stages behind the tables: 4 s" in html_of(fake.home)  # two evaluations of 2 s


def test_a_claim_of_likeness_is_shown_with_its_width_both_ways(fake):
    claims = fake.root / "params/claims/fake.yaml"
    first = claims.read_text().split("  - id: walk_over_boxes")[0]
    claims.write_text(first.replace("kind: greater", "kind: differs_by_at_most, margin: 2.0"))
    finished(fake)
    report.main(["--profile", "toy"])
    assert '<td class="n">± 2.0</td>' in html_of(fake.home) and "</span> not held" in html_of(fake.home)


def test_the_report_says_what_networks_computed_in(fake):
    finished(fake)
    for file in (fake.home / "runs").glob("*/*/record.json"):
        more = {"params": {"net": {"precision": "bf16"}}, "made": "2026-01-01T02:03:04Z"}
        about = {"cpu": "a processor", "cores": 1, "gpu": None, "computes": "fp32", "system": "name of the machine"}
        file.write_text(json.dumps({**json.loads(file.read_text()), **more, "machine": about}))
    report.main(["--profile", "toy"])
    page = html_of(fake.home)
    assert "Notebooks: 2026-01-02 on a processor, 2 cores, no GPU." in page and "name of the machine" not in page
    assert "tables: 2026-01-01 on a processor, 1 core, no GPU, networks in fp32." in page


def test_the_same_results_give_the_same_report(fake):
    finished(fake)
    report.main(["--profile", "toy"])
    before = {name: (fake.home / name).read_bytes() for name in ("index.html", "claims.csv", "manifest.json")}
    report.main(["--profile", "toy"])
    assert {name: (fake.home / name).read_bytes() for name in before} == before


def test_failed_stale_and_missing_notebooks_are_said_loudly(fake):
    finished(fake)
    run = fake.notebook_done("baselines")
    (run.folder / "baselines.failed.ipynb").write_text("{}")
    records.write_failure(run, "cell 3: ValueError: loss is nan")
    params = fake.root / "params/toy/fake.yaml"
    params.write_text(params.read_text().replace("beta: 8", "beta: 9"))
    report.main(["--profile", "toy"])
    page = html_of(fake.home)
    assert "its last run failed: cell 3: ValueError: loss is nan" in page and "0 of 2" in page
    assert "parameter walk.beta: 8 -&gt; 9" in page
    check_page(fake.home)


def test_nothing_to_report_is_one_line(fake, capsys):
    assert report.main(["--profile", "toy"]) == 2
    assert capsys.readouterr().err.strip().endswith("no results to report; run the study first")


# ---------------------------------------------------------------- publishing


def test_published_results_are_complete_work_alone_and_hold_no_runs(fake, capsys):
    finished(fake)
    assert publish.main(["--profile", "toy"]) == 0
    target = places.published("toy")
    check_page(target)
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert there == {
        *("index.html", "claims.csv", "manifest.json"),
        *("fake/ablations.ipynb", "fake/ablations.html", "fake/notes/background_score.json"),
        *(f"fake/tables/main.{kind}" for kind in ("csv", "seeds.csv", "evidence.json", "json", "html", "tex")),
        *(f"fake/figures/fig1.{kind}" for kind in ("png", "pdf", "json")),
    }
    assert "These are the published results" in html_of(target) and "published fake" in capsys.readouterr().out


def test_a_later_run_is_compared_with_them_and_a_difference_is_shown(fake, capsys):
    finished(fake)
    publish.main(["--profile", "toy"])
    finished(fake, walk=90)
    assert report.main(["--profile", "toy"]) == 0
    assert "1 of 2 cells agree; differs: 1" in capsys.readouterr().out
    assert "differs, ours 45.00, published 40.00, tolerance 2.0" in html_of(fake.home)
    check_page(fake.home)


def test_publishing_replaces_what_was_there(fake):
    finished(fake)
    publish.main(["--profile", "toy"])
    (places.published("toy") / "fake" / "tables" / "old.csv").write_text("")
    publish.main(["--profile", "toy"])
    assert not (places.published("toy") / "fake" / "tables" / "old.csv").exists()
    assert not list(places.published("toy").parent.glob(".*"))


def test_a_run_with_other_seeds_than_the_files_may_be_published(fake):
    finished(fake)
    fake.notebook_done(seeds=(0, 1, 2))
    assert publish.obstacles("toy", ["fake"]) == []


def test_a_paper_that_is_not_published_anew_keeps_its_results_and_verdicts(fake, capsys):
    """Its evidence is gone, as on another machine: what is shown of it comes from the published files."""
    finished(fake)
    publish.main(["--profile", "toy"])
    target = places.published("toy")
    tables, ledger = (target / "fake/tables/main.csv").read_bytes(), (target / "claims.csv").read_text()
    made = json.loads((target / "manifest.json").read_text())
    shutil.rmtree(fake.home)
    publish.publish("toy", [])
    assert (target / "fake/tables/main.csv").read_bytes() == tables and (target / "claims.csv").read_text() == ledger
    assert json.loads((target / "manifest.json").read_text()) == made
    page = html_of(target)
    check_page(target)
    for said in ("</span> held", BOXES["boxes"], "1 min 5 s", "a processor, 2 cores", "fake/figures/fig1.png"):
        assert said in page, said


def test_a_stage_of_two_papers_that_was_computed_for_each_is_published_for_each(fake):
    """Another paper is published from a run of the same stages on another day: each keeps the record of its own run."""
    finished(fake)
    publish.main(["--profile", "toy"])
    target = places.published("toy")
    made = json.loads((target / "manifest.json").read_text())
    assert [stage["papers"] for stage in made["stages"]] == [["fake"], ["fake"]]
    shutil.copytree(target / "fake", target / "other")
    for kind in ("reported", "claims", "toy"):
        shutil.copy(fake.root / f"params/{kind}/fake.yaml", fake.root / f"params/{kind}/other.yaml")
    theirs = [{**entry, "paper": "other", "path": "other" + entry["path"][4:]} for entry in made["outputs"]]
    stages = [{**stage, "seconds": 3.0, "papers": ["other"]} for stage in made["stages"]]
    (target / "manifest.json").write_text(json.dumps({**made, "outputs": theirs, "stages": stages}))
    publish.publish("toy", ["fake"])
    made = json.loads((target / "manifest.json").read_text())
    assert sorted((s["key"], s["papers"], s["seconds"]) for s in made["stages"]) == [
        ("CAMmIoU0", ["fake"], 2.0),
        ("CAMmIoU0", ["other"], 3.0),
        ("walk&moremIoU0", ["fake"], 2.0),
        ("walk&moremIoU0", ["other"], 3.0),
    ]
    page = html_of(target)
    assert "2 stages that papers share were computed again" in page and "behind the tables: 10 s" in page


@pytest.mark.parametrize("harm", ["failed", "never", "stale", "changed"])
def test_what_is_not_sound_is_not_published_and_the_old_stays(fake, capsys, harm):
    finished(fake)
    publish.main(["--profile", "toy"])
    before = html_of(places.published("toy"))
    run = fake.notebook_done()
    if harm == "failed":
        records.write_failure(run, "cell 3: stopped")
    elif harm == "never":
        records.file_of(run).unlink()
    elif harm == "stale":
        run.source.write_text(
            run.source.read_text().replace("[{", '[{"cell_type": "code", "metadata": {}, "source": "1"}, {')
        )
    else:
        (run.folder / "tables" / "main.csv").write_text("row\n")
    assert publish.main(["--profile", "toy"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("weakseg: cannot publish: toy/fake/ablations: ") and said.count("\n") == 1
    assert html_of(places.published("toy")) == before


def test_too_large_a_result_is_not_published(fake, capsys, monkeypatch):
    finished(fake)
    monkeypatch.setattr(publish, "LIMIT_MB", 0.001)
    assert publish.main(["--profile", "toy"]) == 1
    assert "the limit is 0.001 a paper; the largest file is " in capsys.readouterr().err
    assert not places.published("toy").exists()
