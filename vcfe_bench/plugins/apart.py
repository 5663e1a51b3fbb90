"""Calls of plug-ins of other distributions, in a worker process: one that ends, blocks or fills it fails alone.

Plug-ins are sent as their specs, and built once in the worker; all other arguments are copied. Which limits the worker
has, and whether there is one, depends on the executor in use.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

from vcfe_bench.core import process_state
from vcfe_bench.core.errors import CallFailed, UsageError, WorkerLost, describe
from vcfe_bench.core.text import printable
from vcfe_bench.executors import choice, serial
from vcfe_bench.executors.interface import Lost
from vcfe_bench.executors.standby import Standby
from vcfe_bench.plugins import names, registry, specs
from vcfe_bench.plugins.base import Memo, Plugin
from vcfe_bench.plugins.dataset import Dataset

P = ParamSpec("P")
R = TypeVar("R")
OWN = "vcfe-bench"
"""Name of the distribution whose plug-ins are called in this process."""
LOSSES = 3
"""After so many calls of a plug-in in a row without an answer, it is not called again."""
METHODS = (
    *("size", "sample", "labels_of", "notes"),
    *("oracle", "true_edit", "track", "attributes_of", "shortcut_edit", "corrupted_edit"),
)
"""Methods of datasets that are called apart."""
PASSED = (UsageError, NotImplementedError)
"""Exceptions that callers tell apart from others; with their subclasses, they are raised here as they are there."""
_unanswered: Counter[str] = Counter()


def call(plugin: Plugin, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """``function(*args, **kwargs)``, in a worker process if ``plugin``, which it calls, is of another distribution.

    Raises:
        CallFailed: the function raised an exception, or the process was lost.
    """
    limits = choice.limits()
    if limits is None or not foreign(plugin):
        return function(*args, **kwargs)
    name = f"{_kind(plugin)} {plugin.spec}"
    if _unanswered[name] >= LOSSES:
        raise CallFailed(f"not called again, since {LOSSES} calls in a row had no answer")
    try:
        content = _packed((function, args, kwargs))
    except Exception as error:
        raise CallFailed(f"cannot be called in a worker process: {describe(error)}") from error
    answer = WORKER.do(content, limits)
    if isinstance(answer, Lost):
        _unanswered[name] += 1
        raise WorkerLost(printable(answer.reason))
    del _unanswered[name]
    if isinstance(answer, CallFailed):
        raise CallFailed.by(str(answer))
    if isinstance(answer, Exception):
        raise answer
    result: R = _unpacked(answer)
    return result


def dataset(spec: str) -> Dataset:
    """The dataset of a spec. If it is that of another distribution, its ``METHODS`` are called apart.

    Raises:
        UsageError: there is no such dataset, or it cannot be built.
    """
    found = registry.DATASETS.build(spec)
    if foreign(found):
        for name in METHODS:
            if callable(getattr(found, name, None)):
                setattr(found, name, partial(call, found, _called, found, name))
    return found


def foreign(plugin: Plugin) -> bool:
    """Whether a plug-in is registered, and not by this distribution."""
    kind = _kind(plugin)
    return bool(kind) and _distribution(kind, specs.parse(plugin.spec)[0]) != OWN


def release() -> None:
    """End the worker process, if there is one, and call again what was given up."""
    WORKER.close()
    _unanswered.clear()


@cache
def _distribution(kind: str, name: str) -> str:
    distribution = names.entries(kind)[name][0].dist
    return distribution.name if distribution else ""


def _kind(plugin: Plugin) -> str:
    """The kind of a plug-in that is built as its spec says; empty for any other."""
    name = specs.parse(plugin.spec)[0] if plugin.spec else ""
    for known in registry.REGISTRIES.values():
        if isinstance(plugin, known.bases) and name in names.entries(known.kind):
            return known.kind if type(plugin) is known.load(name) else ""
    return ""


def _called(dataset: Dataset, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(type(dataset), name)(dataset, *args, **kwargs)


class _Packer(pickle.Pickler):
    def persistent_id(self, value: Any) -> tuple[str, str] | None:
        return (kind, value.spec) if isinstance(value, Plugin) and (kind := _kind(value)) else None

    def reducer_override(self, value: Any) -> Any:
        """Of what caches, only the fields are sent."""
        if isinstance(value, Memo) and is_dataclass(value):
            state = {field.name: getattr(value, field.name) for field in fields(value)}
            return copyreg.__newobj__, (type(value),), state
        return NotImplemented


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, found: tuple[str, str]) -> Plugin:
        return _built(*found)


@cache
def _built(kind: str, spec: str) -> Plugin:
    if kind == "target":
        return registry.frozen_target(spec)
    plugin: Plugin = registry.REGISTRIES[f"{kind}s"].build(spec)
    return plugin


def _packed(value: object) -> bytes:
    stream = io.BytesIO()
    _Packer(stream, pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


def _unpacked(content: bytes) -> Any:
    return _Unpacker(io.BytesIO(content)).load()


def _answer(content: bytes, report: Callable[[Any], None]) -> bytes | Exception:
    """The packed result of a call, or its exception."""
    function, args, kwargs = _unpacked(content)
    settings = process_state.settings()
    try:
        with serial.threads(1):
            return _packed(function(*args, **kwargs))
    except BaseException as error:
        passed: Sequence[type[Exception]] = [kind for kind in PASSED if isinstance(error, kind)]
        return passed[0](str(error)) if passed else CallFailed(describe(error))
    finally:
        process_state.restore(settings)


WORKER = Standby(_answer)
