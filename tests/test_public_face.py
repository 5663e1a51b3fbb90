"""What is imported from ``vcfe_bench`` itself, and where things used to be."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

import vcfe_bench
from vcfe_bench.workflows import explain as workflow


def isolated(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_explain_is_a_function_and_loads_nothing_before_it_is_used() -> None:
    code = "import sys, vcfe_bench; print('torch' in sys.modules); print(vcfe_bench.explain.__module__)"
    assert isolated(code).split() == ["False", "vcfe_bench.workflows.explain"]


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        vcfe_bench.absent  # noqa: B018


def test_the_former_module_still_serves_with_a_warning() -> None:
    import vcfe_bench.explain as former

    places = {
        "Wish": workflow.ExplainRequest,
        "Said": workflow.Prediction,
        "Prepared": workflow.Prepared,
        "Explained": workflow.Explained,
        "video": workflow.explain,
    }
    for name, here in places.items():
        with pytest.warns(DeprecationWarning, match=rf"vcfe_bench.explain.{name} is now vcfe_bench\."):
            assert getattr(former, name) is here
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AttributeError):
            _ = former.nothing


def test_the_former_module_is_called_like_the_function() -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from vcfe_bench.explain import video, Wish\n"
        "from vcfe_bench import explain\n"
        "from vcfe_bench.workflows.explain import explain as function\n"
        "print(callable(explain), video is function)"
    )
    assert isolated(code).split() == ["True", "True"]
