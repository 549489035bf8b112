"""Stand-ins for what a rehearsal has not computed: unknown values, files that are not there, pictures only counted.

They live in a process of their own or between the two ends of `swapped`; nothing computed ever holds one.
"""

import contextlib
import json
import pkgutil
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


class Unknown:
    """Any value that only a real run knows: whatever is asked of it is unknown as well; as a number it is 1."""

    def __getattr__(self, name: str) -> "Unknown":
        if name.startswith("__"):  # numpy and pandas ask for protocols by such names
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> "Unknown":
        return self

    def __getitem__(self, _: Any) -> "Unknown":
        return self

    def __iter__(self) -> Iterator["Unknown"]:
        return iter([self])  # one, so that what is done with each is seen once

    def __len__(self) -> int:
        return 1

    def __float__(self) -> float:
        return 1.0

    def __int__(self) -> int:
        return 1

    __index__ = __int__

    def __repr__(self) -> str:
        return "?"


def _itself(self: Unknown, *_: Any) -> Unknown:
    return self


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "matmul"):
    setattr(Unknown, f"__{_name}__", _itself)
    setattr(Unknown, f"__r{_name}__", _itself)
for _name in ("neg", "abs", "invert", "round"):
    setattr(Unknown, f"__{_name}__", _itself)
for _name in ("lt", "le", "gt", "ge"):
    setattr(Unknown, f"__{_name}__", lambda self, other: True)

UNKNOWN = Unknown()


class Absent(type(Path())):
    """A file or folder that a real run would have made: reading it gives an unknown."""

    def read_text(self, *_: Any, **__: Any) -> Unknown:
        return UNKNOWN

    read_bytes = read_text


class CountedPictures:
    """A set of pictures of which only the number is known; every attribute but names and classes is unknown."""

    def __init__(self, names: list[str], classes: int) -> None:
        self.names, self.classes = names, [f"class {k}" for k in range(classes)]

    def __len__(self) -> int:
        return len(self.names)

    def has_instances(self, _: int) -> bool:
        return True

    def __getattr__(self, name: str) -> Unknown:
        if name.startswith("__"):
            raise AttributeError(name)
        return UNKNOWN


def unknowing() -> Callable:
    """A new function in place of one whose result only a real run can give."""
    return lambda *_, **__: UNKNOWN


def functions_of(package: str) -> list[Callable]:
    """Every function that the modules of a package define."""
    folder = import_module(package)
    modules = [import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(folder.__path__)]
    members = ((module, value) for module in modules for value in vars(module).values())
    return [f for module, f in members if isinstance(f, types.FunctionType) and f.__module__ == module.__name__]


def read_json(real: Callable) -> Callable:
    """json.loads that lets an unknown text through as an unknown value."""
    return lambda text, *rest, **more: UNKNOWN if isinstance(text, Unknown) else real(text, *rest, **more)


@contextlib.contextmanager
def swapped(instead: Mapping[Callable, Callable], methods: Mapping[tuple[type, str], Any]) -> Iterator[None]:
    """Puts stand-ins in place of functions, in every weakseg module that knows them by any name, and of methods.

    Each function needs a stand-in of its own: modules first imported in between are given theirs back by it.
    """
    kept, load = {(kind, name): vars(kind)[name] for kind, name in methods}, json.loads
    for (kind, name), other in methods.items():
        setattr(kind, name, other)
    _replace(instead)
    json.loads = read_json(load)
    try:
        yield
    finally:
        json.loads = load
        _replace({other: function for function, other in instead.items()})
        for (kind, name), method in kept.items():
            setattr(kind, name, method)


def _replace(instead: Mapping[Callable, Callable]) -> None:
    by_id = {id(function): other for function, other in instead.items()}
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "weakseg"]:
        for name, value in list(vars(module).items()):
            if id(value) in by_id:
                setattr(module, name, by_id[id(value)])
