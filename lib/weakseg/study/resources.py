"""What a cluster's job asks for: minutes and memory of each notebook, as `make plan` left them beside the results.

Nothing here imports torch: the Snakefile reads it each time, in every job.
"""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from weakseg.study import places
from weakseg.study.plan import Run

LONGEST = 2880  # minutes: a job that needs more is stopped, tried again, and goes on from its last checkpoint
SPARE = 1.5  # for a slower machine, and for memory that was not looked at in its worst moment


def file_of(profile: str) -> Path:
    """outputs/<profile>/resources.json."""
    return places.outputs() / profile / "resources.json"


def of(run: Run) -> dict[str, int]:
    """``{"runtime": minutes, "mem_mb": megabytes}`` as planned; what was not is left to the cluster's defaults."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return json.loads(file_of(run.profile).read_text(encoding="utf-8"))[f"{run.paper}/{run.notebook}"]
    return {}


def write(profile: str, hours: Mapping[Run, float]) -> Path:
    """Keeps the minutes of each run, and the memory of those that were measured before; returns the file.

    hours: of the stages that are left, with all cores of the job at work.
    """
    file = file_of(profile)
    found = {f"{run.paper}/{run.notebook}": {"runtime": minutes(each)} | memory(run) for run, each in hours.items()}
    places.write_text(file, json.dumps(found, indent=1) + "\n")
    return file


def minutes(hours: float) -> int:
    """With some to spare, ten for a start, and no more than clusters grant."""
    return min(LONGEST, 10 + math.ceil(60 * SPARE * hours))


def memory(run: Run) -> dict[str, int]:
    """Megabytes of the notebook where it was measured at this profile, here or for the published results; else {}."""
    seen = [_recorded(run.records / f"{run.notebook}.json"), _published(run)]
    most = max((each for each in seen if each), default=None)
    return {"mem_mb": math.ceil(SPARE * most)} if most else {}


def _recorded(file: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text(encoding="utf-8")).get("peak_memory_mb")
    return None


def _published(run: Run) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        manifest = json.loads((places.published(run.profile) / "manifest.json").read_text(encoding="utf-8"))
        own = f"{run.paper}/{run.notebook}.ipynb"
        return next((one.get("peak_memory_mb") for one in manifest["outputs"] if one["path"] == own), None)
    return None
