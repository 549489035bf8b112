"""What stages took where they ran, and what they will take elsewhere: measured seconds, scaled by work.

Measured figures come from the published manifests and from the records in outputs/<profile>/runs.
"""

import functools
import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weakseg.study import places
from weakseg.study.params import flat
from weakseg.study.work import Params, Work, known

LIKE_ITSELF = ("seed", "split", "data", "menagerie")  # parameters that say which pictures and draws, not which method


@dataclass(frozen=True)
class Measured:
    """One stage that ran: what identifies it, its work, seconds, machine, and bytes left (None: gone)."""

    stage: str
    key: str
    params: Params
    inputs: dict[str, str]
    work: Work
    seconds: float
    profile: str
    machine: str
    bytes: int | None = None

    @property
    def seed(self) -> int | None:
        return self.params.get("seed")


@dataclass(frozen=True)
class Guess:
    """Seconds on the machine that was measured: in the network, and in all else; whether such a stage was measured."""

    network: float
    rest: float
    measured: bool

    @property
    def seconds(self) -> float:
        return self.network + self.rest


def read() -> list[Measured]:
    """Everything measured so far, each stage once; a run of this clone counts before a published one."""
    found: dict[str, Measured] = {}
    for file in sorted((places.root() / "outputs" / "published").glob("*/manifest.json")):
        for record in json.loads(file.read_text(encoding="utf-8"))["stages"]:
            found |= _measured(record, file.parent.name)
    for file in sorted(places.outputs().glob("*/runs/*/*/record.json")):
        size = sum(one.stat().st_size for one in file.parent.rglob("*") if one.is_file())
        found |= _measured(json.loads(file.read_text(encoding="utf-8")), file.parents[3].name, size)
    return list(found.values())


def _measured(record: dict[str, Any], profile: str, size: int | None = None) -> dict[str, Measured]:
    work = known(record["stage"], record["params"], record["inputs"])
    if work is None or record.get("resumed"):  # the seconds of a resumed stage are those since it went on
        return {}
    facts = (record["stage"], record["key"], record["params"], record["inputs"], work, _seconds(record))
    return {record["key"]: Measured(*facts, profile, name_of(record["machine"]), size)}


def _seconds(record: dict[str, Any]) -> float:
    """Of cores, so that what ran beside a stage does not count; of the clock beside a GPU, and in older records."""
    on_gpu = record["machine"].get("gpu")
    return record["seconds"] if on_gpu else record.get("core_seconds", record["seconds"])


def name_of(machine: dict[str, Any]) -> str:
    """``NVIDIA H200``, or ``AMD EPYC, 1 core, fp32`` (what bf16 is computed in, where the record tells)."""
    if machine.get("gpu"):
        return machine["gpu"]
    cores = f"{machine['cores']} core{'s' * (machine['cores'] != 1)}"
    return ", ".join(part for part in (machine["cpu"], cores, machine.get("computes")) if part)


def on_one_machine(measured: Sequence[Measured]) -> list[Measured]:
    """What was measured on the machine that measured most: rates of several are not mixed."""
    counted = Counter(one.machine for one in measured)
    return [one for one in measured if one.machine == max(counted, key=counted.get)]


class Rates:
    """Predicts seconds from what was measured: of the same stage, with the most similar parameters, by its work."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self.by_stage: dict[str, list[Measured]] = {}
        for one in measured:
            self.by_stage.setdefault(one.stage, []).append(one)
        every = [one for group in self.by_stage.values() for one in group]
        trained = [one for one in every if one.work.steps]
        # The tag classifier is all backbone, so its rate is that of convolutions; others have heads besides.
        plain = [one for one in trained if one.stage.endswith("train_classifier")]
        self.convolutions = _flops_a_second(plain or trained)
        self.trainings = _flops_a_second(trained)
        looked = [one.seconds / one.work.pixels for one in every if one.work.pixels and not one.work.flops]
        self.sizes = read_sizes()
        self.pixel = statistics.median(looked) if looked else 1e-6

    def guess(self, stage: str, params: Params, work: Work) -> Guess:
        """Seconds of a stage; `measured` is False where no run of this stage is known and only its work speaks."""
        alike = nearest(self.by_stage.get(stage, []), params, work)
        if not alike:
            network = work.flops / self.trainings
            return Guess(network, 0.0 if work.flops else work.pixels * self.pixel, False)
        parts = [self._scaled(one, work) for one in alike]
        return Guess(statistics.median([n for n, _ in parts]), statistics.median([r for _, r in parts]), True)

    def _scaled(self, one: Measured, work: Work) -> tuple[float, float]:
        """(network, rest): a network with a CRF behind it is two kinds of work; anything else is one."""
        network = one.seconds if one.work.flops else 0.0
        if one.work.flops and one.work.crf:
            network = min(one.seconds, one.work.flops / self.convolutions)
        rest = one.seconds - network
        ratio = _ratio(work.crf, one.work.crf) if one.work.crf and work.crf else _ratio(work.pixels, one.work.pixels)
        return network * _ratio(work.flops, one.work.flops), rest * ratio

    def bytes(self, stage: str, params: Params, work: Work) -> float | None:
        """Bytes that a stage leaves, by the pictures that it covers or, of a training, by its network's weights."""
        alike = nearest([one for one in self.by_stage.get(stage, []) if one.bytes], params, work)
        if not alike:
            return self.sizes[stage] * _left(work) if stage in self.sizes else None
        return statistics.median([one.bytes * _ratio(_left(work), _left(one.work)) for one in alike])


def _flops_a_second(measured: Sequence[Measured]) -> float:
    return statistics.median([one.work.flops / one.seconds for one in measured] or [1e10])


def _left(work: Work) -> float:
    return work.weights if work.steps else work.pixels


def _ratio(planned: float, measured: float) -> float:
    return planned / measured if planned and measured else 1.0


def nearest(measured: Sequence[Measured], params: Params, work: Work) -> list[Measured]:
    """Those whose method differs in the fewest parameters; among them those whose amount of work is closest."""
    if not measured:
        return []
    wanted = _method(params)
    distance = {one.key: _differences(wanted, _method(one.params)) for one in measured}
    least = min(distance.values())
    alike = [one for one in measured if distance[one.key] == least]
    size = {one.key: abs(math.log(_ratio(_amount(work), _amount(one.work)))) for one in alike}
    closest = min(size.values())
    return [one for one in alike if size[one.key] <= closest + 0.01]


def _amount(work: Work) -> float:
    return work.flops or work.pixels


def _method(params: Params) -> dict[str, Any]:
    return {name: str(value) for name, value in flat(params) if name.split(".")[0] not in LIKE_ITSELF}


def _differences(one: dict[str, Any], other: dict[str, Any]) -> int:
    return sum(one.get(name) != other.get(name) for name in one.keys() | other.keys())


# ---------------------------------------------------------------- disk


def sizes_file() -> Path:
    """outputs/published/sizes.json: bytes that stages left, for each unit of their work, so that a clone knows them."""
    return places.root() / "outputs" / "published" / "sizes.json"


def read_sizes() -> dict[str, float]:
    """Stage -> bytes for each pixel of its pictures or, of a training, for each byte of its backbone's weights."""
    return json.loads(sizes_file().read_text(encoding="utf-8")) if sizes_file().is_file() else {}


def write_sizes() -> int:
    """Renews them from what lies in outputs/<profile>/runs, the largest run of a stage counting; how many there are."""
    found = read_sizes()
    for one in sorted((one for one in read() if one.bytes and _left(one.work)), key=lambda one: _left(one.work)):
        found[one.stage] = float(f"{one.bytes / _left(one.work):.3g}")
    places.write_text(sizes_file(), json.dumps(found, indent=1, sort_keys=True) + "\n")
    return len(found)


# ---------------------------------------------------------------- how far off predictions are


def held_out_seeds(measured: Sequence[Measured]) -> dict[int, float]:
    """Seed -> error of the seconds of all stages of the other seeds, predicted from this one alone (0.1: 10 % more)."""
    seeds = seeds_of(measured)
    errors = {}
    for seed in sorted({seed for seed in seeds.values() if seed is not None}):
        rates = Rates([one for one in measured if seeds[one.key] in (seed, None)])
        if held := [one for one in measured if seeds[one.key] not in (seed, None)]:
            errors[seed] = _total(rates, held) / sum(one.seconds for one in held) - 1
    return errors


def held_out_stages(measured: Sequence[Measured]) -> float:
    """Error of the seconds of all stages, each predicted without itself and without its twins of other seeds."""
    predicted = sum((1 + error) * one.seconds for error, one in zip(stage_errors(measured), measured, strict=True))
    return predicted / sum(one.seconds for one in measured) - 1


def stage_errors(measured: Sequence[Measured]) -> list[float]:
    """The error of each stage, predicted so."""
    errors = []
    for one in measured:
        method = _method(one.params)
        others = [o for o in measured if o.stage != one.stage or _method(o.params) != method]
        errors.append(_total(Rates(others), [one]) / one.seconds - 1)
    return errors


def _total(rates: Rates, held: Sequence[Measured]) -> float:
    return sum(rates.guess(one.stage, one.params, one.work).seconds for one in held)


def seeds_of(measured: Sequence[Measured]) -> dict[str, int | None]:
    """Key -> seed of each stage: its own, else that of the stages it takes; None for what serves every seed."""
    by_key = {one.key: one for one in measured}

    @functools.cache
    def seed(key: str) -> int | None:
        one = by_key.get(key)
        if one is None or one.seed is not None:
            return one.seed if one else None
        return next((found for found in map(seed, one.inputs.values()) if found is not None), None)

    return {key: seed(key) for key in by_key}


if __name__ == "__main__":
    print(f"{write_sizes()} stages in {sizes_file()}")
