"""One job per graphics card: each driver takes a free card of this machine and waits while there is none."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


def cards() -> list[str]:
    """The machine's cards by their lasting ids, within CUDA_VISIBLE_DEVICES where that is set; empty without any."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = [line.rpartition("UUID: ")[2].rstrip(") ") for line in _listing()]
    if allowed is None:
        return found
    wanted = [name.strip() for name in allowed.split(",") if name.strip()]
    return [found[int(name)] if name.isdigit() and int(name) < len(found) else name for name in wanted]


def names() -> list[str]:
    """What the machine's cards are called."""
    return [line.partition(": ")[2].partition(" (UUID")[0] for line in _listing()]


def _listing() -> list[str]:
    """Lines such as ``GPU 0: NVIDIA H200 (UUID: GPU-1c...)``; none without a driver."""
    try:
        said = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in said.splitlines() if line.startswith("GPU ")]


@contextlib.contextmanager
def one() -> Iterator[None]:
    """Holds one card, which this process and its children then see alone; does nothing on a machine without cards."""
    there = [] if os.environ.get("WEAKSEG_DEVICE") == "cpu" else cards()
    if not there:
        yield
        return
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    card, lock = _take(there)
    os.environ["CUDA_VISIBLE_DEVICES"] = card
    try:
        yield
    finally:
        lock.release()
        os.environ.pop("CUDA_VISIBLE_DEVICES")
        os.environ.update({} if before is None else {"CUDA_VISIBLE_DEVICES": before})


def _take(there: list[str]) -> tuple[str, FileLock]:
    """The first free card with its lock, which the system frees when its holder dies."""
    folder = Path(tempfile.gettempdir()) / f"weakseg-cards-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        for card in there:
            lock = FileLock(folder / f"{card.replace('/', '-')}.lock")
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                return card, lock
        time.sleep(1)
