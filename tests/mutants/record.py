"""A recorded mutant. A qualified name and an expression address its place, so that it still applies after a move."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORDS = Path(__file__).resolve().parent
FOLDERS = {
    "secretops": "secretops/src/secretops",
    "components": "components",
    "policies": "policies",
    "tools": "tools",
}


class AddressError(Exception):
    """A mutant's address matches no place, or more than one."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One bug: in `where`, a qualified name ("" means the module itself), `becomes` replaces `expression`."""

    id: str
    bug: str
    package: str
    where: str
    expression: str
    becomes: str
    killed_by: tuple[str, ...]
    module: str = ""

    def __post_init__(self) -> None:
        if self.package not in FOLDERS:
            raise AddressError(f"{self.id}: package is '{self.package}'; it must be one of {', '.join(FOLDERS)}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """The file below the root, and the span of the expression in its bytes."""

    path: Path
    start: int
    end: int
    indent: str

    def mutated(self, source: bytes, becomes: str) -> bytes:
        """Return `source` with `becomes` in place of the span. Its further lines get the indentation of the place."""
        text = becomes.rstrip().replace("\n", "\n" + self.indent)
        return source[: self.start] + text.encode() + source[self.end :]


def read_mutants(folder: Path = RECORDS) -> list[Mutant]:
    """Return the mutants of all files, in order. Raises AddressError if two have the same id."""
    mutants = [
        _mutant(id_, entry)
        for file in sorted(folder.glob("*.toml"))
        for id_, entry in tomllib.loads(file.read_text()).items()
    ]
    seen: set[str] = set()
    for mutant in mutants:
        if mutant.id in seen:
            raise AddressError(f"{mutant.id}: two mutants have this id")
        seen.add(mutant.id)
    return mutants


def _mutant(id_: str, entry: dict[str, Any]) -> Mutant:
    """Parse `change`: address, expression, replacement. The address is "package:where", or "package:module:where" if
    two modules match."""
    at, expression, becomes = entry["change"]
    package, *module, where = at.split(":")
    return Mutant(
        id=id_,
        bug=entry["bug"],
        package=package,
        module="".join(module),
        where=where,
        expression=expression,
        becomes=becomes,
        killed_by=tuple(entry["killed_by"]),
    )


def find_place(mutant: Mutant, root: Path = ROOT) -> Place:
    """Return the one place that the mutant's address matches. Raises AddressError."""
    wanted = [ast.unparse(node) for node in ast.parse(mutant.expression).body]
    places = [
        place
        for path in _files(root / FOLDERS[mutant.package])
        if not mutant.module or _module(path).endswith(mutant.module)
        for place in _matches(path, mutant.where, wanted)
    ]
    if len(places) != 1:
        found = ", ".join(str(place.path.relative_to(root)) for place in places) or "nowhere"
        raise AddressError(f"{mutant.id}: found {found}; the address must match exactly one place")
    return places[0]


def _files(start: Path) -> list[Path]:
    return [start] if start.is_file() else sorted(start.rglob("*.py"))


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@cache
def _scopes(path: Path) -> dict[str, list[ast.AST]]:
    """Map each qualified name of a file to its own nodes, without those of nested definitions."""
    scopes: dict[str, list[ast.AST]] = {"": []}

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}" if name else child.name
                scopes.setdefault(inner, []).append(child)
                visit(child, inner)
            else:
                scopes.setdefault(name, []).append(child)
                visit(child, name)

    tree = ast.parse(path.read_bytes())
    scopes[""].append(tree)
    visit(tree, "")
    return scopes


def _matches(path: Path, where: str, wanted: list[str]) -> Iterator[Place]:
    spans: set[tuple[int, int, int, int]] = set()
    for node in _scopes(path).get(where, []):
        if len(wanted) == 1 and isinstance(node, ast.expr) and ast.unparse(node) == wanted[0]:
            spans.add(_span(node, node))
        for _, body in ast.iter_fields(node):
            if not isinstance(body, list) or not all(isinstance(item, ast.stmt) for item in body):
                continue
            for first in range(len(body) - len(wanted) + 1):
                statements = body[first : first + len(wanted)]
                if [ast.unparse(statement) for statement in statements] == wanted:
                    spans.add(_span(statements[0], statements[-1]))
    lines = path.read_bytes().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    # An expression statement matches as both; its span is one.
    for first, column, last, end in sorted(spans):
        text = lines[first - 1].decode()
        indent = text[: len(text) - len(text.lstrip())]
        yield Place(path=path, start=starts[first - 1] + column, end=starts[last - 1] + end, indent=indent)


def _span(first: ast.expr | ast.stmt, last: ast.expr | ast.stmt) -> tuple[int, int, int, int]:
    assert last.end_lineno is not None and last.end_col_offset is not None
    decorators = getattr(first, "decorator_list", [])
    start = min([first.lineno, *(decorator.lineno for decorator in decorators)])
    return (start, first.col_offset, last.end_lineno, last.end_col_offset)
