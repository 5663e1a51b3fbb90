"""Removes from a syntax tree what has no effect on results.

That is: docstrings and other constant statements, annotations of functions and of variables outside class bodies,
``overload``, ``override`` and ``final``, and blocks under ``TYPE_CHECKING`` or ``__name__ == "__main__"``. Annotations
in class bodies stay, because pydantic and dataclasses read them. Comments and layout are not part of a tree.
"""

from __future__ import annotations

import ast

Function = ast.FunctionDef | ast.AsyncFunctionDef
_FOR_TYPE_CHECKERS = {"overload", "override", "final"}


def strip(tree: ast.Module) -> ast.Module:
    """The tree without what does not compute. It is changed in place; bodies may be empty afterwards."""
    stripped: ast.Module = _Strip().visit(tree)
    return stripped


class _Strip(ast.NodeTransformer):
    _in_class = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST | None:
        return self._function(node)

    def _function(self, node: Function) -> ast.AST | None:
        if any(_last_name(decorator) == "overload" for decorator in node.decorator_list):
            return None
        _drop_type_decorators(node)
        node.returns = None
        if hasattr(node, "type_params"):
            node.type_params = []
        for parameter in parameters(node.args):
            parameter.annotation = None
        return self._inside(node, in_class=False)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        _drop_type_decorators(node)
        return self._inside(node, in_class=True)

    def _inside(self, node: ast.AST, in_class: bool) -> ast.AST:
        before, self._in_class = self._in_class, in_class
        node = self.generic_visit(node)
        self._in_class = before
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self._in_class:
            node.annotation = _Unquote().visit(node.annotation)
            return self.generic_visit(node)
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        skipped = _last_name(node.test) == "TYPE_CHECKING" or _is_main(node.test)
        return node.orelse if skipped else node


class _Unquote(ast.NodeTransformer):
    """Turns the quoted parts of an annotation into expressions; strings of a ``Literal`` and of calls stay strings."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        try:
            return ast.parse(node.value, mode="eval").body if isinstance(node.value, str) else node
        except SyntaxError:
            return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        return node if _last_name(node.value) == "Literal" else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return node


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All parameters of a function."""
    variadic = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *variadic]


def _drop_type_decorators(node: Function | ast.ClassDef) -> None:
    node.decorator_list = [d for d in node.decorator_list if _last_name(d) not in _FOR_TYPE_CHECKERS]


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
