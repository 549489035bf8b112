"""The driver of one notebook: what it refuses, what it keeps, what it proves."""

import json
import time
from pathlib import Path

import nbformat
import psutil

RUN = ("weakseg.study.run", "tiny")


def record(study, notebook="sums") -> dict:
    return json.loads((study.out / "records" / f"{notebook}.json").read_text())


def set_function(study, old: str, new: str) -> None:
    file = study.root / "lib/weakseg/papers/tiny/arithmetic.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def why(study) -> str:
    return study.python("weakseg.study.status", "--profile", "toy", "--why")[1]


def wait_for(found, seconds=60):
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# ---------------------------------------------------------------- a good run


def test_a_run_leaves_notebook_page_and_record_and_is_then_up_to_date(study):
    code, said = study.run("sums")
    assert code == 0, said
    assert study.text("sums") == "sum 7\n"
    assert str(study.root) not in (study.out / "sums.ipynb").read_text()  # what is published names no machine's folders
    kept = record(study)
    assert kept["outputs"].keys() == {"sums.ipynb", "sums.html"}
    assert kept["seeds"] == [0] and kept["seconds"] > 0 and kept["peak_memory_mb"] > 10
    assert kept["versions"]["torch"] and kept["machine"]["cores"] >= 1
    assert (study.out / "records" / f"sums.{kept['key'][:16]}.done").exists()
    page = (study.out / "sums.html").read_text()
    assert "<script" not in page and "sum 7" in page and "Sums</h1>" in page
    assert sorted(path.name for path in study.out.iterdir()) == ["records", "sums.html", "sums.ipynb"]
    assert "up to date" in study.run("sums")[1] and record(study) == kept
    assert study.python("weakseg.study.status", "--profile", "toy")[0] == 0


def test_what_changes_a_result_makes_stale_and_is_named_and_nothing_else_does(study):
    study.notebook("sums", "from weakseg.papers.tiny import arithmetic", "print('sum', arithmetic.add(**sum))")
    study.run("sums")
    set_function(study, '"""Adds."""', '"""Adds two numbers."""  # a remark')
    set_function(study, "return 0", "return 1")  # `unused`
    words = ["# Sums, in other words", "# More words", "from weakseg.papers.tiny import arithmetic  # a remark"]
    study.notebook("sums", *words, "print( 'sum',   arithmetic.add( **sum ) )  # a remark")
    study.params("# a remark\nsum: {second: 4, first: 3}\nprofile: toy\nseeds: [0]\n")
    assert why(study) == "1 of 1 notebooks are up to date\n"

    set_function(study, "first + second", "second + first")
    assert "code weakseg.papers.tiny.arithmetic.add changed" in why(study)
    study.params("profile: toy\nseeds: [0]\nsum: {first: 30, second: 4}\n")
    assert "parameter sum.first: 3 -> 30" in why(study)
    study.notebook("sums", "from weakseg.papers.tiny import arithmetic", "print('total', arithmetic.add(**sum))")
    assert "cell 3 (print('total', arithmetic.add(**sum))) changed" in why(study)
    assert study.python("weakseg.study.status", "--profile", "toy")[0] == 1
    assert study.run("sums")[0] == 0 and study.text("sums") == "total 34\n"
    (study.out / "sums.html").unlink()
    assert "output sums.html is missing" in why(study)


def test_a_default_of_the_params_model_is_part_of_the_key(study):
    study.params("profile: toy\nseeds: [0]\nsum: {first: 3}\n")
    study.run("sums")
    model = study.root / "lib/weakseg/papers/tiny/params.py"
    model.write_text(model.read_text().replace("second: int = 2", "second: int = 5"))
    assert "code weakseg.papers.tiny.params.Sum changed" in why(study)


def test_overrides_reach_the_notebook(study):
    code, said = study.run("sums", "--set", "sum.first=10", "--seeds", "1,2")
    assert code == 0, said
    assert study.text("sums") == "sum 14\n" and record(study)["seeds"] == [1, 2]


def test_tables_and_figures_are_outputs_of_the_notebook_that_made_them(study):
    make = """import json, os
from pathlib import Path
folder = Path("../../outputs/toy/tiny/figures")
folder.mkdir(parents=True, exist_ok=True)
for name in ["fig1", "fig1.b"]:
    (folder / f"{name}.png").write_bytes(b"png")
    (folder / f"{name}.json").write_text(json.dumps({"notebook": os.environ["WEAKSEG_NOTEBOOK"]}))"""
    study.notebook("sums", make)
    assert study.run("sums")[0] == 0
    assert {"figures/fig1.png", "figures/fig1.b.png", "figures/fig1.json"} <= record(study)["outputs"].keys()
    study.notebook("sums", make.replace('"fig1", "fig1.b"', '"fig1"'))
    assert study.run("sums")[0] == 0
    assert not (study.out / "figures" / "fig1.b.png").exists() and "figures/fig1.png" in record(study)["outputs"]


# ---------------------------------------------------------------- refused before anything runs


BAD = {
    "profile: toy\nseeds: [0]\nsum: {frist: 3}\n": "toy/tiny.yaml: sum.frist: unknown key; did you mean 'first'?",
    "profile: toy\nseeds: [0]\nsum: {first: three}\n": "toy/tiny.yaml: sum.first: ",
    "profile: demo\nseeds: [0]\nsum: {}\n": "toy/tiny.yaml: profile: must be 'toy'",
}


def test_bad_params_are_refused_in_one_line(study):
    for params, line in BAD.items():
        study.params(params)
        code, said = study.run("sums")
        assert code == 2 and line in said and len(said.splitlines()) == 1
    assert not study.out.exists()


def test_a_parameters_cell_must_name_the_groups_of_the_model(study):
    path = study.notebook("sums", "print(1)")
    path.write_text(path.read_text().replace("sum = None", "summ = None"))
    code, said = study.run("sums")
    assert code == 2 and "sums.ipynb: parameters cell: TinyParams has no group 'summ'; did you mean 'sum'?" in said
    path.write_text(path.read_text().replace(r"\nsumm = None", "").replace('"summ = None"', '""'))
    assert "lacks 'sum'; add the line sum = None" in study.run("sums")[1]


def test_unknown_names_and_options_are_refused_in_one_line(study):
    for words, line in {
        ("sumz",): "no such notebook; there are: sums",
        ("sums", "--seeds", "a"): "--seeds a: write whole numbers with commas",
        ("sums", "--set", "sum.first"): "write it as group.key=value",
        ("sums", "--profile", "huge"): "profiles of 'tiny' are: toy",
    }.items():
        code, said = study.run(*words)
        assert code == 2 and line in said and len(said.splitlines()) == 1


# ---------------------------------------------------------------- failures


FAILURES = {
    "raise KeyError('cat')": "cell 3: KeyError: 'cat'",
    "import sys; sys.exit()": "cell 3: ended the run before the last cell",
    "import sys; sys.exit(3)": "cell 3: SystemExit: 3",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "cell 3: the kernel was killed",
}


def test_a_failed_run_is_named_and_kept_beside_the_last_good_one(study):
    assert study.run("sums")[0] == 0
    good, kept = (study.out / "sums.ipynb").read_bytes(), record(study)
    for cell, reason in FAILURES.items():
        study.notebook("sums", "print('before')", cell, "print('after')")
        code, said = study.run("sums")
        assert code == 1
        assert f"weakseg: toy/tiny/sums failed: {reason}" in said.splitlines()[-1]
        assert (study.out / "sums.ipynb").read_bytes() == good and record(study) == kept
        failed = nbformat.read(study.out / "sums.failed.ipynb", as_version=4)
        assert reason in failed.cells[0].source and "before" in str(failed) and "after\\n" not in str(failed)
        assert not list((study.out / "records").glob("*.done"))
        assert f"its last run failed: {reason}" in why(study)


def test_a_success_takes_the_failed_notebook_away(study):
    study.notebook("sums", "1 / 0")
    assert study.run("sums")[0] == 1 and (study.out / "sums.failed.ipynb").exists()
    study.notebook("sums", "print(1)")
    assert study.run("sums")[0] == 0
    assert not (study.out / "sums.failed.ipynb").exists() and not (study.out / "records/sums.failed.json").exists()


def test_sigterm_is_a_failure_that_ends_the_kernel(study):
    study.notebook("sums", "import os, time; open('../../pid', 'w').write(str(os.getpid()))", "time.sleep(600)")
    process = study.start(*RUN, "sums", "--profile", "toy")
    pid = study.root / "pid"
    wait_for(lambda: pid.exists() and pid.read_text())
    time.sleep(0.5)
    process.terminate()
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and "stopped by SIGTERM" in said.splitlines()[-1]
    assert not psutil.pid_exists(int(pid.read_text()))


def test_a_killed_tree_leaves_nothing_that_counts_and_a_rerun_ends_well(study):
    study.run("sums")
    good = (study.out / "sums.ipynb").read_bytes()
    wait = """import time; from pathlib import Path
Path("../../ready").touch()
time.sleep(0 if Path("../../go").exists() else 600)"""
    study.notebook("sums", wait, "print('end')")
    process = study.start(*RUN, "sums", "--profile", "toy")
    wait_for((study.root / "ready").exists)
    study.kill(process)
    assert (study.out / "sums.ipynb").read_bytes() == good and "is stale" in why(study)
    (study.root / "go").touch()
    assert study.run("sums")[0] == 0 and study.text("sums") == "end\n"
    assert not list(study.out.glob(".sums*"))


def test_two_drivers_at_once_compute_once(study):
    study.notebook("sums", "open('../../times', 'a').write('x')", "import time; time.sleep(1)")
    drivers = [study.start(*RUN, "sums", "--profile", "toy") for _ in range(2)]
    said = [driver.communicate(timeout=120)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    assert Path(study.root, "times").read_text() == "x"
