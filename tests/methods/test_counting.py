"""Counting the calls of a method does not change its results."""

from __future__ import annotations

import pytest
import torch

from tests.methods.small import Linear, make_queries
from tests.models import tiny_wan
from vcfe_bench.interfaces import Calls, Context, Method
from vcfe_bench.plugins.counted import counted
from vcfe_methods.bttf import BTTF, BTTFParams
from vcfe_methods.classifier_guidance import CGFrame, CGMidParams, CGParams, CGVideo
from vcfe_methods.ldvice import LDViCERA, LDViCERAParams
from vcfe_methods.pgd import PGD, PGDParams
from vcfe_methods.references import Reconstruction


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    generator = tiny_wan.generator(tmp_path_factory.mktemp("wan"))
    return Context(dataset=None, target=Linear(), generator=generator)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "method",
    [
        BTTF(BTTFParams(steps=2, iterations=4, inversion_iterations=1)),
        CGVideo(CGParams(steps=2, scales=(0.0, 2.0))),
        CGFrame(CGMidParams(steps=1, scales=(0.0, 2.0))),
        LDViCERA(LDViCERAParams(steps=2)),
        PGD(PGDParams(steps=3)),
        Reconstruction(),
    ],
    ids=lambda method: type(method).__name__,
)
def test_results_are_the_same_bit_for_bit(context: Context, method: Method) -> None:
    queries = make_queries()
    calls = Calls(len(queries))
    without, with_accounts = method.run(queries, context), method.run(queries, counted(context, calls))
    for one, other in zip(without, with_accounts, strict=True):
        assert torch.equal(one.video, other.video)
        assert {name: str(values) for name, values in one.trace.items()} == {
            name: str(values) for name, values in other.trace.items()
        }
    assert all(calls.spent(row) > 0 for row in range(len(queries)))
