"""Descriptions of plug-ins, kept between commands so that ``vcfe-bench list`` need not import any of them."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from vcfe_bench.core.folders import cache
from vcfe_bench.plugins.listing import Listing
from vcfe_bench.plugins.names import entries


def listings(kind: str) -> list[Listing]:
    """Descriptions of all registered plug-ins of a kind; those that cannot be loaded carry their error.

    They are read from a file in the cache if neither the sources of the plug-ins nor what is installed have changed
    since it was written. Descriptions with errors are not kept, since the reason may lie elsewhere.
    """
    file = cache() / "listings" / f"{kind}-{_state(kind)}.json"
    try:
        return [Listing(**{**one, "presets": tuple(one["presets"])}) for one in json.loads(file.read_text("utf-8"))]
    except (OSError, ValueError, TypeError, KeyError):
        found = _loaded(kind)
    if not any(one.error for one in found):
        _keep(file, found)
    return found


def _loaded(kind: str) -> list[Listing]:
    from vcfe_bench.plugins.registry import REGISTRIES  # imports torch

    return list(REGISTRIES[f"{kind}s"].listings())


def _keep(file: Path, found: list[Listing]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        for old in file.parent.glob(f"{file.name.partition('-')[0]}-*"):
            old.unlink(missing_ok=True)
        temporary = file.with_suffix(".part")
        temporary.write_text(json.dumps([dataclasses.asdict(one) for one in found]), encoding="utf-8")
        temporary.replace(file)
    except OSError:
        return  # a cache that cannot be written costs seconds, not results


def _state(kind: str) -> str:
    """A hash of what descriptions depend on: entry points, sources of their packages, installed packages, Python."""
    known = [
        (entry.name, entry.value, entry.dist and entry.dist.version) for all in entries(kind).values() for entry in all
    ]
    packages = sorted({value.partition(":")[0].partition(".")[0] for _, value, _ in known})
    installed = [_stamp(Path(sysconfig.get_path(name))) for name in ("purelib", "platlib")]
    state = [sys.version, known, installed, [stamp for package in packages for stamp in _stamps(package)]]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:20]


def _stamps(package: str) -> Iterator[tuple[str, int, int]]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return
    for folder in spec.submodule_search_locations or () if spec else ():
        for file in sorted(Path(folder).rglob("*.py")):
            yield _stamp(file)
    if spec and spec.origin and not spec.submodule_search_locations:
        yield _stamp(Path(spec.origin))


def _stamp(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size
