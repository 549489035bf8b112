"""What a piece of Python says, from its syntax tree alone: its digest and the names it takes from outside."""

import ast
import hashlib
from collections.abc import Iterable, Iterator

Chain = tuple[str, ...]  # a dotted use: ("cam", "normalise") for cam.normalise

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
UNSAID = {"annotation", "returns", "type_comment", "type_params", "ctx", "kind", "simple"}  # they compute nothing


def digest(*nodes: ast.AST) -> str:
    """sha256 (hex) of code without comments, docstrings, formatting and annotations; the same on every Python."""
    spelled: list[str] = []
    for node in nodes:
        _spell(node, spelled)
    return hashlib.sha256("".join(spelled).encode()).hexdigest()


def _spell(value: object, spelled: list[str]) -> None:
    """Appends the tree as text, without the fields that newer versions add empty and without string statements."""
    if isinstance(value, ast.AST):
        kind = "Assign" if isinstance(value, ast.AnnAssign) and value.value else type(value).__name__
        spelled.append(f"{kind}(")
        for name, part in ast.iter_fields(value):
            if name not in UNSAID and part is not None and part != []:
                # `x: int = 3` says what `x = 3` says, whose field is a list of targets.
                annotated = kind == "Assign" and name == "target"
                spelled.append("targets=" if annotated else f"{name}=")
                _spell([part] if annotated else part, spelled)
        spelled.append(")")
    elif isinstance(value, list):
        spelled.append("[")
        for part in value:
            if not is_text(part):
                _spell(part, spelled)
                spelled.append(",")
        spelled.append("]")
    else:
        spelled.append(f"{type(value).__name__}:{value!r};")


def is_text(node: object) -> bool:
    """A string standing alone as a statement: a docstring, or a comment in all but name."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def uses(node: ast.AST, hidden: frozenset[str] = frozenset()) -> Iterator[Chain]:
    """Dotted names that `node` takes from outside its own scopes, annotations apart. `hidden`: names bound within."""
    if isinstance(node, ast.Name | ast.Attribute) and (chain := _chain(node)):
        if chain[0] not in hidden and isinstance(_root(node).ctx, ast.Load):
            yield chain
    elif isinstance(node, ast.Global):
        yield from ((name,) for name in node.names)
    elif isinstance(node, FUNCTIONS):
        yield from _uses_of_all([*getattr(node, "decorator_list", []), node.args], hidden)
        body = node.body if isinstance(node.body, list) else [node.body]
        yield from _uses_of_all(body, hidden | _bound(node, body))
    elif isinstance(node, COMPREHENSIONS):
        targets = (part for generator in node.generators for part in ast.walk(generator.target))
        names = frozenset(part.id for part in targets if isinstance(part, ast.Name))
        yield from _uses_of_all(ast.iter_child_nodes(node), hidden | names)
    else:
        fields = (value for name, value in ast.iter_fields(node) if name not in UNSAID)
        parts = (part for value in fields for part in (value if isinstance(value, list) else [value]))
        yield from _uses_of_all((part for part in parts if isinstance(part, ast.AST)), hidden)


def _uses_of_all(nodes: Iterable[ast.AST], hidden: frozenset[str]) -> Iterator[Chain]:
    for node in nodes:
        yield from uses(node, hidden)


def _chain(node: ast.AST) -> Chain:
    """("a", "b", "c") of the expression a.b.c; empty when it does not start at a name."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (head := _chain(node.value)):
        return (*head, node.attr)
    return ()


def _root(node: ast.AST) -> ast.Name:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _bound(function: ast.AST, body: list[ast.AST]) -> frozenset[str]:
    """Names that are a function's own: its arguments and what its body assigns, less what it declares global."""
    arguments = [node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)]
    outer = {name for part in body for node in statements(part) if isinstance(node, ast.Global) for name in node.names}
    return frozenset({*arguments, *(name for node in body for name in stored(node))} - outer)


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """`node` and every statement inside it; expressions, most of the tree, are not walked."""
    if isinstance(node, ast.stmt):
        yield node
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, name, None)
        for part in inner if isinstance(inner, list) else ():
            yield from statements(part)


def stored(node: ast.AST) -> Iterator[str]:
    """Names that a statement or expression binds in the scope it stands in (imports apart)."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, COMPREHENSIONS):  # its targets are its own; a walrus inside binds outside
        yield from (part.target.id for part in ast.walk(node) if isinstance(part, ast.NamedExpr))
    elif not isinstance(node, ast.Lambda):
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        for part in ast.iter_child_nodes(node):
            yield from stored(part)
