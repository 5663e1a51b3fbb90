"""No method exceeds its budget, whatever the prices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.methods.small import Linear, make_queries, passes
from tests.methods.toy_generator import ToyGenerator
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Calls, Context
from vcfe_bench.plugins.counted import counted
from vcfe_bench.plugins.registry import METHODS
from vcfe_methods.noise_search import NoiseSearch

SPECS = (
    "bttf[steps=2,iterations=2,inversion_iterations=2,width=4]",
    "bttf_restarts[steps=2,iterations=6,inversion_iterations=1,patience=2,width=4]",
    "random_draws[steps=2,draws=3]",
    "nearest_draw[steps=2,draws=3]",
    "local_draws[steps=2,draws=3,rounds=1]",
    "cg_video[steps=2,scales=[0.1,0.2]]",
    "cg_video_mid[steps=2,scales=[0.1,0.2],through=decoder]",
    "cg_frame[steps=1,scales=[0.1,0.2]]",
    "ldvice[steps=2]",
    "ldvice_ra[steps=2,through=full]",
    "pgd[steps=3]",
)
NETWORKS = ("velocity", "encode", "decode", "condition", "target")


def _context(keeps_graph: bool = False) -> Context:
    generator = ToyGenerator()
    generator.keeps_graph = keeps_graph
    return Context(dataset=None, target=Linear(), generator=generator)


@settings(max_examples=40, deadline=None)
@given(
    spec=st.sampled_from(SPECS),
    prices=st.fixed_dictionaries({name: st.floats(0.5, 4) for name in NETWORKS}),
    budget=st.floats(0.5, 60),
    keeps_graph=st.booleans(),
)
def test_no_method_exceeds_its_budget(spec, prices, budget, keeps_graph):
    method, queries = METHODS.build(spec), make_queries()
    calls = Calls(len(queries), lambda network, row: prices[network], budget)
    try:
        results = method.run(queries, counted(_context(keeps_graph), calls))
    except UsageError:
        assert all(calls.spent(row) == 0 for row in range(len(queries)))
        return
    assert all(calls.spent(row) <= budget * (1 + 1e-9) for row in range(len(queries)))
    assert all(torch.isfinite(explanation.video).all() for explanation in results)


@pytest.mark.parametrize("keeps_graph", [False, True])
@pytest.mark.parametrize("stage", ["inversion", "counterfactual"])
def test_the_cost_of_an_iteration_is_what_is_charged(stage, keeps_graph):
    queries = make_queries()
    calls = Calls(len(queries), lambda network, row: 1 + NETWORKS.index(network))
    search = NoiseSearch(queries, counted(_context(keeps_graph), calls), 1.0, 3, True)
    before = calls.spent(0)
    search.iterate(stage, 3, torch.zeros(len(queries), *search.latent_shape))
    assert calls.spent(0) - before == search.cost(stage, 3)


@pytest.mark.parametrize("spec", SPECS)
def test_an_ample_budget_changes_nothing(spec):
    method, queries = METHODS.build(spec), make_queries()
    if "draw" in spec:
        pytest.skip("draws are made as long as the budget lasts")
    free, counts = passes(method, queries, _context())
    results = method.run(queries, counted(_context(), Calls(len(queries), budget=1e6)))
    assert all(torch.equal(a.video, b.video) for a, b in zip(free, results, strict=True))
    assert all(counts)


@pytest.mark.parametrize(
    "spec",
    [
        "cg_video[steps=2,scales=[0.0,0.1]]",
        "cg_frame[steps=1,scales=[0.0,0.1]]",
        "pgd[steps=3]",
        "ldvice[steps=2]",
        "ldvice_ra[steps=2]",
    ],
)
def test_a_method_with_a_fixed_number_of_calls_runs_with_just_that_budget(spec):
    method, queries = METHODS.build(spec), make_queries(goals=(0, 0, 0, 0))
    spent = Calls(len(queries))
    unlimited = method.run(queries, counted(_context(), spent))
    fits = max(spent.spent(row) for row in range(len(queries)))
    calls = Calls(len(queries), budget=fits)
    results = method.run(queries, counted(_context(), calls))
    assert all(torch.equal(a.video, b.video) for a, b in zip(unlimited, results, strict=True))
    with pytest.raises(UsageError, match=r"at least .* --budget"):
        method.run(queries, counted(_context(), Calls(len(queries), budget=2)))
