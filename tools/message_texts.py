"""Find the texts that the variables in an error message can have. They come from assignments, loops over literals,
arguments of callers, and constants. Texts that are only known at run time are missing."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path

from tools.prose import last_name, text_of, tracked

Function = ast.FunctionDef | ast.AsyncFunctionDef

ROOT = Path(__file__).resolve().parent.parent

# How many levels of callers are followed.
DEEPEST = 3

# Fields in which a statement contains other statements.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")

# The blocks around a node, from the outermost: the id of each statement, and the name of its field.
Blocks = tuple[tuple[int, str], ...]


@dataclass(frozen=True, eq=False)
class Assignment:
    values: dict[str, ast.expr]
    line: int
    blocks: Blocks
    in_loop: bool = False  # True for each entry of a literal that a loop iterates over


@dataclass(frozen=True, eq=False)
class Scope:
    """A function, or a module without its functions."""

    path: Path
    function: Function | None = None
    calls: list[tuple[ast.Call, Blocks]] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)

    def parameters(self) -> dict[str, ast.expr | None]:
        """Return the names of the parameters, with their default values."""
        if self.function is None:
            return {}
        given = self.function.args
        of_position = [*([None] * (len(given.args) - len(given.defaults))), *given.defaults]
        named = zip([*given.args, *given.kwonlyargs], [*of_position, *given.kw_defaults], strict=True)
        return {one.arg: default for one, default in named}


@cache
def modules() -> dict[Path, ast.Module]:
    """Parse the modules that may create errors."""
    return {path: ast.parse(path.read_text()) for path in tracked("components/*.py", "secretops/src/*.py")}


@cache
def scopes() -> tuple[Scope, ...]:
    found: list[Scope] = []
    for path, module in modules().items():
        found.append(Scope(path))
        found += _fill(found[-1], module, ())
    return tuple(found)


def texts(scope: Scope, at: ast.AST, blocks: Blocks, names: Iterable[str], depth: int = 0) -> Iterator[dict[str, str]]:
    """Yield each combination of texts that `names` can have at the node `at`."""
    needed, sources = set(names), dict[str, tuple[int, ...]]()
    while new := needed - sources.keys():
        for name in sorted(new):
            sources[name] = _assigning(scope, at, blocks, name)
            needed |= names_in(scope.assignments[index].values[name] for index in sources[name])
    free = {name for name in needed if not sources[name]}
    known = {name: text for name, text in _constants(scope.path).items() if name in free}
    joint: dict[tuple[Blocks, ...], list[tuple[int, ...]]] = {}  # names assigned in the same branches change together
    for indexes in dict.fromkeys(filter(None, sources.values())):
        joint.setdefault(tuple(scope.assignments[index].blocks for index in indexes), []).append(indexes)
    for passed in _passed(scope, frozenset(free), depth):
        for choices in product(*(list(zip(*together, strict=True)) for together in joint.values())):
            found = known | passed
            chosen = {scope.assignments[index] for choice in choices for index in choice}
            for assignment in sorted(chosen, key=lambda one: one.line):
                found |= dict(_shown(assignment.values, found, needed))
            yield found


@cache
def _passed(scope: Scope, names: frozenset[str], depth: int) -> tuple[dict[str, str], ...]:
    """Return the different texts that callers pass as the parameters `names`."""
    parameters = {name: default for name, default in scope.parameters().items() if name in names}
    if not parameters or depth == DEEPEST or scope.function is None:
        return ({},)
    order = [name for name in scope.parameters() if name != "self"]
    found: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for caller, call, blocks in _calls().get(scope.function.name, ()):
        if _reaches(caller, call, scope):
            given = dict(zip(order, call.args, strict=False)) | {one.arg: one.value for one in call.keywords if one.arg}
            nodes = {name: given.get(name, default) for name, default in parameters.items()}
            for known in texts(caller, call, blocks, names_in(nodes.values()), depth + 1):
                one = dict(_shown(nodes, known, nodes))
                found[tuple(one.items())] = one
    return tuple(found.values()) or ({},)


@cache
def _calls() -> dict[str, list[tuple[Scope, ast.Call, Blocks]]]:
    found: dict[str, list[tuple[Scope, ast.Call, Blocks]]] = {}
    for scope in scopes():
        for call, blocks in scope.calls:
            found.setdefault(last_name(call.func), []).append((scope, call, blocks))
    return found


def capitals(name: str) -> str:
    """Return a placeholder: a variable's name in capitals."""
    return name.strip("_").replace("_", " ").upper()


def shown(node: ast.expr | None, known: Mapping[str, str]) -> str:
    """Return a text. Its expressions are replaced by their `known` texts, or by their names in capitals."""

    def part(inner: ast.expr) -> str:
        if isinstance(inner, ast.Name) and inner.id in known:
            return known[inner.id]
        return shown(inner, known) or _placeholder(inner)

    match node:
        case ast.Name(id=name):
            return known.get(name, "")
        case ast.Call(func=ast.Attribute(attr="format" | "rstrip", value=template)):
            return shown(template, known).replace("{}", "…")
        case ast.IfExp(body=first, orelse=second) | ast.BoolOp(op=ast.Or(), values=[first, second]):
            return _alternatives((first, second), known)
        case ast.BinOp(op=ast.Add(), left=first, right=second) if shown(first, known) or shown(second, known):
            return part(first) + part(second)
    return text_of(node, part)


def _alternatives(nodes: Sequence[ast.expr], known: Mapping[str, str]) -> str:
    # An unknown text is a placeholder; if all are unknown, there is no text.
    found = [shown(node, known) for node in nodes]
    if not any(found):
        return ""
    unknown = ["" if isinstance(node, ast.Constant) else _placeholder(node) for node in nodes]
    return " / ".join(dict.fromkeys(filter(None, (text or other for text, other in zip(found, unknown, strict=True)))))


# Placeholders for attributes and calls whose own names say little.
_PLACEHOLDERS = {
    **{"strerror": "REASON", "returncode": "EXIT CODE", "len": "NUMBER", "S_IMODE": "MODE"},
    **{"did_you_mean": "did you mean NAME? ", "st_uid": "UID", "getuid": "UID", "geteuid": "UID"},
}


def _placeholder(node: ast.expr) -> str:
    match node:
        case ast.Attribute(attr="__name__", value=ast.Call(args=[inner])):
            return f"{_placeholder(inner)} TYPE"
        case ast.BoolOp(op=ast.And(), values=[*_, inner]) | ast.BoolOp(values=[inner, *_]):
            return _placeholder(inner)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return capitals(name)
        case ast.Call(func=func) if last_name(func) in _PLACEHOLDERS:
            return _placeholder(func)
        case ast.Call(func=ast.Name(), args=[inner]) | ast.Call(func=ast.Attribute(value=inner), args=[]):
            return _placeholder(inner)
    name = last_name(node.func if isinstance(node, ast.Call) and not node.args else node)
    return _PLACEHOLDERS.get(name) or capitals(name) or "…"


def _shown(
    nodes: Mapping[str, ast.expr | None], known: Mapping[str, str], names: Container[str]
) -> Iterator[tuple[str, str]]:
    """Yield each of `names` whose node has a known text, and the text."""
    for name, node in nodes.items():
        text = shown(node, known)
        if name in names and (text or (isinstance(node, ast.Constant) and node.value == "")):
            yield name, text


def names_in(nodes: Iterable[ast.expr | None]) -> set[str]:
    return {part.id for node in nodes if node for part in ast.walk(node) if isinstance(part, ast.Name)}


def _reaches(caller: Scope, call: ast.Call, scope: Scope) -> bool:
    """Return whether `call` may call the function of `scope`. Recursive calls do not count."""
    if isinstance(call.func, ast.Attribute):
        owner = last_name(call.func.value)
        return scope.path in ({caller.path} if owner == "self" else _imports(caller.path).get(owner, ()))
    in_reach = {caller.path, *_imports(caller.path).get(last_name(call.func), ())}
    return scope.path in in_reach and caller is not scope and "self" not in scope.parameters()  # no method


@cache
def _imports(path: Path) -> dict[str, list[Path]]:
    """Map each name that a module imports to the files that may define it."""
    found: dict[str, list[Path]] = {}
    for node in ast.walk(modules()[path]):
        if isinstance(node, ast.ImportFrom):
            roots = [path.parents[node.level - 1]] if node.level else [ROOT, ROOT / "secretops/src"]
            folders = [root.joinpath(*(node.module or "").split(".")) for root in roots]
            for one in node.names:
                files = (
                    file
                    for folder in folders
                    for file in (folder.with_suffix(".py"), folder / "__init__.py", folder / f"{one.name}.py")
                )
                found.setdefault(one.asname or one.name, []).extend(file for file in files if file in modules())
    return found


@cache
def _constants(path: Path) -> dict[str, str]:
    imported = {
        name: _of_module(file)[name]
        for name, files in _imports(path).items()
        for file in files
        if name.isupper() and name in _of_module(file)
    }
    found: dict[str, str] = {}
    for name, value in (imported | _of_module(path)).items():
        if text := shown(value, found):
            found[name] = text
    return found


@cache
def _of_module(path: Path) -> dict[str, ast.expr]:
    return {
        name: value
        for node in modules()[path].body
        if isinstance(node, ast.Assign)
        for name, value in _assigned(node.targets[0], node.value).items()
    }


def _assigning(scope: Scope, at: ast.AST, blocks: Blocks, name: str) -> tuple[int, ...]:
    """Return the indexes of the assignments of `name` that may have set its value at a node: the last one that
    certainly runs before it, and the later ones that may."""
    found: list[int] = []
    for index, one in enumerate(scope.assignments):
        if name in one.values and one.line < getattr(at, "lineno", 0) and not _excludes(one.blocks, blocks):
            certain = blocks[: len(one.blocks)] == one.blocks and not one.in_loop
            found = [index] if certain else [*found, index]
    return tuple(found)


def _excludes(first: Blocks, second: Blocks) -> bool:
    """Return whether two nodes are in branches that exclude each other."""
    for one, other in zip(first, second, strict=False):
        if one != other:
            return one[0] == other[0] and "orelse" in (one[1], other[1])
    return False


def _assigned(target: ast.expr, value: ast.expr) -> dict[str, ast.expr]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return {last_name(one): entry for one, entry in zip(target.elts, value.elts, strict=False)}
    if isinstance(target, ast.Tuple):
        return {last_name(one): value for one in target.elts}
    return {last_name(target): value}


def _fill(scope: Scope, node: ast.AST, blocks: Blocks) -> Iterator[Scope]:
    """Record the calls and assignments below a node; yield the scopes of the functions in it."""
    for name, entry in ast.iter_fields(node):
        inner = (*blocks, (id(node), name)) if name in _BLOCKS and isinstance(entry, list) else blocks
        for child in entry if isinstance(entry, list) else [entry]:
            if isinstance(child, Function):
                yield (nested := Scope(scope.path, child))
                yield from _fill(nested, child, ())
            elif isinstance(child, ast.AST):
                if isinstance(child, ast.Call):
                    scope.calls.append((child, inner))
                elif isinstance(child, ast.Assign):
                    values = _assigned(child.targets[0], child.value)
                    scope.assignments.append(Assignment(values, child.lineno, inner))
                elif isinstance(child, ast.For) and isinstance(child.iter, ast.Tuple | ast.List):
                    of_body = (*inner, (id(child), "body"))
                    entries = (_assigned(child.target, one) for one in child.iter.elts)
                    scope.assignments.extend(Assignment(one, child.lineno, of_body, True) for one in entries)
                yield from _fill(scope, child, inner)
