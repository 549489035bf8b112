#!/usr/bin/env python
"""Answers as kubectl does to `create -f -`, `get job NAME -o json`, `delete job ... NAME`, and runs the jobs here.

A job is a folder below $STAND_IN: what was asked, what it printed, and its exit code once it has ended.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ["STAND_IN"])


def create(asked: dict) -> None:
    folder = HOME / asked["metadata"]["name"]
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps(asked))
    (container,) = asked["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    run = 'sh -c "$0" > "$1/said" 2>&1; echo $? > "$1/code.new"; mv "$1/code.new" "$1/code"'
    command = ["sh", "-c", run, shlex.join(container["command"]), str(folder)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(command, cwd=container["workingDir"], env=kept | given, start_new_session=True, **pipes)


def get(name: str) -> None:
    if not (HOME / name).is_dir():
        sys.exit(f'Error from server (NotFound): jobs.batch "{name}" not found')
    code = HOME / name / "code"
    ended = [{"type": "Failed" if int(code.read_text()) else "Complete", "status": "True"}] if code.exists() else []
    print(json.dumps({"status": {"conditions": ended}}))


if (HOME / "down").exists():
    sys.exit("The connection to the server was refused")
if sys.argv[1] == "create":
    create(json.load(sys.stdin))
elif sys.argv[1] == "get":
    get(sys.argv[3])
else:
    (HOME / "deleted").write_text(" ".join(sys.argv[1:]))
