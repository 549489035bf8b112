"""One job per card, on a machine whose cards are told by a stand-in for nvidia-smi."""

import os
import subprocess
import sys

import pytest

from weakseg.study import cards

TWO = "GPU 0: NVIDIA H200 (UUID: GPU-aa)\\nGPU 1: NVIDIA H200 (UUID: GPU-bb)\\n"
HOLD = """
import os, sys
from weakseg.study import cards
with cards.one():
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A folder in which nvidia-smi lists two cards."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{TWO}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("WEAKSEG_DEVICE", raising=False)
    return tool


def hold() -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", HOLD], **pipes)


def test_cards_are_known_by_lasting_ids(machine, monkeypatch):
    assert cards.cards() == ["GPU-aa", "GPU-bb"] and cards.names() == ["NVIDIA H200", "NVIDIA H200"]
    for allowed, found in {"1": ["GPU-bb"], "GPU-aa": ["GPU-aa"], "": []}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
        assert cards.cards() == found


def test_each_job_has_a_card_to_itself_and_a_killed_one_frees_it(machine):
    first, second = hold(), hold()
    assert {first.stdout.readline(), second.stdout.readline()} == {"GPU-aa\n", "GPU-bb\n"}
    third = hold()
    with pytest.raises(subprocess.TimeoutExpired):
        third.wait(timeout=2)
    first.kill()
    first.wait()
    assert third.stdout.readline() in {"GPU-aa\n", "GPU-bb\n"}
    for job in (second, third):
        job.communicate("", timeout=30)


def test_the_choice_is_taken_back(machine):
    with cards.one():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aa"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_without_cards_or_kept_off_them_nothing_is_set(machine, monkeypatch):
    monkeypatch.setenv("WEAKSEG_DEVICE", "cpu")
    with cards.one():
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.delenv("WEAKSEG_DEVICE")
    machine.write_text("#!/bin/sh\nexit 9\n")
    with cards.one():
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
