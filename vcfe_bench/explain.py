"""Deprecated location of ``vcfe_bench.workflows.explain``, kept for code that was written when it was a module.

``vcfe_bench.explain`` is a function. Importing this module replaces it on the package, as any import of a submodule
does, so the module can be called like the function. Every name that is taken from it comes with a
``DeprecationWarning``.
"""

from __future__ import annotations

import sys
import warnings
from types import ModuleType
from typing import Any

RENAMED = {"video": "explain", "Wish": "ExplainRequest", "Said": "Prediction"}
"""Former names with the current ones in ``vcfe_bench.workflows.explain``."""


class _Moved(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from vcfe_bench.workflows.explain import explain

        return explain(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        from vcfe_bench.workflows import explain

        new = RENAMED.get(name, name)
        if new.startswith("__") or not hasattr(explain, new):
            raise AttributeError(f"module 'vcfe_bench.explain' has no attribute {name!r}")
        place = "vcfe_bench.explain" if new == "explain" else f"vcfe_bench.workflows.explain.{new}"
        warnings.warn(f"vcfe_bench.explain.{name} is now {place}", DeprecationWarning, stacklevel=2)
        return getattr(explain, new)


sys.modules[__name__].__class__ = _Moved
