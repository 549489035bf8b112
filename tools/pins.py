"""Whether the running interpreter has exactly the packages that requirements.txt pins. Prints the first that differs.

python tools/pins.py        exit 0: all as pinned, and `weakseg` is this folder's
"""

import re
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def pins(text: str) -> dict[str, str]:
    """{package: version} of the `name==version` lines of a requirements file."""
    return dict(re.findall(r"^\s*-?\s*([\w.-]+)==([\w.+!-]+)", text, flags=re.MULTILINE))


def difference(wanted: dict[str, str]) -> str | None:
    """What is not as wanted, in a few words, or None. A local build tag (2.12.1+cpu) is the same version."""
    for name, version in wanted.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            return f"{name} {version} is not installed"
        if found != version and found.partition("+")[0] != version:
            return f"{name} is {found}, not {version}"
    place = find_spec("weakseg")
    if place is None or Path(place.origin).resolve().parents[2] != ROOT:
        return "weakseg is not installed from this folder"
    return None


if __name__ == "__main__":
    found = difference(pins((ROOT / "requirements.txt").read_text()))
    print(found or "all as pinned")
    sys.exit(found is not None)
