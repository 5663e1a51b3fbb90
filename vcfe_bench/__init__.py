"""The benchmark that tells whether a video counterfactual explanation can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcfe_bench.workflows.explain import explain

__all__ = ["explain"]


def __getattr__(name: str) -> Any:
    """Import a function of the public interface when it is first used, so that ``import vcfe_bench`` stays quick."""
    if name == "explain":
        from vcfe_bench.workflows.explain import explain

        return explain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
