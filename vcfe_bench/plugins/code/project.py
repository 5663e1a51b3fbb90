"""The modules of some packages, what their names stand for, and the text of all that a definition reaches."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder

from vcfe_bench.plugins.code.names import (
    WHOLE,
    Definition,
    External,
    Imported,
    Module,
    Target,
    bound_names,
    imports,
    same_scope,
)
from vcfe_bench.plugins.code.strip import strip
from vcfe_bench.plugins.code.writer import Writer

_WRAPPERS = {"abc", "contextlib", "dataclasses", "enum", "functools", "pydantic", "typing"}
"""Packages whose functions keep nothing of what they are applied to."""


def source_file(module: str) -> str:
    """Path of the source of a module, empty where there is none. No module is imported to find it."""
    spec = _spec(module)
    if spec and spec.has_location:
        return spec.origin or ""
    return getattr(sys.modules.get(module), "__file__", None) or ""


def _spec(module: str) -> ModuleSpec | None:
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for depth in range(len(inner)):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join([top, *inner[: depth + 1]]), list(spec.submodule_search_locations))
        return spec
    except (ImportError, ValueError, AttributeError):
        return None


@dataclass
class Source:
    """A parsed module: its statements, and the names that they bind."""

    name: str
    package: list[str]
    body: list[ast.stmt]
    bound: dict[str, list[Imported | int]] = field(default_factory=dict)
    """What binds each name: an import, or a statement by its number."""
    stars: list[str] = field(default_factory=list)
    """Modules all of whose names are imported."""
    executes: list[str] = field(default_factory=list)
    """Modules that are imported when this one is."""


@dataclass(frozen=True)
class Text:
    """A definition as text and references, and the modules that it imports when it runs."""

    pieces: tuple[str | Definition, ...]
    executes: tuple[str, ...]

    @property
    def shape(self) -> str:
        return "".join(piece if isinstance(piece, str) else "@" for piece in self.pieces)


class Project:
    """The sources of some top-level packages. Everything is read and resolved once.

    ``find`` returns the path of a module's source, or an empty text.
    """

    def __init__(self, packages: Iterable[str], find: Callable[[str], str] = source_file) -> None:
        self.packages, self._find = frozenset(packages), find
        self._sources: dict[str, Source | None] = {}
        self._texts: dict[Definition, Text] = {}
        self._acting: dict[str, list[Definition]] = {}
        self._resolving: set[tuple[str, str]] = set()

    def text(self, roots: Sequence[Definition]) -> Iterator[str]:
        """The text of everything that ``roots`` reach. References are numbers in the order of first mention, so that
        no name or place of a module is part of it."""
        numbers: dict[Definition, int] = {}
        waiting: list[Definition] = []
        executed: set[str] = set()

        def number(definition: Definition) -> int:
            if definition not in numbers:
                numbers[definition] = len(numbers)
                waiting.append(definition)
            return numbers[definition]

        for root in roots:
            number(root)
        while waiting:
            for definition in waiting:  # which grows meanwhile
                text = self._text(definition)
                yield "\n"
                yield from (piece if isinstance(piece, str) else f"@{number(piece)};" for piece in text.pieces)
                self._execute([definition.module, *text.executes], executed)
            waiting.clear()
            acting = [definition for module in executed for definition in self._acting_in(module)]
            for definition in sorted(set(acting) - set(numbers), key=lambda definition: self._text(definition).shape):
                number(definition)

    def source(self, module: str) -> Source | None:
        """A module of the project; None where it belongs to another distribution or its source cannot be found."""
        if module not in self._sources:
            ours = module.partition(".")[0] in self.packages
            self._sources[module] = _read(module, self._find(module)) if ours else None
        return self._sources[module]

    def defined(self, module: str, name: str) -> list[Definition]:
        """The statements of a module that bind a name."""
        source = self.source(module)
        items = source.bound.get(name, []) if source else []
        return [Definition(module, item) for item in items if isinstance(item, int)]

    def look_up(self, module: str, name: str) -> tuple[Target, ...]:
        """What an attribute of a module stands for."""
        dotted = f"{module}.{name}"
        source = self.source(module)
        if source is None:
            return (Module(dotted) if self.source(dotted) else External(dotted),)
        if name in source.bound:
            return self._bound(source, name)
        if self.source(dotted):
            return (Module(dotted),)
        return self.from_star(source, name) or (External(f"missing {name}"), Module(module))

    def from_star(self, source: Source, name: str) -> tuple[Target, ...]:
        """What a name that ``from … import *`` may bind stands for; nothing where none does."""
        for star in source.stars:
            inside = self.source(star)
            if inside is None:
                return (External(f"{name} of {star}"),)
            if name in inside.bound:
                return self._bound(inside, name)
            if found := self.from_star(inside, name):
                return found
        return ()

    def _bound(self, source: Source, name: str) -> tuple[Target, ...]:
        key = (source.name, name)
        if key in self._resolving:
            return (External(f"circular {name}"),)
        self._resolving.add(key)
        try:
            targets: list[Target] = []
            for item in source.bound[name]:
                targets += [Definition(source.name, item)] if isinstance(item, int) else self.resolve(item)
            return tuple(dict.fromkeys(targets))
        finally:
            self._resolving.remove(key)

    def resolve(self, imported: Imported) -> tuple[Target, ...]:
        """What an imported name stands for."""
        if imported.name is not None:
            return self.look_up(imported.module, imported.name)
        known = imported.module.partition(".")[0] in self.packages
        return (Module(imported.module) if known else External(imported.module),)

    def _text(self, definition: Definition) -> Text:
        if definition not in self._texts:
            source = self.source(definition.module)
            assert source is not None
            self._texts[definition] = self._write(source, definition.statement)
        return self._texts[definition]

    def _write(self, source: Source, statement: int) -> Text:
        names = Names(self, source)
        writer = Writer(names, source.package)
        if statement != WHOLE:
            writer.write(source.body[statement])
            return Text(tuple(writer.pieces), tuple(writer.executes))
        for number, node in enumerate(source.body):
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                writer.pieces.append(Definition(source.name, number))
        for name, items in sorted(source.bound.items()):
            for imported in (item for item in items if isinstance(item, Imported)):
                writer.pieces += [f"{name}=", *map(names.piece, self.resolve(imported))]
        for star in source.stars:
            writer.pieces += ["*=", *map(names.piece, self.resolve(Imported(star)))]
        return Text(("module", *writer.pieces), ())

    def _execute(self, modules: Iterable[str], executed: set[str]) -> None:
        """Add the modules of the project that run when ``modules`` are imported."""
        waiting = list(modules)
        while waiting:
            name = waiting.pop()
            source = None if name in executed else self.source(name)
            if source is not None:
                executed.add(name)
                waiting += [name.rpartition(".")[0], *source.executes]

    def _acting_in(self, module: str) -> list[Definition]:
        """The statements of a module that do more than bind names when they run."""
        if module not in self._acting:
            source = self.source(module)
            self._acting[module] = (
                []
                if source is None
                else [Definition(module, number) for number, node in enumerate(source.body) if self._acts(source, node)]
            )
        return self._acting[module]

    def _acts(self, source: Source, node: ast.stmt) -> bool:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return False
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return any(self._may_keep(source, decorator) for decorator in node.decorator_list)
        if isinstance(node, ast.ClassDef):
            kept = any(self._may_keep(source, decorator) for decorator in node.decorator_list)
            return kept or bool(node.keywords) or any(self._keeps_subclasses(source, base) for base in node.bases)
        if isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return not all(map(_is_name, targets)) or self._hands_over(source, node.value)
        return type(node).__name__ != "TypeAlias"

    def _hands_over(self, source: Source, value: ast.expr) -> bool:
        """Whether a class or function of the module is passed to a call that may keep or change it."""
        if not isinstance(value, ast.Call) or not self._may_keep(source, value):
            return False
        arguments = [*value.args, *(keyword.value for keyword in value.keywords)]
        defined = {name for statement in source.body if hasattr(statement, "body") for name in bound_names(statement)}
        return any(isinstance(argument, ast.Name) and argument.id in defined for argument in arguments)

    def _may_keep(self, source: Source, function: ast.expr) -> bool:
        """Whether a decorator or function is none of those that are known to keep nothing."""
        names = Names(self, source).expression(function.func if isinstance(function, ast.Call) else function)
        return not names or any(
            not isinstance(target, External) or target.name.partition(".")[0] not in _WRAPPERS for target in names
        )

    def _keeps_subclasses(self, source: Source, base: ast.expr) -> bool:
        """Whether a base class, or one of its own base classes, defines ``__init_subclass__``."""
        for target in Names(self, source).expression(base) or ():
            found = self.source(target.module) if isinstance(target, Definition) else None
            node = found.body[target.statement] if found and isinstance(target, Definition) else None
            if found and isinstance(node, ast.ClassDef):
                if any(name == "__init_subclass__" for inner in node.body for name in bound_names(inner)):
                    return True
                if any(self._keeps_subclasses(found, inner) for inner in node.bases):
                    return True
        return False


class Names:
    """What the names of one module stand for; a ``writer.Resolver``."""

    def __init__(self, project: Project, source: Source) -> None:
        self.project, self.source = project, source

    def name(self, name: str) -> Sequence[Target] | None:
        if name in self.source.bound:
            return self.project.look_up(self.source.name, name)
        if name == "globals":
            return (External(name), Module(self.source.name))
        if found := self.project.from_star(self.source, name):
            return found
        if hasattr(builtins, name) or (name.startswith("__") and name.endswith("__")):
            return None
        return (External(f"missing {name}"), Module(self.source.name))

    def imported(self, imported: Imported) -> Sequence[Target]:
        return self.project.resolve(imported)

    def attribute(self, targets: Sequence[Target], name: str) -> Sequence[Target] | None:
        found: list[Target] = []
        for target in targets:
            if isinstance(target, Definition):
                return None
            found += (
                self.project.look_up(target.name, name)
                if isinstance(target, Module)
                else [External(f"{target.name}.{name}")]
            )
        return found

    def expression(self, node: ast.expr) -> Sequence[Target] | None:
        """What a name or a chain of attributes at the top level stands for."""
        if isinstance(node, ast.Name):
            return self.name(node.id)
        base = self.expression(node.value) if isinstance(node, ast.Attribute) else None
        return self.attribute(base, node.attr) if base and isinstance(node, ast.Attribute) else None

    def piece(self, target: Target) -> str | Definition:
        if isinstance(target, Module):
            known = self.project.source(target.name) is not None
            return Definition(target.name, WHOLE) if known else f"<module {target.name}>"
        return target if isinstance(target, Definition) else f"<{target.name}>"


def _read(module: str, path: str) -> Source | None:
    if not path.endswith(".py"):
        return None
    try:
        body = _parsed(path, os.stat(path).st_mtime_ns).body
    except (OSError, SyntaxError, ValueError):
        return None
    parts = module.split(".")
    source = Source(module, parts if path.endswith("__init__.py") else parts[:-1], body)
    for number, statement in enumerate(source.body):
        for node in same_scope(statement):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                _import(source, node)
            for name in bound_names(node):
                if number not in source.bound.setdefault(name, []):
                    source.bound[name].append(number)
    return source


def _import(source: Source, node: ast.Import | ast.ImportFrom) -> None:
    for name, imported, module in imports(node, source.package):
        source.executes += [module, f"{module}.{imported.name}"]
        if name == "*":
            source.stars.append(module)
        else:
            source.bound.setdefault(name, []).append(imported)


@cache
def _parsed(path: str, modified: int) -> ast.Module:
    with open(path, "rb") as file:
        return strip(ast.parse(file.read()))


def _is_name(target: ast.expr) -> bool:
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_is_name, target.elts))
    return isinstance(target, ast.Name) and target.id != "_"
