"""The machine a run happens on: device, cores, process pool, progress.

Nothing here may change a key, nor a result beyond its rounding.
"""

import contextlib
import functools
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tqdm.auto import tqdm


def device() -> torch.device:
    """This process's device: its own GPU (LOCAL_RANK under torchrun), else the CPU; torch gets `threads` threads.

    WEAKSEG_DEVICE=cpu keeps a process off the GPU.
    """
    torch.set_num_threads(threads())
    if os.environ.get("WEAKSEG_DEVICE") == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # cuBLAS repeats itself only with a fixed workspace, which must be set before its first call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def autocast(precision: str) -> torch.autocast:
    """The context in which networks compute: "fp32" as they are, "bf16" with matrix products in bfloat16.

    "bf16" is fp32 where the processor has no instructions for it: emulated, a step takes ten to twenty times as long.
    """
    kind = "cuda" if torch.cuda.is_available() and os.environ.get("WEAKSEG_DEVICE") != "cpu" else "cpu"
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16" and has_bf16(kind))


@contextlib.contextmanager
def own_kernels() -> Iterator[None]:
    """Kernels as fast as they come, where a training asked for those that repeat themselves (`study.train`)."""
    wanted, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(wanted, warn_only=warn)


@functools.cache
def has_bf16(kind: str) -> bool:
    """Whether devices of this kind ("cpu" or "cuda") compute in bfloat16 by instructions of their own."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def threads() -> int:
    """Cores that this process may use: WEAKSEG_THREADS, else OMP_NUM_THREADS, else what the system grants it."""
    for name in ("WEAKSEG_THREADS", "OMP_NUM_THREADS"):
        if given := os.environ.get(name):
            if not given.isdigit() or int(given) < 1:
                raise ValueError(f"{name}: must be a whole number of 1 or more (got {given!r})")
            return int(given)
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(granted, _quota()))


def loaders() -> int:
    """Processes that load pictures beside a training on a GPU: its share of the cores but one, at most 12."""
    return max(0, min(12, threads() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1))


def core_seconds() -> float:
    """Seconds of cores that this process and its finished children used; what runs beside them adds nothing."""
    return sum(os.times()[:4])


def _quota() -> int:
    """Cores granted by the container (cgroup v2 ``cpu.max``: microseconds of CPU in a period), rounded up."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return sys.maxsize


@functools.cache
def describe() -> dict[str, Any]:
    """Processor, cores, GPU and the precision that "bf16" stands for, for records and the report."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    computes = "bf16" if has_bf16("cuda" if gpu else "cpu") else "fp32"
    return {"cpu": processor, "cores": threads(), "gpu": gpu, "computes": computes, "system": platform.platform()}


# ---------------------------------------------------------------- many pictures


def parallel(function: Callable[[Any], Any], items: Sequence[Any], title: str = "working") -> list[Any]:
    """``[function(item) for item in items]`` in one process per core, one thread each, in order.

    `function` must be importable (module level, or a functools.partial of one); inline with 1 core or few items.
    An exception in a worker is raised here, with a note that says which item it was.
    """
    items = list(items)
    workers = min(threads(), len(items))
    if workers < 2 or len(items) < 4 or multiprocessing.parent_process() is not None:
        return list(progress((function(item) for item in items), len(items), title))
    chunk = max(1, len(items) // (workers * 16))
    try:
        with _pool(workers) as pool:
            results = pool.map(functools.partial(_named, function), range(len(items)), items, chunksize=chunk)
            return list(progress(results, len(items), title))
    except BrokenProcessPool:
        _lasting_pool.cache_clear()
        raise RuntimeError(
            f"{title}: a worker process was killed, mostly for want of memory; set WEAKSEG_THREADS below {workers}"
        ) from None


def _named(function: Callable[[Any], Any], number: int, item: Any) -> Any:
    try:
        return function(item)
    except Exception as error:
        error.add_note(f"item {number}: {repr(item)[:200]}")
        raise


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes to work in. Forked for this call, which costs milliseconds, where that is safe.

    It is for the reason torch's own DataLoader forks: a worker runs on one thread, so it never touches the parent's
    OpenMP pool. A CUDA context does not survive a fork, though.
    """
    if sys.platform != "linux" or torch.cuda.is_initialized():
        yield _lasting_pool(threads())  # one for all calls, however few items they have
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool, quiet_fork():
        yield pool


@functools.lru_cache(1)
def _lasting_pool(workers: int) -> ProcessPoolExecutor:
    """Processes of a fresh interpreter, kept until this one ends: each needs seconds to import what it works with."""
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        context.set_forkserver_preload(["torch", "torchvision", "pandas", "cv2", "scipy.ndimage", "weakseg"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_lasting_worker)


def _prepare_lasting_worker() -> None:
    """An interrupt is for the cell that runs, and each notebook ends with one: an idle worker takes no notice."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _prepare_worker()


def _prepare_worker() -> None:
    """One thread per worker, and no worker outlives a killed parent (it would hold the parent's locks)."""
    os.environ["OMP_NUM_THREADS"] = os.environ["WEAKSEG_THREADS"] = "1"
    torch.set_num_threads(1)
    quiet_opencv()
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def quiet_opencv(_: int = 0) -> None:
    """Keeps OpenCV, where it is loaded, from starting threads of its own in a worker."""
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextlib.contextmanager
def quiet_fork() -> Iterator[None]:
    """Python 3.12+ warns of every fork beside threads; `_pool` says why ours are safe."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*use of fork.*", category=DeprecationWarning)
        yield


# ---------------------------------------------------------------- progress


class Progress:
    """A bar with note and time left in a terminal or notebook, one line a minute in a log."""

    def __init__(self, total: int, title: str, done: int = 0) -> None:
        self.total, self.title, self.done = total, title, done
        self.first, self.began = done, time.monotonic()
        self.said = self.began
        live = (sys.stderr.isatty() or "ipykernel" in sys.modules) and not os.environ.get("TQDM_DISABLE")
        self.bar = tqdm(total=total, desc=title, initial=done, leave=False, disable=not live or rank() > 0)

    def update(self, count: int = 1, note: str = "") -> None:
        """`count` more are done; `note` (the loss, say) is shown beside."""
        self.done += count
        if not self.bar.disable:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(count)
        elif time.monotonic() - self.said >= 60 and rank() == 0:
            self.said = time.monotonic()
            left = (self.said - self.began) / max(1, self.done - self.first) * (self.total - self.done)
            print(f"{self.title}: {self.done} of {self.total}, {left / 60:.1f} min left {note}".rstrip(), flush=True)

    def close(self) -> None:
        """Takes the bar away."""
        self.bar.close()


def progress(results: Any, total: int, title: str) -> Iterator[Any]:
    """Passes `results` on and shows how many have come."""
    bar = Progress(total, title)
    try:
        for result in results:
            bar.update()
            yield result
    finally:
        bar.close()


# ---------------------------------------------------------------- several processes (torchrun)


def rank() -> int:
    """This process's number among those that train together; 0 alone."""
    if dist.is_initialized():
        return dist.get_rank()
    return int(os.environ.get("RANK", 0)) if world() > 1 else 0


def world() -> int:
    """How many processes train together: those of torch.distributed, or of torchrun's WORLD_SIZE; 1 alone."""
    return dist.get_world_size() if dist.is_initialized() else int(os.environ.get("WORLD_SIZE", 1))


def join() -> None:
    """Joins the processes that torchrun started, once; nothing alone."""
    if world() > 1 and not dist.is_initialized():
        place = device()
        if place.type == "cuda":
            torch.cuda.set_device(place)
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")


def from_first(value: Any) -> Any:
    """The first process's `value` in every process (all must ask); `value` itself alone."""
    join()
    box = [value]
    if world() > 1:
        dist.broadcast_object_list(box, 0)
    return box[0]
