"""Which code a stage reaches: the function-level import closure inside `weakseg`, read from source without importing.

A definition is a top-level function, class (whole) or constant, hashed without docstrings, comments, formatting and
annotations. Starting from one, every name it uses is followed: definitions beside it, ``from weakseg.x import y``
(through re-exports), ``import weakseg.x as z`` with ``z.f``. Where the text cannot tell (a module handed on as a
value), the whole module counts: rather one rerun too many than a stale result.
"""

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from weakseg.study.params import Group
from weakseg.study.syntax import Chain, digest, is_text, statements, stored, uses

BODY = "<body>"  # what a module does on import besides defining: registrations, settings
SILENT = {"weakseg.study.machine"}  # devices, pools, progress bars: never part of a result, so never part of a key
Target = tuple[str, str]  # (module, definition)


@dataclass
class Module:
    """One parsed file: its definitions by name, and what its imports bind (local name -> module and name in it)."""

    name: str
    package: str
    is_init: bool = False
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Chain] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    facts: dict[str, tuple[str, frozenset[Chain], dict[str, Chain]]] = field(default_factory=dict)

    def read(self, name: str) -> tuple[str, frozenset[Chain], dict[str, Chain]]:
        """(hash, outside names used, imports made inside) of one definition."""
        if name not in self.facts:
            self.facts[name] = _facts(self, self.definitions[name])
        return self.facts[name]


class Package:
    """A package on disk, whose modules are parsed on demand and again when their file changes."""

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, Path(root)
        self.extra: dict[str, Path] = {}  # files outside the package that hold a stage (a user's own, a test)
        self.loaded: dict[str, tuple[object, Module]] = {}  # modules in memory: what loaded them, their text then

    def file(self, module: str) -> Path | None:
        """The source file of a dotted module name, or None when it lies outside the package."""
        if module in self.extra:
            return self.extra[module]
        head, *parts = module.split(".")
        place = self.root.joinpath(*parts)
        files = (place / "__init__.py", place.with_name(f"{place.name}.py"))
        return next((file for file in files if file.is_file()), None) if head == self.name else None

    def module(self, name: str) -> Module | None:
        """The parsed module, or None when it lies outside the package."""
        if name in SILENT or (file := self.file(name)) is None:
            return None
        stat = file.stat()
        parsed = _parse(self.name, name, file, stat.st_mtime_ns, stat.st_size)
        # A reload gives a module a new spec: then, and only then, memory and file agree again.
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is not None and self.loaded.get(name, (None,))[0] is not spec:
            self.loaded[name] = spec, parsed
        return parsed

    def refuse_stale(self, reached: dict[str, str]) -> None:
        """Raises RuntimeError when code in a closure changed on disk after this process loaded it.

        The key would describe the new code, the result would come from the old.
        """
        for name, now in reached.items():
            module, _, definition = name.rpartition(".")
            loaded = self.loaded[module][1] if module in self.loaded else None
            if loaded and (definition not in loaded.definitions or loaded.read(definition)[0] != now):
                raise RuntimeError(f"{name} changed on disk after it was loaded; restart the kernel and run again")

    def closure(self, module: str, definition: str) -> dict[str, str]:
        """{qualified name: hash} of all that `definition` of `module` reaches, itself included."""
        parsed = self.module(module)
        if parsed is None or definition not in parsed.definitions:
            raise ValueError(f"{module}.{definition}: no such top-level definition in {self.file(module) or self.root}")
        return self.follow([(module, definition)])

    def closure_of_source(self, source: str) -> dict[str, str]:
        """What a notebook's code cells (joined) reach; ``<source>`` is the hash of the code itself."""
        lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
        tree = ast.parse("\n".join(lines))
        notebook = Module("__main__", self.name)
        for statement in tree.body:
            _add(notebook, statement)
        wanted = [target for chain in uses(tree) for target in self.resolve(notebook, chain)]
        for node in (node for node in statements(tree) if isinstance(node, ast.ImportFrom)):
            for _, target in _bindings(node, notebook):
                wanted += self._inside(target[0], target[1:])  # a name imported to be shown counts as used
        return {"<source>": digest(tree), **self.follow([target for target in wanted if target[0] != "__main__"])}

    def follow(self, wanted: list[Target]) -> dict[str, str]:
        """{qualified name: hash} of the wanted definitions and all they reach."""
        found: dict[str, str] = {}
        seen: set[Target] = set()
        while wanted:
            module, name = target = wanted.pop()
            if target in seen:
                continue
            seen.add(target)
            parsed = self.module(module)
            found[f"{module}.{name}"], chains, local = parsed.read(name)
            wanted += [reached for chain in chains for reached in self.resolve(parsed, chain, local)]
            wanted += [(module, BODY)] if BODY in parsed.definitions else []
        return dict(sorted(found.items()))

    def resolve(self, module: Module, chain: Chain, local: dict[str, Chain] | None = None) -> list[Target]:
        """The definitions that a use such as ``z.f`` in `module` means; none for builtins and other packages."""
        name, *rest = chain
        if name in module.definitions and name not in (local or {}):
            return [(module.name, name)]
        if target := (local or {}).get(name) or module.imports.get(name):
            return self._inside(target[0], (*target[1:], *rest))
        return next((found for star in module.stars if (found := self._lookup(star, name, tuple(rest)))), [])

    def _inside(self, module: str, rest: Chain) -> list[Target]:
        """What ``module.rest`` means: a definition, something re-exported or in a submodule, else the whole module."""
        parsed = self.module(module)
        if parsed is None:
            return []
        if rest and (found := self._lookup(module, rest[0], rest[1:])) is not None:
            return found
        exported = parsed.imports if parsed.is_init else ()
        through = (target for name in exported for target in self.resolve(parsed, (name,)))
        return [*((module, name) for name in parsed.definitions), *through]

    def _lookup(self, module: str, name: str, rest: Chain, seen: frozenset[str] = frozenset()) -> list[Target] | None:
        """``module.name.rest``, or None when `module` binds no such name. `seen`: modules on the way (star cycles)."""
        parsed = self.module(module)
        if parsed is None or module in seen:
            return None
        if name in parsed.definitions:
            return [(module, name)]
        target = parsed.imports.get(name)
        if target and target != (module, name):
            return self._inside(target[0], (*target[1:], *rest))
        if self.file(f"{module}.{name}"):
            return self._inside(f"{module}.{name}", rest)
        through = (self._lookup(star, name, rest, seen | {module}) for star in parsed.stars)
        return next((found for found in through if found is not None), None)


WEAKSEG = Package("weakseg", Path(__file__).resolve().parents[1])


def closure(function: Callable, package: Package = WEAKSEG) -> dict[str, str]:
    """{qualified name: hash of its code} of everything `function` reaches inside the package.

    Raises ValueError for a function that is no top-level definition of a module (a lambda, one typed into a notebook).
    """
    module, name = function.__module__, function.__qualname__
    if "." in name or "<" in name or not _has_file(function, package):
        raise ValueError(f"{module}.{name}: a stage must be a top-level function of a .py file, which can be read")
    return package.closure(module, name)


def _has_file(thing: Callable, package: Package) -> bool:
    """Whether the source is in a file; one outside the package (a user's own) is read as well from now on."""
    try:
        file = Path(inspect.getsourcefile(inspect.unwrap(thing)))
    except TypeError:  # typed into a notebook
        return False
    if package.file(thing.__module__) is None:
        package.extra[thing.__module__] = file
    return file.is_file()


def refuse_stale(reached: dict[str, str], package: Package = WEAKSEG) -> None:
    """Raises RuntimeError when code in a closure changed on disk after this process loaded it."""
    package.refuse_stale(reached)


def closure_of_source(source: str, package: Package = WEAKSEG) -> dict[str, str]:
    """What a notebook's code cells (joined) reach; ``<source>`` is the hash of the code itself."""
    return package.closure_of_source(source)


def methods(kind: type[Group], package: Package = WEAKSEG) -> dict[str, str]:
    """The code that a parameter group brings along as methods. Its fields, as validators left them, are params."""
    found: dict[str, str] = {}
    for base in kind.__mro__[: kind.__mro__.index(Group)]:
        parsed = package.module(base.__module__) if _has_file(base, package) else None
        for statement in parsed.definitions.get(base.__name__, []) if parsed else []:
            for method in (part for part in getattr(statement, "body", []) if _computes(part)):
                found[f"{base.__module__}.{base.__name__}.{method.name}"], chains, local = _facts(parsed, [method])
                reached = [target for chain in chains for target in package.resolve(parsed, chain, local)]
                found |= package.follow([target for target in reached if target != (base.__module__, base.__name__)])
    return found


def _computes(statement: ast.stmt) -> bool:
    """A method that is no pydantic validator."""
    decorators = [ast.unparse(one) for one in getattr(statement, "decorator_list", [])]
    return isinstance(statement, ast.FunctionDef) and not any("_validator" in one for one in decorators)


# ---------------------------------------------------------------- reading a module


@functools.lru_cache(maxsize=1024)
def _parse(package: str, name: str, file: Path, changed: int, size: int) -> Module:
    """One file's tables; `changed` and `size` make the cache follow the file."""
    module = Module(name, package, is_init=file.name == "__init__.py")
    for statement in ast.parse(file.read_text(encoding="utf-8"), str(file)).body:
        _add(module, statement)
    return module


def _facts(module: Module, statements: list[ast.stmt]) -> tuple[str, frozenset[Chain], dict[str, Chain]]:
    chains = frozenset(chain for statement in statements for chain in uses(statement))
    inner = (binding for statement in statements for node in _imports(statement) for binding in _bindings(node, module))
    return digest(*statements), chains, dict(inner)


def _add(module: Module, statement: ast.stmt) -> None:
    """Enters one top-level statement into the module's tables."""
    own_scope = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    bindings = () if own_scope else (one for node in _imports(statement) for one in _bindings(node, module))
    for local, target in bindings:
        if local == "*":
            module.stars.append(target[0])
        else:
            module.imports[local] = target
    if not _says_nothing(statement):
        for name in sorted(set(stored(statement))) or [BODY]:
            module.definitions.setdefault(name, []).append(statement)


def _imports(statement: ast.stmt) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in statements(statement) if isinstance(node, ast.Import | ast.ImportFrom)]


def _says_nothing(statement: ast.stmt) -> bool:
    """Imports (followed where they are used), docstrings, and what runs only as a script."""
    if isinstance(statement, ast.If):
        is_main = any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test))
        return is_main or all(_says_nothing(part) for part in [*statement.body, *statement.orelse])
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass) or is_text(statement)


def _bindings(node: ast.Import | ast.ImportFrom, module: Module) -> Iterator[tuple[str, Chain]]:
    """(local name, what it stands for) of an import statement, for names inside the package."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == module.package:
                yield (alias.asname, (alias.name,)) if alias.asname else (module.package, (module.package,))
        return
    base = (node.module or "").split(".") if node.module else []
    if node.level:
        parts = module.name.split(".")
        base = parts[: len(parts) - node.level + module.is_init] + base
    if base and base[0] == module.package:
        for alias in node.names:
            yield alias.asname or alias.name, (".".join(base),) if alias.name == "*" else (".".join(base), alias.name)
