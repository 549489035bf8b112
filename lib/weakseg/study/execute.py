"""Executes one notebook by papermill and says, from its own evidence, whether every cell really ran.

The notebook's own metadata cannot be trusted: after a killed kernel papermill writes "completed" into every cell, and
a cell that calls sys.exit() ends a run with exit code 0. So success here means: the kernel answered "ok" to every cell.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config

from weakseg.study.plan import NotebookFailed

QUIET = {"TQDM_DISABLE": "1", "PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


class Stopped(SystemExit):
    """The driver was told to stop. asyncio lets a SystemExit through, where it would swallow other exceptions."""


class Watch:
    """Follows a run: one line per cell, and which cell the kernel finished last."""

    def __init__(self, title: str, say: Callable[[str], None]) -> None:
        self.title, self.say = title, say
        self.heading, self.number, self.finished = "", 0, set[int]()
        self.injected = 0

    def started(self, cell: Any, cell_index: int) -> None:
        """A cell's turn has come."""
        self.injected += "injected-parameters" in cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            headings = [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]
            self.heading = (headings or [self.heading])[-1]
        elif cell.source.strip() and not {"parameters", "injected-parameters"} & {*cell.metadata.get("tags", [])}:
            self.number = cell_index + 1 - self.injected  # as in the clean notebook
            opening = cell.source.strip().splitlines()[0]
            self.say(f"{self.title} cell {self.number}: {self.heading} | {opening}"[:118])

    def executed(self, cell: Any, cell_index: int, execute_reply: dict) -> None:
        """The kernel has answered; sys.exit() is answered with an error, which papermill passes over."""
        expected = "raises-exception" in cell.metadata.get("tags", [])
        if execute_reply["content"]["status"] == "ok" or expected:
            self.finished.add(cell_index)

    def write(self, text: str) -> None:
        """What the notebook prints goes to the log as it comes: which stage computes, how long it will take."""
        for line in filter(str.strip, text.splitlines()):
            self.say(f"  {line}"[:200])

    def flush(self) -> None:
        """Lines are said at once."""

    def unfinished(self, notebook: nbformat.NotebookNode) -> list[int]:
        """Numbers, as in the clean notebook, of code cells that the kernel did not answer with ok."""
        cells = enumerate(notebook.cells)
        wanted = [index for index, cell in cells if cell.cell_type == "code" and cell.source.strip()]
        return [index + 1 - self.injected for index in wanted if index not in self.finished]


def execute(source: Path, target: Path, parameters: dict[str, Any], title: str, say: Callable[[str], None]) -> None:
    """Executes `source` into `target`, by this very interpreter, with `parameters` injected.

    Raises NotebookFailed in one line; `target` then holds the notebook as far as it came, the reason on top.
    """
    watch = Watch(title, say)
    try:
        with _kernel_of_this_interpreter() as transport, _stoppable():
            notebook = _papermill(source, target, parameters, watch, transport)
        if left := watch.unfinished(notebook):
            raise NotebookFailed(f"cell {left[0]}: ended the run before the last cell (sys.exit?)")
        _forget_paths(target)
    except (Exception, Stopped) as error:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # no tracebacks of tasks that wait for the ended kernel
        _end_children()
        reason = _reason(error, watch)
        _put_on_top(target, source, reason)
        raise NotebookFailed(reason) from None


def _reason(error: BaseException, watch: Watch) -> str:
    """The cell and the error in one line."""
    if isinstance(error, NotebookFailed):
        return str(error)
    if isinstance(error, papermill.PapermillExecutionError):
        what = f"{error.ename}: {error.evalue}"
    elif isinstance(error, DeadKernelError):
        what = "the kernel was killed; too little memory is the usual cause"
    elif isinstance(error, Stopped):
        what = f"stopped by {error.code}"
    else:
        what = f"{type(error).__name__}: {error}"
    return f"cell {watch.number}: {' '.join(what.split())[:300]}"


def _papermill(
    source: Path, target: Path, parameters: dict[str, Any], watch: Watch, transport: dict[str, str]
) -> nbformat.NotebookNode:
    # papermill fills {fields} in paths from the parameters; a folder name may hold braces of its own.
    plain = [str(path).replace("{", "{{").replace("}", "}}") for path in (source, target)]
    return papermill.execute_notebook(
        *plain,
        parameters=parameters,
        kernel_name="python3",
        language="python",
        cwd=source.parent,
        progress_bar=False,
        start_timeout=300,
        config=Config(KernelManager=transport),
        stdout_file=watch,
        on_cell_start=watch.started,
        on_cell_executed=watch.executed,
    )


def _forget_paths(target: Path) -> None:
    """Takes out where the notebook lay: results are published, and a folder of this machine means nothing elsewhere."""
    notebook = nbformat.read(target, as_version=4)
    for name in ("input_path", "output_path"):
        notebook.metadata["papermill"].pop(name)
    nbformat.write(notebook, target)


def _put_on_top(target: Path, source: Path, reason: str) -> None:
    """Marks a failed notebook for its reader."""
    notebook = nbformat.read(target if target.is_file() else source, as_version=4)
    words = f"**This run failed.** {reason}\n\nThe results of the last run that succeeded are untouched."
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(words))
    nbformat.write(notebook, target)


# ---------------------------------------------------------------- the kernel


@contextlib.contextmanager
def _kernel_of_this_interpreter() -> Iterator[dict[str, str]]:
    """Lets "python3" mean sys.executable, whatever kernels are installed; nothing outlives the run.

    Gives the transport: sockets in a private folder, which nobody else can reach, where its path is short enough. They
    must be named: by default those of all kernels are called alike, in the notebook's folder, and get mixed up.
    """
    with tempfile.TemporaryDirectory(prefix="weakseg-kernel-") as folder:
        spec = Path(folder) / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
        paths = [folder, *filter(None, [os.environ.get("JUPYTER_PATH")])]
        with environment(JUPYTER_PATH=os.pathsep.join(paths), JUPYTER_RUNTIME_DIR=folder, **QUIET):
            yield {"transport": "ipc", "ip": f"{folder}/kernel"} if len(folder) < 80 else {}


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Environment variables for the kernel, put back afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT end the run as a failure that is written down (a scheduler's time limit sends SIGTERM)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> None:
    raise Stopped(signal.Signals(number).name)


def _end_children() -> None:
    """No kernel and no worker goes on computing after its run has failed."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=10)


class PeakMemory(threading.Thread):
    """Samples the memory of this process and its children; `megabytes` is the highest sum seen.

    Every five seconds: a sample walks the page tables, which takes the kernel of a large process 0.1 s.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.megabytes, self._done = 0.0, threading.Event()

    def __enter__(self) -> "PeakMemory":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        me = psutil.Process()
        while True:
            self.megabytes = max(self.megabytes, sum(_megabytes(p) for p in [me, *me.children(recursive=True)]))
            if self._done.wait(5.0):
                return


def _megabytes(process: psutil.Process) -> float:
    """Proportional memory, which counts a page shared by forked workers once; 0 for a process that has gone."""
    with contextlib.suppress(psutil.Error, AttributeError):
        return process.memory_full_info().pss / 2**20
    return 0.0
