"""The bill before the run: ``python -m weakseg.study.bill --profile paper --gpu h200``.

Rehearses the notebooks to learn their stages, takes the work of each from its params, and the rate from stages that
were measured. Nothing is computed, and no pictures or weights need be there.
"""

import contextlib
import io
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from weakseg.study import devices, plan, rates, resources, work
from weakseg.study.rates import Guess, Measured, Rates
from weakseg.study.rehearsal import Asked, Rehearsal, behind, rehearse

HOUR, GB = 3600, 1e9


@dataclass(frozen=True)
class Item:
    """One stage of the bill: hours on a graphics card and of one core, bytes left (None: unknown), done already."""

    asked: Asked
    work: work.Work
    guess: Guess
    gpu: float
    cpu: float
    bytes: float | None
    done: bool


@dataclass(frozen=True)
class Bill:
    """Everything that a study asks for, priced. `card` None: all of it on the cores that were measured."""

    profile: str
    seeds: tuple[int, ...]
    card: devices.Card | None
    share: float | None
    rehearsals: list[Rehearsal]
    items: dict[str, Item]
    machine: str

    def of(self, keys: Sequence[str]) -> list[Item]:
        """The items that `keys` rest on."""
        return [self.items[key] for key in behind(list(keys), {key: item.asked for key, item in self.items.items()})]


def bill(profile: str, papers: Sequence[str], seeds: str | None, gpu: str | None) -> Bill:
    """The bill of a study. Raises ValueError or FileNotFoundError in one line for what is not known."""
    card = devices.card(gpu) if gpu and gpu != "cpu" else None
    wanted = plan.runs(profile, papers, plan.overrides_of(seeds, []))
    with contextlib.redirect_stdout(io.StringIO()):  # what the cells print is about nothing
        rehearsals = [rehearse(one) for one in wanted]
    measured = rates.on_one_machine(rates.read())
    if not measured:
        raise ValueError("nothing was measured yet: run a study first, or take a clone with published results")
    share, paces = (devices.measured_share(card), devices.paces(card)) if card else (None, {})
    asked = {key: one for found in rehearsals for key, one in found.asked.items()}
    known, by_machine = Rates(measured), measured[0].machine
    items = {key: _price(one, known, card, share, paces.get(one.name)) for key, one in asked.items()}
    used = plan.values(wanted[0])["seeds"]
    return Bill(profile, tuple(used), card, share, rehearsals, items, by_machine)


def _price(
    asked: Asked, known: Rates, card: devices.Card | None, share: float | None, pace: devices.Pace | None
) -> Item:
    params = asked.plan["params"]
    amount = work.of(asked.plan["stage"], params, asked.plan["inputs"])
    guess = known.guess(asked.plan["stage"], params, amount)
    left = known.bytes(asked.plan["stage"], params, amount)
    done = (asked.folder / "record.json").is_file()
    if card is None:
        return Item(asked, amount, guess, 0.0, guess.seconds / HOUR, left, done)
    rate, units = card.peak(work.precision(params)) * (share or devices.ASSUMED_SHARE), amount.steps or amount.pictures
    if pace and units and not amount.crf:  # measured on the card itself, with its loading and writing
        return Item(asked, amount, guess, units * pace.of(amount.flops / units, rate) / HOUR, 0.0, left, done)
    # Seconds of the measured core, at the rate of its convolutions, are operations; heads are counted that way too.
    speed = rate / known.convolutions
    return Item(asked, amount, guess, guess.network / speed / HOUR, guess.rest / HOUR, left, done)


# ---------------------------------------------------------------- as text


def lines(found: Bill) -> list[str]:
    """The bill as people read it."""
    on = f"one {found.card.name}" if found.card else f"cores like the measured one ({found.machine})"
    head = [f"profile {found.profile}, seeds {', '.join(map(str, found.seeds))}, on {on}; nothing is computed here", ""]
    return [*head, *_table(found), "", *_total(found), "", *_grounds(found)]


def _table(found: Bill) -> list[str]:
    title = f"{'table':52} {'stages':>6} {'steps':>9} {'GPU h':>8} {'core h':>8} {'disk GB':>8} {'alone h':>8}"
    rows, seen = [title], set()
    for one in found.rehearsals:
        parts = {table: one.tables[table] for table in one.tables} | {f"rest of {one.run.notebook}": list(one.asked)}
        for table, keys in parts.items():
            items = {item.asked.plan["key"]: item for item in found.of(keys)}
            new = [item for key, item in items.items() if key not in seen]
            seen |= items.keys()
            if new or table in one.tables:
                alone = sum(item.gpu + item.cpu for item in items.values())
                rows.append(f"{one.run.paper + '/' + table:52} {_row(new)} {alone:8.2f}")
    return [*rows, f"{'in all':52} {_row(list(found.items.values()))}"]


def _row(items: Sequence[Item]) -> str:
    steps, gpu, cpu = (sum(f(one) for one in items) for f in (lambda o: o.work.steps, lambda o: o.gpu, lambda o: o.cpu))
    disk = sum(one.bytes or 0 for one in items) / GB
    return f"{len(items):6} {steps:9,} {gpu:8.2f} {cpu:8.2f} {disk:8.2f}"


def _total(found: Bill) -> list[str]:
    items = list(found.items.values())
    left = [one for one in items if not one.done]
    most = max(items, key=lambda one: one.work.memory)
    said = [
        "Each stage is billed once, in the first table that needs it; 'alone' is a table without those above.",
        f"Done already: {len(items) - len(left)} of {len(items)} stages; left:"
        f" {sum(one.gpu for one in left):.2f} GPU hours, {sum(one.cpu for one in left):.2f} core hours.",
        f"Memory: a training step of {most.asked.name} keeps {most.work.memory / GB:.1f} GB in its backbone in fp32"
        + (f" of the card's {found.card.memory:g} GB" if found.card else "")
        + "; heads come on top, bf16 takes half.",
    ]
    unsized = [one for one in items if one.bytes is None]
    return said + ([f"Disk: without {len(unsized)} stages whose size was never seen."] if unsized else [])


def _grounds(found: Bill) -> list[str]:
    """What the figures rest on, and how far off they may be."""
    items = list(found.items.values())
    new = [one for one in items if not one.guess.measured]
    hours = sum(one.gpu + one.cpu for one in items)
    said = [f"Rates: stages measured on {found.machine}, scaled by pixels, pictures and operations of the backbone."]
    if new:
        share = 100 * sum(one.gpu + one.cpu for one in new) / max(hours, 1e-9)
        names = sorted({one.asked.name for one in new})
        said.append(f"Never measured, from their work alone ({share:.0f} % of the hours): {', '.join(names)}.")
    if found.card and found.share:
        paced = len({one.asked.name for one in items} & devices.paces(found.card).keys())
        seen = devices.measured_on(found.card)
        where = "it" if seen == found.card else f"{seen.name}, by the ratio of their peaks (expect a factor of 1.5)"
        said.append(
            f"{found.card.name}: {paced} kinds of stages at the pace that the bench measured on {where}; other networks"
            f" at {100 * found.share:.0f} % of peak, as the classifier. Small ones are slower than that."
        )
    elif found.card:
        said.append(
            f"{found.card.name}: not measured; scaled by the ratio of peak throughput, of which"
            f" {100 * devices.ASSUMED_SHARE:.0f} % is assumed to be reached; expect a factor of 2."
        )
    over = sum(len(one.passed_over) for one in found.rehearsals)
    return [*said, f"The rehearsal passed over {over} statements that need results.", *_check(found)]


def _check(found: Bill) -> list[str]:
    """Where the profile was run: predictions against what happened, each from stages that the prediction is not for."""
    ran = rates.on_one_machine([one for one in rates.read() if one.profile == found.profile])
    ran = [one for one in ran if one.key in found.items]
    if len(ran) < 10:
        return ["This profile has not been measured as a whole, so the bill is not checked on it."]
    took, billed = sum(one.seconds for one in ran), sum(found.items[one.key].guess.seconds for one in ran)
    return [
        f"Checked on {len(ran)} of these stages that ran on {ran[0].machine}: they took {took / HOUR:.2f} core hours,"
        f" billed {billed / HOUR:.2f}.",
        *_errors(ran),
    ]


def _errors(ran: list[Measured]) -> list[str]:
    seeds, said = rates.held_out_seeds(ran), []
    if seeds:
        each = ", ".join(f"{100 * error:+.0f} % from seed {seed}" for seed, error in seeds.items())
        said.append(f"Error when one seed predicts the others: {each}.")
    single = [100 * abs(error) for error in rates.stage_errors(ran)]
    said.append(
        f"Error when a stage is predicted without itself and its twins of other seeds:"
        f" {100 * rates.held_out_stages(ran):+.0f} % in all, {statistics.median(single):.0f} % for the median stage."
    )
    return said


def hours_of_jobs(found: Bill, cores: int) -> dict[plan.Run, float]:
    """Hours of each notebook as a job of its own: what is left of its stages, those that notebooks share in each."""
    hours = {}
    for one in found.rehearsals:
        left = [item for item in found.of(list(one.asked)) if not item.done]
        hours[one.run] = sum(item.gpu + item.cpu / cores for item in left)
    return hours


def main(words: Sequence[str] | None = None) -> int:
    """0, or 2 for bad input."""
    parser = plan.command_line("weakseg.study.bill", __doc__)
    parser.add_argument("--cores", type=int, default=8, help="of each cluster job, for resources.json (default: 8)")
    parser.add_argument("--gpu", default="cpu", help=f"cpu, or one of {', '.join(devices.CARDS)}")
    given = parser.parse_args(words)
    try:
        found = bill(given.profile, given.papers, given.seeds, given.gpu)
        print("\n".join(lines(found)))
        file = resources.write(given.profile, hours_of_jobs(found, given.cores))
        print(f"Minutes and memory of each notebook as a cluster's job are in {os.path.relpath(file)}.")
    except (ValueError, FileNotFoundError) as error:
        print(f"weakseg: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
