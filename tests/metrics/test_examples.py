"""The examples in the docstrings of metrics are right."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from vcfe_bench import metrics

FAMILIES = [module.name for module in pkgutil.iter_modules(metrics.__path__, "vcfe_bench.metrics.")]


@pytest.mark.parametrize("family", FAMILIES)
def test_examples_in_docstrings(family: str) -> None:
    assert doctest.testmod(importlib.import_module(family)).failed == 0


def test_there_are_examples() -> None:
    found = [doctest.DocTestFinder().find(importlib.import_module(family)) for family in FAMILIES]
    assert sum(bool(test.examples) for tests in found for test in tests) >= 10
