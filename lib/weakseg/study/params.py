"""What a run is: parameter groups that refuse anything they do not know.

A params file is yaml whose top-level keys are groups. Every mistake ends, before anything runs, in one line
``file: group.key: what (got X); did you mean 'nearest'?``.
"""

import difflib
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import yaml


class Group(pydantic.BaseModel):
    """Base of every parameter group: frozen, strict, no unknown keys. Ints stand for floats; lists become tuples."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _lists_become_tuples(cls, data: Any) -> Any:
        return {name: _tuples(value) for name, value in data.items()} if isinstance(data, dict) else data


def _tuples(value: Any) -> Any:
    """The same value with every list, at any depth of lists, as a tuple (tuples are frozen and hashable)."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def load(model: type[Group], file: Path, overrides: dict[str, Any] | None = None) -> Group:
    """Reads a yaml params file into `model`.

    overrides: nested (``{"classifier": {"lr": 0.2}}``) or dotted (``{"classifier.lr": 0.2}``), laid over the file.
    Raises FileNotFoundError or ValueError, each of one line that names file, key and mend.
    """
    file = Path(file)
    return validate(model, _merge(_read(file), _nested(overrides or {})), str(file))


def validate(model: type[Group], data: Any, source: str) -> Group:
    """`data` (nested plain values) as a `model`; raises ValueError of one line that opens with `source`."""
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        # An unknown key comes first: the "missing" one beside it is usually the same slip.
        errors = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ValueError(f"{source}: {_line(model, errors[0])}{more}") from None


def canonical(value: Any) -> Any:
    """A JSON-able form of a parameter that depends on its content only (key order, tuple or list do not matter).

    Raises TypeError for anything whose content is not in the value itself: a path, a tensor, a function.
    """
    if isinstance(value, pydantic.BaseModel):
        return {name: canonical(getattr(value, name)) for name in sorted(type(value).model_fields)}
    if isinstance(value, Enum | np.generic):
        return canonical(value.value if isinstance(value, Enum) else value.item())
    if isinstance(value, Mapping):
        return {str(name): canonical(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    mend = "; pass a folder as external(path)" if isinstance(value, Path) else ""
    raise TypeError(f"a stage parameter must be a plain value or a params group (got {type(value).__name__}){mend}")


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, leaf) of nested dicts, in order: ``classifier.lr, 0.1``."""
    if not isinstance(value, dict):
        yield prefix, value
        return
    for name, item in value.items():
        yield from flat(item, f"{prefix}.{name}" if prefix else str(name))


# ---------------------------------------------------------------- reading


class _OnceLoader(yaml.SafeLoader):
    """Safe yaml that refuses a key given twice (plain yaml silently keeps the last one)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(file: Path) -> dict:
    if not file.is_file():
        beside = sorted(path.name for path in file.parent.glob("*.yaml"))
        raise FileNotFoundError(f"{file}: no such params file{_nearest(file.name, beside)}")
    try:
        # _OnceLoader is a SafeLoader: it builds plain values only.
        data = yaml.load(file.read_text(encoding="utf-8"), Loader=_OnceLoader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{file}: line {error.problem_mark.line + 1}: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not a yaml text: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{file}: must hold groups as 'name: value' lines (got {_short(data)})")
    return data


def _nested(overrides: Mapping[str, Any]) -> dict:
    """Dotted keys as nested dicts."""
    out: dict = {}
    for name, value in overrides.items():
        head, _, tail = str(name).partition(".")
        value = _nested({tail: value}) if tail else _nested(value) if isinstance(value, Mapping) else value
        out = _merge(out, {head: value})
    return out


def _merge(under: dict, over: dict) -> dict:
    """`over` laid on `under`, dict by dict."""
    both = {name for name in over if isinstance(over[name], dict) and isinstance(under.get(name), dict)}
    return {**under, **over, **{name: _merge(under[name], over[name]) for name in both}}


# ---------------------------------------------------------------- messages


def _line(model: type[Group], error: Mapping[str, Any]) -> str:
    """One pydantic error as ``group.key: what (got X); did you mean 'nearest'?``."""
    place = ".".join(str(part) for part in error["loc"]) or "the whole file"
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key{_nearest(str(error['loc'][-1]), _names_beside(model, error['loc']))}"
    if error["type"] == "missing":
        return f"{place}: missing; give it a value"
    what = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place}: {what} (got {_short(error['input'])}){_mend(error)}"


def _mend(error: Mapping[str, Any]) -> str:
    """The way out, where it can be guessed: the nearest allowed word, or a number that yaml read as text."""
    given = error["input"]
    if error["type"] == "literal_error":
        return _nearest(str(given), error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
    if error["type"] in ("float_type", "int_type") and isinstance(given, str):
        try:
            return f"; write {float(given)!r} (yaml reads {given} as text)"
        except ValueError:
            return ""
    return ""


def _names_beside(model: type[Group], place: tuple) -> list[str]:
    """Valid names in the group where `place` points: its own fields, or all top-level names."""
    group: Any = model
    for part in place[:-1]:
        field = group.model_fields.get(part) if isinstance(part, str) else None
        inside = _group_in(field.annotation) if field else None
        group = inside or group
    return list(group.model_fields)


def _group_in(annotation: Any) -> type[Group] | None:
    """The Group class inside an annotation such as ``Params | None`` or ``tuple[Params, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, Group):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _group_in(part))), None)


def _nearest(name: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; valid: {', '.join(valid)}" if valid else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
