"""The benchmark that tells whether a video counterfactual explanation can be trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcfe_bench.api import compare, open, run
    from vcfe_bench.workflows.explain import explain

__all__ = ["compare", "explain", "open", "run"]
_PLACES = {
    "compare": "vcfe_bench.api",
    "explain": "vcfe_bench.workflows.explain",
    "open": "vcfe_bench.api",
    "run": "vcfe_bench.api",
}


def __getattr__(name: str) -> Any:
    """Import a function of the public interface when it is first used, so that ``import vcfe_bench`` stays quick."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
