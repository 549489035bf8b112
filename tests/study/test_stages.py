"""Stages: keys, the cache, records, and what is left after a kill."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from weakseg.study import stages
from weakseg.study.stages import Artifact, Store, explain, external, read_record, verify

HERE = Path(__file__).parent


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import engine_stages

    return engine_stages


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def wait_for(fact, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def end_of(process: int) -> int:
    """The exit code of a forked process, -9 for a killed one."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


# ---------------------------------------------------------------- keys


def test_a_chain_is_computed_once(toy, store, capsys):
    for _ in range(2):
        number = store(toy.draw, seed=21)
        both = {"a": number, "b": store(toy.double, number=number)}
        result = store(toy.total, numbers=both, classifier=toy.Classifier())
    assert (result / "number.txt").read_text() == "63 0.05"
    assert result.path == store.root / "engine_stages.total" / result.key[:16]
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["engine_stages.draw", "engine_stages.double", "engine_stages.total"]
    assert said[0].endswith(": computing (new)")


def test_a_change_makes_a_new_key_for_what_uses_it_and_no_other(toy, store):
    def keys(seed=1, factor=2, lr=0.1):
        number = store.plan(toy.draw, seed=seed)
        doubled = store.plan(toy.double, number=Artifact(Path(), number["key"]), factor=factor)
        inputs = {"a": Artifact(Path(), doubled["key"])}
        return [
            one["key"]
            for one in (number, doubled, store.plan(toy.total, numbers=inputs, classifier=toy.Classifier(lr=lr)))
        ]

    def same(one, other):
        return [left == right for left, right in zip(one, other, strict=True)]

    assert same(keys(), keys()) == [True, True, True]
    assert same(keys(), keys(lr=0.2)) == [True, True, False]
    assert same(keys(), keys(factor=3)) == [True, False, False]
    assert same(keys(), keys(seed=2)) == [False, False, False]


def test_keys_are_the_same_in_every_process(toy, store):
    call = "import engine_stages as toy, weakseg.study.stages as s; print(s.Store('x').plan(toy.draw, seed=4)['key'])"
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONHASHSEED": "7"}
    said = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == store.plan(toy.draw, seed=4)["key"]


def test_methods_of_a_parameter_group_are_code_of_the_stage(toy, store):
    plan = store.plan(toy.total, numbers={}, classifier=toy.Classifier())
    assert list(plan["code"]) == ["engine_stages.Classifier.shout", "engine_stages.loud", "engine_stages.total"]
    assert list(store.plan(toy.draw, seed=1)["code"]) == ["engine_stages.draw"]


def test_arguments_are_judged_before_anything_runs(toy, store):
    said = r"^stage engine_stages.draw: missing a required (keyword-only )?argument: 'seed'$"
    with pytest.raises(TypeError, match=said):
        store(toy.draw)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'sede'"):
        store(toy.draw, seed=1, sede=2)
    with pytest.raises(TypeError, match=r"pass a folder as external\(path\)"):
        store(toy.draw, seed=Path("x"))
    with pytest.raises(ValueError, match="must be a top-level function"):
        store(lambda out, seed: None, seed=1)
    assert not store.root.exists()


def test_external_data_is_known_by_names_and_sizes(tmp_path):
    for name in ("a/1.jpg", "b.txt"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("12")
    first = external(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    assert external(tmp_path / "moved").key == first.key
    (tmp_path / "moved/a/2.jpg").write_text("123")
    assert external(tmp_path / "moved").key != first.key
    (tmp_path / "moved/a/2.jpg").unlink()
    assert external(tmp_path / "moved").key == first.key
    assert external(tmp_path / "moved/b.txt").key != first.key
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/a").symlink_to(tmp_path / "moved/a")
    (tmp_path / "linked/b.txt").symlink_to(tmp_path / "moved/b.txt")
    assert external(tmp_path / "linked").key == first.key
    with pytest.raises(FileNotFoundError, match="no such data; give its folder in the params or in WEAKSEG_DATA"):
        external(tmp_path / "data")


# ---------------------------------------------------------------- records


def test_the_record_says_how_it_was_made_and_verify_sees_every_change(toy, store):
    result = store(toy.double, number=store(toy.draw, seed=3))
    record = read_record(result)
    assert record["params"] == {} and record["inputs"] == {"number": store(toy.draw, seed=3).key}
    assert list(record["code"]) == ["engine_stages.double"] and record["key"] == result.key
    assert {"python", "torch", "numpy"} == set(record["versions"]) and {"cpu", "cores", "gpu"} <= set(record["machine"])
    six = "e7f6c011776e8db7cd330b54174fd76f7d0216b612387a5ffcfb81e6f0919683"  # sha256 of "6"
    assert record["files"] == {"number.txt": six} and record["seconds"] >= 0 and record["resumed"] is False
    assert record["core_seconds"] >= 0
    assert verify(result) == []
    (result / "number.txt").write_text("7")
    (result / "more.txt").write_text("x")
    assert verify(result) == [f"{result / 'more.txt'}: not in the record", f"{result / 'number.txt'}: changed"]
    (result / "number.txt").unlink()
    assert f"{result / 'number.txt'}: missing" in verify(result)
    (result / "record.json").unlink()
    assert verify(result) == [f"{result.path}: not finished (no record.json)"]


def test_why_names_what_differs_from_the_most_similar_record(toy, store, capsys):
    number = store(toy.draw, seed=3)
    assert store.why(toy.draw, seed=3) == []
    assert store.why(toy.total, numbers={"a": number}, classifier=toy.Classifier()) == ["new"]
    store(toy.total, numbers={"a": number}, classifier=toy.Classifier())
    store(toy.total, numbers={"a": number}, classifier=toy.Classifier(lr=0.5, epochs=9))
    asked = {"numbers": {"a": number, "b": number}, "classifier": toy.Classifier(lr=0.5, epochs=8)}
    assert store.why(toy.total, **asked) == ["param classifier.epochs 9 -> 8", "input numbers.b"]
    capsys.readouterr()
    store(toy.total, **asked)
    key = store.plan(toy.total, **asked)["key"][:16]
    said = f"engine_stages.total {key}: computing (param classifier.epochs 9 -> 8; input numbers.b)\n"
    assert capsys.readouterr().out == said


def test_explain_names_params_inputs_and_code():
    old = {
        "params": {"c": {"lr": 0.1, "gone": 1}},
        "inputs": {"cams": "a"},
        "code": {"weakseg.f": "1", "weakseg.g": "2"},
    }
    new = {"params": {"c": {"lr": 0.2}}, "inputs": {"cams": "b"}, "code": {"weakseg.f": "1", "weakseg.g": "3"}}
    assert explain(old, new) == ["param c.gone 1 -> absent", "param c.lr 0.1 -> 0.2", "input cams", "code weakseg.g"]
    assert explain(old, old) == []


# ---------------------------------------------------------------- kills and companions


def test_a_stage_killed_while_writing_is_never_taken_for_finished(toy, store, tmp_path):
    journal = tmp_path / "journal"
    asked = {"seconds": 60, "journal": str(journal)}
    process = toy.fork(lambda: store(toy.slow, **asked), tmp_path / "said")
    folder = store.folder(store.plan(toy.slow, **asked))
    partial = folder.with_name(f"{folder.name}.partial")
    wait_for((partial / "checkpoint.txt").exists)
    os.kill(process, signal.SIGKILL)
    assert end_of(process) == -signal.SIGKILL
    assert (partial / "half.txt").exists() and not folder.exists()
    assert store.why(toy.slow, **asked) == ["new"]
    (partial / "checkpoint.again").touch()  # a checkpoint survives, and this one tells the stage not to sleep
    (partial / "sub").mkdir()
    (partial / "sub/stale.txt").touch()
    result = store(toy.slow, **asked)
    assert sorted(one.name for one in result.path.iterdir()) == [
        "checkpoint.again",
        "half.txt",
        "record.json",
        "whole.txt",
    ]
    assert (result / "half.txt").read_text().endswith(str(os.getpid())) and read_record(result)["resumed"] is True
    assert journal.read_text().split() == ["began", "began", "ended"]


def test_a_folder_without_a_record_is_no_artifact(toy, store):
    result = store(toy.draw, seed=5)
    (result / "record.json").unlink()
    (result / "number.txt").write_text("torn")
    assert (store(toy.draw, seed=5) / "number.txt").read_text() == "5"


@pytest.mark.parametrize("last", [0, 1])
def test_a_stop_at_either_rename_of_the_end_is_redone(toy, store, monkeypatch, last):
    real, done = stages.os.replace, []

    def stopped(source, target):
        if len(done) == last:
            raise KeyboardInterrupt
        done.append(real(source, target))

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stages.os, "replace", stopped)
        store(toy.draw, seed=6)
    assert store.why(toy.draw, seed=6) == ["new"]
    result = store(toy.draw, seed=6)
    assert verify(result) == [] and sorted(one.name for one in result.path.iterdir()) == ["number.txt", "record.json"]


def test_two_processes_on_one_stage_compute_once(toy, store, tmp_path):
    asked = {"seconds": 0.5, "journal": str(tmp_path / "journal")}
    pair = [toy.fork(lambda: store(toy.slow, **asked).path, tmp_path / name) for name in "ab"]
    assert [end_of(process) for process in pair] == [0, 0]
    said = [(tmp_path / name).read_text().splitlines() for name in "ab"]
    assert said[0][-1] == said[1][-1] == str(store(toy.slow, **asked).path)
    assert (tmp_path / "journal").read_text().split() == ["began", "ended"]
    assert sum("another process computes it; waiting" in line for lines in said for line in lines) == 1


def test_the_waiting_process_takes_over_from_a_killed_one_with_workers(toy, store, tmp_path):
    asked = {"journal": str(tmp_path / "journal")}
    first = toy.fork(lambda: store(toy.crowd, **asked).path, tmp_path / "first", WEAKSEG_THREADS="2")
    workers = psutil.Process(first).children
    wait_for(lambda: len(workers()) == 2)
    orphans = workers()
    second = toy.fork(lambda: store(toy.crowd, **asked).path, tmp_path / "second", WEAKSEG_THREADS="2")
    wait_for(lambda: "waiting" in (tmp_path / "second").read_text() if (tmp_path / "second").exists() else False)
    os.kill(first, signal.SIGKILL)  # the head only: its workers must neither keep the lock nor live on
    assert [end_of(first), end_of(second)] == [-signal.SIGKILL, 0]
    assert (tmp_path / "journal").read_text().split() == ["ended", str(second)]
    wait_for(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in orphans))


def test_a_full_disk_is_one_line(toy, store):
    for how in ("errno", "safetensors"):
        with pytest.raises(OSError) as caught:
            store(toy.full_disk, how=how)
        assert caught.value.errno == errno.ENOSPC
        line = f"engine_stages.full_disk: the disk of {store.root} is full; free space and start again"
        assert caught.value.strerror == line
    with pytest.raises(OSError, match="Input/output error"):
        store(toy.full_disk, how="other")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_record_that_does_not_fit_is_no_record(toy, store, monkeypatch):
    real = open
    monkeypatch.setattr(
        "builtins.open",
        lambda file, *args, **more: real(
            "/dev/full" if str(file).endswith(".record.json.tmp") else file, *args, **more
        ),
    )
    with pytest.raises(OSError, match="is full; free space and start again"):
        store(toy.draw, seed=8)
    monkeypatch.undo()
    assert store.why(toy.draw, seed=8) == ["new"]


def test_records_are_json_a_person_can_read(toy, store):
    text = (store(toy.draw, seed=9) / "record.json").read_text()
    assert json.loads(text)["params"] == {"seed": 9} and text.count("\n") > 10
