"""profiles/kubernetes with a stand-in for kubectl that runs the jobs on this machine: no cluster is seen."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "kubernetes_job.py"
ASKED = ("--image", "study:1", "--claim", "disk", "--gpu", "1", "--cpus", "4", "--memory", "9000", "--minutes", "30")


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Path:
    """The folder of the stand-in's jobs; it is called kubectl, and is the first of that name."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "jobs").mkdir()
    program = tmp_path / "bin" / "kubectl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "tests" / "stand_in_kubectl.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", str(tmp_path / "jobs"))
    return tmp_path / "jobs"


def tool(*words: str, where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *words], cwd=where, capture_output=True, text=True)


def submitted(where: Path, script: str) -> str:
    (where / "job.sh").write_text(script)
    said = tool("submit", *ASKED, "--mount", str(where), "job.sh", where=where)
    assert said.returncode == 0, said.stderr
    return said.stdout.strip()


def ended(name: str, where: Path) -> str:
    while (said := tool("status", name, where=where)).stdout.strip() == "running":
        time.sleep(0.1)
    return said.stdout.strip()


def test_a_job_asks_for_what_it_needs(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("WEAKSEG_DATA", "/study/data")
    asked = json.loads((cluster / submitted(tmp_path, "true") / "job.json").read_text())
    assert (asked["apiVersion"], asked["kind"], asked["spec"]["backoffLimit"]) == ("batch/v1", "Job", 0)
    assert asked["spec"]["activeDeadlineSeconds"] == 1800
    pod = asked["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    # A card must stand among the limits; memory that is not limited is taken from neighbours.
    assert container["resources"]["limits"] == {"memory": "9000M", "nvidia.com/gpu": "1"}
    assert container["resources"]["requests"] == {"cpu": "4", "memory": "9000M", "nvidia.com/gpu": "1"}
    assert {"name": "WEAKSEG_DATA", "value": "/study/data"} in container["env"]
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each.pop("name"): each for each in pod["volumes"]}
    assert volumes[mounts[str(tmp_path)]] == {"persistentVolumeClaim": {"claimName": "disk"}}
    assert volumes[mounts["/dev/shm"]] == {"emptyDir": {"medium": "Memory"}}  # a container's own holds 64 MB


def test_what_became_of_a_job(cluster, tmp_path):
    good = submitted(tmp_path, "pwd > where; sleep 1")
    bad = submitted(tmp_path, "exit 3")
    assert tool("status", good, where=tmp_path).stdout == "running\n"
    assert (ended(good, tmp_path), ended(bad, tmp_path)) == ("success", "failed")
    assert Path((tmp_path / "where").read_text().strip()).samefile(tmp_path)
    assert tool("status", "weakseg-none", where=tmp_path).stdout == "failed\n"
    (cluster / "down").touch()  # a cluster that does not answer for a while fails no job
    said = tool("status", good, where=tmp_path)
    assert said.stdout == "running\n" and said.stderr == "kubernetes_job: The connection to the server was refused\n"


def test_what_cannot_be_submitted_is_one_line(cluster, tmp_path, monkeypatch):
    elsewhere = tool("submit", *ASKED, "--mount", "/study", "job.sh", where=tmp_path)
    assert elsewhere.returncode == 1 and elsewhere.stderr.count("\n") == 1
    assert f"{tmp_path} is not below --mount /study; pods would not find the project" in elsewhere.stderr
    (cluster / "down").touch()
    down = tool("submit", *ASKED, "--mount", str(tmp_path), "job.sh", where=tmp_path)
    assert down.returncode == 1 and down.stderr == "kubernetes_job: The connection to the server was refused\n"
    monkeypatch.setenv("PATH", "/nowhere")
    assert "there is no kubectl" in tool("status", "any", where=tmp_path).stderr


def test_jobs_are_cancelled_by_name(cluster):
    subprocess.run([ROOT / "tools" / "kubernetes_cancel.sh", "one", "two"], check=True)
    assert (cluster / "deleted").read_text() == "delete job --wait=false --ignore-not-found one two"


def test_the_profile_runs_a_study(cluster, study):
    """As it stands, but for where this study lies."""
    study.notebook("sums", "print('summed')")
    study.notebook("broken", "1 / 0")
    profile = yaml.safe_load((ROOT / "profiles/kubernetes/config.yaml").read_text())
    submit = profile["cluster-generic-submit-cmd"]
    assert "--mount /study" in submit
    here = shlex.quote(str(study.root)).replace("{", "{{").replace("}", "}}")
    profile["cluster-generic-submit-cmd"] = submit.replace("--mount /study", f"--mount {here}")
    for name in ("submit", "status", "cancel"):
        command = profile[f"cluster-generic-{name}-cmd"]
        profile[f"cluster-generic-{name}-cmd"] = command.replace("tools/", f"{ROOT}/tools/")
    (study.root / "kubernetes").mkdir()
    (study.root / "kubernetes/config.yaml").write_text(yaml.safe_dump(profile | {"retries": 0}))
    words = ("--profile", "kubernetes", "--config", "profile=toy", "gpu=0", "--seconds-between-status-checks", "1")
    code, said = study.python("snakemake", "-s", str(ROOT / "Snakefile"), *words, STAND_IN=str(cluster))
    asked = [json.loads(file.read_text()) for file in cluster.glob("*/job.json")]
    assert code == 1 and len(asked) == 2, said
    assert "weakseg: toy/tiny/broken failed: cell 2: ZeroDivisionError: division by zero" in said.splitlines()
    assert "summed" in study.text("sums")
    limits = [each["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] for each in asked]
    assert limits == [{"memory": "64000M"}] * 2
