"""Where a step's time goes: every training of a paper for a few steps, every network over a few pictures.

The stages are the real ones, with the profile's own settings, on drawn pictures of the profile's size and with random
weights: a bench measures speed, and its results are thrown away.
"""

import contextlib
import functools
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from weakseg.data.sets import DataParams
from weakseg.nets import backbones
from weakseg.study import checkpoint, counts, machine, places, plan, run, samples, train, work
from weakseg.study.params import flat
from weakseg.study.rehearsal import Asked, Performance, behind, rehearse
from weakseg.study.standins import swapped

PARTS = ("data", "forward", "backward", "optimiser")
FEW = {"n_trainaug": 64, "n_train": 16, "n_val": 16, "n_tune": 8, "n_salient": 64, "n_salient_test": 8, "n_ilso": 64}


@dataclass(frozen=True)
class Step:
    """One stage's step, or its inference: seconds of the parts (median of the steps), operations, memory.

    pictures: of one step; planned: operations as `work` counts them, of one step or one picture, for a bill; memory:
    MB, on a GPU what torch held at most, else of the whole process; peak: operations a second that a large matrix
    product reached here; why: not empty where the stage could not be measured.
    """

    paper: str
    stage: str
    pictures: int = 0
    seconds: dict[str, float] | None = None
    flops: float = 0.0
    planned: float = 0.0
    memory: float = 0.0
    peak: float = 0.0
    precision: str = "fp32"
    device: str = ""
    why: str = ""

    @property
    def pictures_a_second(self) -> float:
        return self.pictures / sum(self.seconds.values())

    @property
    def share_of_peak(self) -> float:
        """Of the matrix units: operations a second over what a large matrix product reaches."""
        return self.flops / sum(self.seconds.values()) / self.peak


def bench(papers: Sequence[str], profile: str, steps: int = 3, precision: str | None = None) -> list[Step]:
    """Every training and every network of the papers' own notebooks, those of outside methods left out.

    precision: "fp32" or "bf16" for all of them; None: the profile's own.
    """
    found = []
    for paper in papers:
        asked, wanted = _wanted(paper, profile, precision)
        with tempfile.TemporaryDirectory() as folder, _watched(_Runs(Path(folder), asked, paper, steps)) as runs:
            for one in wanted:
                found.append(runs.measure(one))
    return found


def table(steps: Sequence[Step]) -> pd.DataFrame:
    """One line per stage, for people; where a stage could not be measured, why."""
    lines = []
    for one in steps:
        line: dict[str, Any] = {"paper": one.paper, "stage": one.stage, "of peak %": None, "why not": one.why}
        if one.seconds:
            total = sum(one.seconds.values())
            line |= {"pictures a second": one.pictures_a_second, "MB": one.memory}
            line["of peak %"] = 100 * one.share_of_peak if one.flops else None
            line |= {f"{part} %": 100 * one.seconds[part] / total for part in PARTS if part in one.seconds}
        lines.append(line)
    return pd.DataFrame(lines).round(1)


def save(steps: Sequence[Step], profile: str) -> Path:
    """outputs/<profile>/bench/steps.json, where `make plan` finds the speed of a card; returns it."""
    file = places.outputs() / profile / "bench" / "steps.json"
    lines = [asdict(one) | {"flops_a_second": one.share_of_peak * one.peak} for one in steps if one.seconds]
    places.write_text(file, json.dumps(lines, indent=1) + "\n")
    return file


def peak(precision: str) -> float:
    """Operations a second of the best of a few large matrix products, on this process's device."""
    device = machine.device()
    side = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if precision == "bf16" and machine.has_bf16(device.type) else torch.float32
    left = torch.randn(side, side, device=device, dtype=dtype)
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, True  # as convolutions do
    best = min(_timed(lambda: left @ left, device) for _ in range(5))
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * side**3 / best


# ---------------------------------------------------------------- what there is to measure


def _wanted(paper: str, profile: str, precision: str | None = None) -> tuple[dict[str, Asked], list[Asked]]:
    """All stages of the paper's tables, on few pictures; and of each network's stages the one that needs least."""
    asked: dict[str, Asked] = {}
    plain = plan.Run(paper, "ablations", profile)
    changes = _few(plan.values(plain)["data"])
    if precision:
        changes |= {name: precision for name, _ in flat(run.check(plain)) if name.endswith(".precision")}
    for notebook in ("ablations", "baselines"):
        with contextlib.redirect_stdout(io.StringIO()):
            asked |= rehearse(plan.Run(paper, notebook, profile, changes)).asked
    own = [one for one in asked.values() if _is_of(one, paper) and _is_small(one)]
    own.sort(key=lambda one: len(behind([one.plan["key"]], asked)))
    return asked, list({one.name: one for one in reversed(own)}.values())[::-1]


def _few(data: dict[str, Any]) -> dict[str, Any]:
    """Overrides that draw a few pictures, as large as the profile's."""
    drawn = data.get("menagerie")
    side = 256 if data.get("classes") else [375, 500]  # of photographs: made smaller, or VOC's own
    if drawn is None:
        drawn = {"size": side, "classes": min(6, len(data.get("classes") or [])) or 6}
    known = DataParams.model_fields
    plain = {name: known[name].get_default(call_default_factory=True) for name in data if name in known}
    return {"data": {**plain, "layout": "menagerie", "menagerie": drawn | FEW}}


def _is_of(one: Asked, paper: str) -> bool:
    """A training, or a network's work on pictures, of this paper or of the nets that all share."""
    module, _, function = one.plan["stage"].rpartition(".")
    ours = module.startswith((f"weakseg.papers.{paper}.", "weakseg.nets."))
    return ours and (function.startswith("train_") or "model" in one.plan["inputs"])


def _is_small(one: Asked) -> bool:
    """Not one that a notebook asks for through another paper's params, which nobody made small."""
    drawn = one.plan["params"].get("data", {}).get("menagerie") or {}
    return drawn.get("n_trainaug") == FEW["n_trainaug"]


# ---------------------------------------------------------------- running and timing


class _Runs:
    """Stages of one bench: computed into a folder that goes away, each training cut short and timed on its way."""

    def __init__(self, folder: Path, asked: dict[str, Asked], paper: str, steps: int) -> None:
        self.performed, self.paper, self.steps = Performance(folder, asked), paper, steps
        self.last: dict[str, Any] = {}  # what the latest training left here

    def measure(self, one: Asked) -> Step:
        """The step of a training, or the whole of an inference stage, a second time."""
        about = {"paper": self.paper, "stage": one.name, "precision": work.precision(one.plan["params"])}
        about |= {"peak": _peak(about["precision"]), "device": _device_name(), "planned": _planned(one)}
        self.performed.made.pop(one.plan["key"], None)  # measured anew where it was an input of another
        try:
            self.performed.compute(one)
            if one.name.split(".")[1].startswith("train_"):
                return Step(**about, **self.last)
            return Step(**about, **self._inference(one))
        except Exception as error:  # a bench shows what runs here and says of the rest why not
            return Step(**about, why=f"{type(error).__name__}: {error}"[:200])

    def _inference(self, one: Asked) -> dict[str, Any]:
        arguments = self.performed.arguments(one)
        out, params = self.performed.folder / "again", one.plan["params"]
        out.mkdir(exist_ok=True)
        with FlopCounterMode(display=False) as counter:
            one.function(out, **arguments)
        with _memory() as memory:
            seconds = _timed(lambda: one.function(out, **arguments), machine.device())
        data = DataParams.model_validate(params["data"])
        pictures = counts.pictures(data, params.get("split") or "trainaug", params.get("source"))
        return {
            "pictures": pictures,
            "seconds": {"whole": seconds},
            "flops": counter.get_total_flops(),
            "memory": memory(),
        }

    def fit(self, model, dataset, loss_of, optimiser, **how: Any) -> pd.DataFrame:
        """In place of `study.train.fit`: steps to warm up and to count operations, then some that are timed.

        What was loaded ahead while the network warmed up is used before, so that waiting shows if loading is slower.
        """
        precision = how.get("precision", "fp32")
        device = train._begin(model, optimiser, how["seed"], precision)
        ahead = samples.PREFETCHED * samples.loading(how.get("workers"), device)
        order = samples.order_of(len(dataset), how["batch_size"], None, 1 + ahead + self.steps, how["seed"])
        stream = samples.batches(dataset, order, 0, how.get("collate"), how.get("workers"), device)
        step = functools.partial(_one_step, model, stream, loss_of, optimiser, precision, how.get("clip"), device)
        with FlopCounterMode(display=False) as counter:
            step()
        with _memory() as memory:
            times = [step() for _ in range(ahead + self.steps)][ahead:]
        seconds = {part: statistics.median(one[part] for one in times) for part in PARTS}
        seconds["data"] = statistics.mean(one["data"] for one in times)  # loading processes deliver in bursts
        self.last = {
            "pictures": order.batch,
            "seconds": seconds,
            "flops": counter.get_total_flops(),
            "memory": memory(),
        }
        model.eval()
        return checkpoint.Log(order).write(Path(how["out"]) / "log.csv")


def _one_step(model, stream, loss_of, optimiser, precision, clip, device) -> dict[str, float]:
    """One step of `study.train.fit`, with a wait after each part."""
    kept: dict[str, Any] = {}

    def forward() -> None:
        with machine.autocast(precision):
            kept["loss"] = loss_of(model, kept["batch"])["loss"]

    def backward() -> None:
        optimiser.zero_grad(set_to_none=True)
        kept["loss"].backward()

    def move() -> None:
        train._share_and_clip(optimiser, clip)
        optimiser.step()

    parts = (lambda: kept.update(batch=next(stream)[1]), forward, backward, move)
    return {name: _timed(part, device) for name, part in zip(PARTS, parts, strict=True)}


def _timed(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of a call, with all that it started on the device."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    began = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - began


@contextlib.contextmanager
def _memory() -> Iterator[Callable[[], float]]:
    """MB: on a GPU the most that torch held since, else what the process holds afterwards."""
    if on_gpu := machine.device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    yield lambda: (torch.cuda.max_memory_allocated() if on_gpu else psutil.Process().memory_info().rss) / 2**20


@contextlib.contextmanager
def _watched(runs: _Runs) -> Iterator[_Runs]:
    """Trainings are cut short, weights are random, and nothing is printed."""

    def fit(*given: Any, **how: Any) -> pd.DataFrame:
        return runs.fit(*given, **how)

    def find_weights(weights: str, name: str) -> None:
        return None

    def untrained(name: str, weights: str | None) -> Any:
        return plain(name, None)

    plain = backbones._torchvision
    instead = {train.fit: fit, backbones.find_weights: find_weights, plain: untrained}
    with swapped(instead, {}), contextlib.redirect_stdout(io.StringIO()):
        yield runs


def _planned(one: Asked) -> float:
    amount = work.of(one.plan["stage"], one.plan["params"], one.plan["inputs"])
    return amount.flops / max(amount.steps or amount.pictures, 1)


@functools.cache
def _peak(precision: str) -> float:
    return peak(precision)


def _device_name() -> str:
    about = machine.describe()
    cores = f"{about['cores']} core{'s' * (about['cores'] != 1)}"
    return about["gpu"] or f"{about['cpu']}, {cores}, {about['computes']}"
