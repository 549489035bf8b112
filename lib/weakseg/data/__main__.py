"""Pictures from the command line: `python -m weakseg.data draw | fetch | build | derive | check`."""

import argparse
import sys
from pathlib import Path

import yaml

from weakseg.data.check import check
from weakseg.data.derive import derive_voc_animals
from weakseg.data.fetch import BY_HAND, SOURCES, fetch
from weakseg.data.menagerie import MenagerieParams, draw_set
from weakseg.data.sbd import TRAINAUG, build_trainaug
from weakseg.study.params import validate


def parser() -> argparse.ArgumentParser:
    """The five commands and their arguments."""
    out = argparse.ArgumentParser(prog="python -m weakseg.data", description=__doc__)
    commands = out.add_subparsers(dest="command", required=True)
    one = commands.add_parser("draw", help="draw the Menagerie in the official layouts")
    one.add_argument("root", type=Path)
    one.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="params of the drawing, such as size=64 n_trainaug=100",
    )
    one = commands.add_parser("fetch", help="download a public data set, resumable and verified")
    one.add_argument("name", choices=[*SOURCES, *BY_HAND])
    one.add_argument("root", type=Path)
    one.add_argument("--base", help="another address of the same files")
    one = commands.add_parser("build", help="build trainaug (10,582 pictures) from VOC 2012 and SBD")
    one.add_argument("name", choices=["trainaug"])
    one.add_argument("root", type=Path)
    one = commands.add_parser("derive", help="rebuild the small set of animal photographs from VOC 2012 and SBD")
    one.add_argument("name", choices=["voc_animals"])
    one.add_argument("source", type=Path)
    one.add_argument("root", type=Path)
    one = commands.add_parser("check", help="list every missing, truncated, mis-sized or mis-labelled file")
    one.add_argument("root", type=Path)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 faults found or the command failed with the one line it printed."""
    given = parser().parse_args(arguments)
    try:
        return COMMANDS[given.command](given)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def _draw(given: argparse.Namespace) -> int:
    pairs = [pair.split("=", 1) for pair in given.set]
    wrong = [pair[0] for pair in pairs if len(pair) == 1]
    if wrong:
        raise ValueError(f"--set {wrong[0]}: write NAME=VALUE")
    values = {name: yaml.safe_load(value) for name, value in pairs}
    draw_set(given.root, menagerie=validate(MenagerieParams, values, "--set"))
    print(f"drawn below {given.root}")
    return 0


def _fetch(given: argparse.Namespace) -> int:
    print("\n".join(fetch(given.name, given.root, given.base)))
    return 0


def _build(given: argparse.Namespace) -> int:
    count = build_trainaug(given.root)
    print(
        f"trainaug: {count:,} pictures"
        + ("" if count == TRAINAUG else f"; the two official archives give {TRAINAUG:,}")
    )
    return 0


def _derive(given: argparse.Namespace) -> int:
    print("\n".join(derive_voc_animals(given.source, given.root)))
    return 0


def _check(given: argparse.Namespace) -> int:
    lines = check(given.root)
    print("\n".join(lines) or "nothing wrong found")
    return 1 if lines else 0


COMMANDS = {"draw": _draw, "fetch": _fetch, "build": _build, "derive": _derive, "check": _check}

if __name__ == "__main__":
    sys.exit(main())
