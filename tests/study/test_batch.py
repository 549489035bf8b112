"""The batch: what it runs and leaves, kills, neighbours. Each test drives the real Snakefile on a tiny study."""

import os
import time

import pytest


@pytest.fixture
def chain(study):
    """ablations -> figures, beside sums; every run of a notebook leaves a letter in a file `times`."""
    for name, letter in {"sums": "s", "ablations": "a", "figures": "f"}.items():
        use = "unused" if name == "sums" else "add"
        note = f"open('../../times', 'a').write('{letter}')"
        study.notebook(name, note, f"from weakseg.papers.tiny.arithmetic import {use}")
    return study


def times(study) -> str:
    file = study.root / "times"
    found = file.read_text() if file.exists() else ""
    file.unlink(missing_ok=True)
    return "".join(sorted(found))


def test_a_batch_runs_what_is_stale_and_nothing_else(chain):
    code, said = chain.python(*chain.batch())
    assert code == 0, said
    assert times(chain) == "afs" and (chain.out.parent / "index.html").exists()

    # Nothing to do, however file times look, and at once.
    for path in chain.root.rglob("*.ipynb"):
        os.utime(path)
    began = time.monotonic()
    code, said = chain.python(*chain.batch("papers=", "seeds="))  # as make writes options that are not given
    assert code == 0 and "Nothing to be done" in said and times(chain) == ""
    assert time.monotonic() - began < 20

    # A changed function reruns what reaches it, and what reads the results of that.
    file = chain.root / "lib/weakseg/papers/tiny/arithmetic.py"
    file.write_text(file.read_text().replace("first + second", "second + first"))
    assert chain.python(*chain.batch())[0] == 0 and times(chain) == "af"

    # A lost output comes back; a driver called by hand counts as well as the batch.
    (chain.out / "sums.html").unlink()
    assert chain.run("sums")[0] == 0 and times(chain) == "s"
    code, said = chain.python(*chain.batch())
    assert code == 0 and "Nothing to be done" in said

    # Other seeds are asked of every notebook.
    said = chain.python(*chain.batch("seeds=0,1", "-n"))[1]
    assert all(f"tiny_{name} " in said for name in ("sums", "ablations", "figures"))


def test_notebooks_at_once_share_the_cores(study):
    show = "import os; print({name: os.environ[name] for name in ['OMP_NUM_THREADS', 'WEAKSEG_THREADS']})"
    study.notebook("sums", show)
    study.notebook("more", show)
    command = (*study.batch(), "seeds=0")
    for at_once, share in {"-c1": "4", "-c9": "2"}.items():
        words = [at_once if word == "-c2" else word for word in command]
        code, said = study.python(*words, OMP_NUM_THREADS="4")
        assert code == 0, said
        assert (
            study.text("sums")
            == study.text("more")
            == f"{{'OMP_NUM_THREADS': '{share}', 'WEAKSEG_THREADS': '{share}'}}\n"
        )
        (study.out / "sums.html").unlink(), (study.out / "more.html").unlink()


def test_a_helper_is_asked_for_where_notebooks_share_the_cores_of_this_machine(chain):
    def planned(*words: str, cores: str = "-c2") -> bool:
        command = [cores if word == "-c2" else word for word in chain.batch(*words, "-n")]
        code, said = chain.python(*command)
        assert code == 0, said
        return "ahead" in {line.split()[0] for line in said.splitlines() if line.strip()}

    assert planned("ahead=1") and not planned("ahead=1", cores="-c1") and not planned("ahead=0")
    assert chain.python(*chain.batch())[0] == 0 and not planned("ahead=1")  # nothing is stale


def test_bad_params_stop_the_batch_before_anything_runs(chain):
    chain.params("profile: toy\nseeds: [0]\nsum: {frist: 1}\n")
    code, said = chain.python(*chain.batch())
    assert code != 0 and "tiny.yaml: sum.frist: unknown key; did you mean 'first'?" in said
    assert times(chain) == ""
    assert "profiles of 'tiny' are: toy" in chain.python(*chain.batch("papers=tiny", "profile=huge"))[1]


def test_a_failed_notebook_is_named_and_the_others_go_on(chain):
    chain.notebook("ablations", "1 / 0")
    code, said = chain.python(*chain.batch())
    assert code != 0 and times(chain) == "s"
    assert "weakseg: toy/tiny/ablations failed: cell 2: ZeroDivisionError: division by zero" in said.splitlines()[-9:]


def test_a_killed_batch_goes_on_where_it_was(chain):
    ready, go = chain.root / "ready", chain.root / "go"
    wait = """import time; from pathlib import Path
Path("../../ready").touch()
time.sleep(0 if Path("../../go").exists() else 600)"""
    chain.notebook("ablations", wait, "open('../../times', 'a').write('a')")
    process = chain.start(*chain.batch())
    end = time.monotonic() + 60
    while not ready.exists() or not (chain.out / "records/sums.json").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.1)
    time.sleep(1)  # the batch has seen that `sums` ended
    chain.kill(process)
    go.touch()
    assert times(chain) == "s"
    code, said = chain.python(*chain.batch())
    assert code == 0, said
    assert times(chain) == "af"


def test_two_batches_at_once_share_the_work_and_both_end_well(chain):
    for name, letter in {"sums": "s", "ablations": "a", "figures": "f"}.items():
        chain.notebook(name, f"open('../../times', 'a').write('{letter}')", "import time; time.sleep(1)")
    batches = [chain.start(*chain.batch()) for _ in range(2)]
    said = [batch.communicate(timeout=120)[0] for batch in batches]
    assert [batch.returncode for batch in batches] == [0, 0], said
    assert times(chain) == "afs"
