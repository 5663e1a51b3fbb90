"""What names in source code are bound to: by imports, by statements, within functions and classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vcfe_bench.plugins.code.strip import parameters

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | Comprehension


@dataclass(frozen=True)
class Imported:
    """What a name bound by an import stands for: the attribute ``name`` of a module, or the module itself."""

    module: str
    name: str | None = None


@dataclass(frozen=True)
class External:
    """A module of another distribution or something in it, by its dotted name."""

    name: str


@dataclass(frozen=True)
class Module:
    """A module of the project. Its attributes are looked up; used in any other way, it counts as a whole."""

    name: str


@dataclass(frozen=True)
class Definition:
    """A statement at the top level of a module of the project, by its number; ``WHOLE`` stands for all of them."""

    module: str
    statement: int


WHOLE = -1
Target = External | Module | Definition


@dataclass
class Frame:
    """A scope within a module: the names bound in it, with what they stand for where imports bind them."""

    is_class: bool = False
    bound: dict[str, list[Imported]] = field(default_factory=dict)
    outer: set[str] = field(default_factory=set)
    """Names declared ``global``."""


def imports(node: ast.Import | ast.ImportFrom, package: Sequence[str]) -> Iterator[tuple[str, Imported, str]]:
    """The bound name (``*`` for all), what it stands for, and the module that the import executes.

    ``package`` is the package of the importing module, from which relative imports start, divided at its dots.
    """
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield alias.asname or top, Imported(alias.name if alias.asname else top), alias.name
        return
    above = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        yield alias.asname or alias.name, Imported(module, alias.name), module


def frame(node: Scope, package: Sequence[str]) -> Frame:
    """The scope of a function, a class or a comprehension."""
    inside = Frame(isinstance(node, ast.ClassDef))
    if isinstance(node, Comprehension):
        for generator in node.generators:
            inside.bound |= {name: [] for inner in ast.walk(generator.target) for name in bound_names(inner)}
        return inside
    if not isinstance(node, ast.ClassDef):
        inside.bound = {parameter.arg: [] for parameter in parameters(node.args)}
    for child in node.body if isinstance(node.body, list) else [node.body]:
        _bind(child, inside, package)
    for name in inside.outer:
        inside.bound.pop(name, None)
    return inside


def _bind(node: ast.AST, inside: Frame, package: Sequence[str]) -> None:
    for child in same_scope(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            for name, target, _ in imports(child, package):
                inside.bound.setdefault(name, []).append(target)
        elif isinstance(child, ast.Global):
            inside.outer.update(child.names)
        else:
            for name in bound_names(child):
                inside.bound.setdefault(name, [])


def same_scope(node: ast.AST) -> Iterator[ast.AST]:
    """A node and the nodes in it, without the insides of functions, classes and comprehensions.

    Assignment expressions in a comprehension are yielded, because they bind names around it.
    """
    yield node
    if isinstance(node, Comprehension):
        yield from (inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
    elif not isinstance(node, Scope):
        for child in ast.iter_child_nodes(node):
            yield from same_scope(child)


def bound_names(node: ast.AST) -> Iterator[str]:
    """Names that a node itself binds, without those that nodes in it bind."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        yield from [node.name] if node.name else []
    elif isinstance(node, ast.MatchMapping):
        yield from [node.rest] if node.rest else []
