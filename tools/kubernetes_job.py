"""Snakemake's jobs as jobs of a Kubernetes cluster, for profiles/kubernetes; needs kubectl and a volume that all share.

python tools/kubernetes_job.py submit --image IMAGE --claim CLAIM --mount /study [...] JOBSCRIPT    prints the name
python tools/kubernetes_job.py status NAME                                     prints running, success or failed
"""

import argparse
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

KEPT = 7 * 24 * 3600  # seconds that a finished job can be looked at (kubectl logs)


def manifest(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """The job: `asked.script` run once by bash, here, on the volume that all pods mount at the same place.

    Snakemake tries a stopped job again, so Kubernetes does not.
    """
    limits = {"memory": f"{asked.memory}M"} | ({"nvidia.com/gpu": str(asked.gpu)} if asked.gpu else {})
    volumes = [
        {"name": "study", "persistentVolumeClaim": {"claimName": asked.claim}},
        {"name": "loaded", "emptyDir": {"medium": "Memory"}},  # processes that load pictures pass them on here
    ]
    container = {
        "name": "notebook",
        "image": asked.image,
        "command": ["bash", str(Path(asked.script).resolve())],
        "workingDir": os.getcwd(),
        "env": [{"name": key, "value": value} for key, value in os.environ.items() if key.startswith("WEAKSEG_")],
        "resources": {"requests": {"cpu": str(asked.cpus)} | limits, "limits": limits},
        "volumeMounts": [{"name": "study", "mountPath": asked.mount}, {"name": "loaded", "mountPath": "/dev/shm"}],
    }
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
    spec = {"backoffLimit": 0, "ttlSecondsAfterFinished": KEPT, "template": {"spec": pod}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"app": "weakseg"}},
        "spec": spec | {"activeDeadlineSeconds": 60 * asked.minutes},
    }


def submit(asked: argparse.Namespace) -> str:
    """Creates the job; returns its name. What cannot be created ends this process in one line."""
    if not Path.cwd().is_relative_to(asked.mount):
        sys.exit(f"kubernetes_job: {Path.cwd()} is not below --mount {asked.mount}; pods would not find the project")
    name = f"weakseg-{uuid.uuid4().hex[:12]}"
    said = kubectl("create", "-f", "-", given=json.dumps(manifest(name, asked)))
    if said.returncode:
        sys.exit(f"kubernetes_job: {said.stderr.strip()}")
    return name


def status(name: str) -> str:
    """ "running", "success" or "failed". A cluster that does not answer just now leaves it running."""
    said = kubectl("get", "job", name, "-o", "json")
    if said.returncode:
        print(f"kubernetes_job: {said.stderr.strip()}", file=sys.stderr)
        return "failed" if "NotFound" in said.stderr else "running"
    conditions = json.loads(said.stdout).get("status", {}).get("conditions", [])
    true = {each["type"] for each in conditions if each["status"] == "True"}
    return "success" if "Complete" in true else "failed" if "Failed" in true else "running"


def kubectl(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Its answer, whatever it is."""
    try:
        return subprocess.run(["kubectl", *words], input=given, capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit("kubernetes_job: there is no kubectl; install it, or start from where it is")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("submit")
    new.add_argument("--image", required=True, help="with bash and the Python that .venv was made with")
    new.add_argument("--claim", required=True, help="the persistent volume claim that holds the project")
    new.add_argument("--mount", required=True, help="where pods mount it: where it is here too")
    new.add_argument("--gpu", type=int, default=0)
    new.add_argument("--cpus", type=int, default=1)
    new.add_argument("--memory", type=int, required=True, help="megabytes")
    new.add_argument("--minutes", type=int, required=True, help="after which the job is stopped")
    new.add_argument("script")
    commands.add_parser("status").add_argument("name")
    return parser


if __name__ == "__main__":
    asked = arguments().parse_args()
    print(submit(asked) if asked.command == "submit" else status(asked.name))
