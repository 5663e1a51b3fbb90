"""The identity of a plug-in's code."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path


def source_hash(cls: type) -> str:
    """Hash of the source that defines a plug-in: its module and what that imports from its own package and from ours.

    Imports are read from the source, at any depth and wherever they stand, so that the hash does not depend on what
    happens to be loaded. What the plug-in uses from other packages is covered by the versions in ``run.json``.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_sources(cls.__module__).items()):
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _file(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except Exception:
        return ""
    return spec.origin or "" if spec else ""


def _sources(module: str) -> dict[str, Path]:
    """Source files by module name: ``module`` and what it imports, directly or not, from its own package and ours."""
    packages = {module.partition(".")[0], __name__.partition(".")[0]}
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name.partition(".")[0] not in packages or not (file := _file(name)).endswith(".py"):
            continue
        found[name] = Path(file)
        waiting += _imports(name, found[name])
    return found


def _imports(module: str, path: Path) -> Iterator[str]:
    parents = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
