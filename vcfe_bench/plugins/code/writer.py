"""Spells out syntax trees as canonical text in which names are replaced by what they stand for.

Positions are left out, and so are empty fields, of which versions of Python have different ones.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from vcfe_bench.plugins.code.names import Comprehension, Definition, Frame, Imported, Scope, Target, frame, imports
from vcfe_bench.plugins.code.strip import Function

_NO_MEANING = {"ctx", "kind", "type_comment", "type_ignores"}


class Resolver(Protocol):
    """Knows what the names of one module stand for."""

    def name(self, name: str) -> Sequence[Target] | None:
        """What a global name stands for; None for builtins."""

    def imported(self, imported: Imported) -> Sequence[Target]:
        """What an imported name stands for."""

    def attribute(self, targets: Sequence[Target], name: str) -> Sequence[Target] | None:
        """What an attribute of ``targets`` stands for; None where it is looked up when the code runs."""

    def piece(self, target: Target) -> str | Definition:
        """A target as part of the text."""


class Writer:
    """Collects text and references to definitions in ``pieces``, and the modules that the code imports when it runs."""

    def __init__(self, resolver: Resolver, package: Sequence[str]) -> None:
        self.pieces: list[str | Definition] = []
        self.executes: list[str] = []
        self._resolver, self._package = resolver, package
        self._frames: list[Frame] = []

    def write(self, node: ast.AST) -> None:
        """Add a statement or an expression."""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for _, imported, module in imports(node, self._package):
                self.executes += [module, f"{module}.{imported.name}"]
            return
        targets = self._targets(node)
        if targets is not None:
            self.pieces += [self._resolver.piece(target) for target in targets]
        elif isinstance(node, ast.Constant):
            self.pieces.append(f"{type(node.value).__name__}:{node.value!a};")
        elif isinstance(node, ast.JoinedStr):
            self._joined(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            self._function(node)
        elif isinstance(node, ast.ClassDef):
            with self._written(node):
                self._fields(node, ("name", "decorator_list", "bases", "keywords"))
                with self._inside(node):
                    self._fields(node, ("type_params", "body"))
        elif isinstance(node, Comprehension):
            self._comprehension(node)
        else:
            with self._written(node):
                self._fields(node, node._fields)

    def _fields(self, node: ast.AST, names: Sequence[str]) -> None:
        for name in names:
            if name not in _NO_MEANING:
                self._field(name, getattr(node, name, None))

    def _field(self, name: str, value: object) -> None:
        if value is None or value == []:
            return
        self.pieces.append(f"{name}=")
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                self.write(item)
            else:
                self.pieces.append(f"{item!a},")

    def _joined(self, node: ast.JoinedStr) -> None:
        """An f-string. Neighbouring texts are one, however the source or the version of Python divides them."""
        with self._written(node):
            text = ""
            for value in node.values:
                if isinstance(value, ast.Constant):
                    text += str(value.value)
                else:
                    self.pieces.append(f"{text!a};")
                    text = ""
                    self.write(value)
            self.pieces.append(f"{text!a};")

    def _function(self, node: Function | ast.Lambda) -> None:
        with self._written(node):
            self._fields(node, ("name", "decorator_list"))
            self._fields(node.args, ("defaults", "kw_defaults"))
            with self._inside(node):
                self._fields(node.args, ("posonlyargs", "args", "vararg", "kwonlyargs", "kwarg"))
                self._field("body", node.body)

    def _comprehension(self, node: Comprehension) -> None:
        first, *further = node.generators
        with self._written(node):
            self.write(first.iter)  # evaluated outside
            with self._inside(node):
                self._fields(first, ("target", "ifs", "is_async"))
                self._field("generators", further)
                self._fields(node, ("key", "value", "elt"))

    @contextmanager
    def _written(self, node: ast.AST) -> Iterator[None]:
        self.pieces.append(f"{type(node).__name__}(")
        yield
        self.pieces.append(")")

    @contextmanager
    def _inside(self, node: Scope) -> Iterator[None]:
        self._frames.append(frame(node, self._package))
        yield
        self._frames.pop()

    def _targets(self, node: ast.AST) -> Sequence[Target] | None:
        """What a name or a chain of attributes stands for; None where that is decided when the code runs."""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            return self._look_up(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            base = self._targets(node.value)
            return None if base is None else self._resolver.attribute(base, node.attr)
        return None

    def _look_up(self, name: str) -> Sequence[Target] | None:
        for depth, scope in reversed([*enumerate(self._frames)]):
            if name in scope.outer:
                break
            if name in scope.bound and (not scope.is_class or depth == len(self._frames) - 1):
                if scope.bound[name]:
                    return [target for imported in scope.bound[name] for target in self._resolver.imported(imported)]
                if not scope.is_class:  # in a class body, a name may still be the module's
                    return None
        return self._resolver.name(name)
