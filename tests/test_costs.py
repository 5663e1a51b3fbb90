from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models import pipelines
from vcfe_bench.core.errors import UsageError
from vcfe_bench.costs import estimate
from vcfe_bench.costs.estimate import Memory, MethodCost
from vcfe_bench.costs.gpus import GPU
from vcfe_bench.costs.meter import Meter, Networks
from vcfe_bench.costs.rehearsal import Call, Tally, rehearse
from vcfe_bench.models.wan import Wan
from vcfe_bench.plugins.registry import GENERATORS
from vcfe_bench.runs.setup import Request, resolve
from vcfe_methods.bttf import BTTF, BTTFParams
from vcfe_methods.ldvice import LDViCE, LDViCEParams
from vcfe_methods.pgd import PGD, PGDParams

SHAPE = (9, 64, 64)


@pytest.fixture
def setup():
    return resolve(Request(("toy_half",), "toy_lights", generator="none"))


def _rehearse(method, setup) -> Tally:
    return rehearse(method, setup, GENERATORS.build("toy_blocks"), frames=5)


def _per_video(tally: Tally, network: str, width: int) -> tuple[float, float]:
    calls = [call for call in tally.forward if call.network == network]
    return sum(tally.forward[c] for c in calls) / width, sum(tally.backward[c] for c in calls) / width


@pytest.mark.parametrize("mode", ["total", "per_n"])
def test_bttf_is_counted_to_its_last_iteration(setup, mode):
    params = BTTFParams(steps=3, iterations=6, kc_mode=mode, inversion_iterations=2)
    method = BTTF(params)
    tally = _rehearse(method, setup)
    iterations = sum(iterations for _, iterations in params.schedule())
    starts = 1 + (iterations - 1) // params.patience
    steps = sum(n * iterations for n, iterations in params.schedule()) + 2 * starts
    assert _per_video(tally, "velocity", method.width) == (2 * steps + 3, steps)
    assert _per_video(tally, "target", method.width) == (iterations, iterations)
    assert _per_video(tally, "decode", method.width) == (iterations + 1, iterations)
    assert _per_video(tally, "encode", method.width) == (1, 0)


def test_pgd_asks_the_target_alone(setup):
    method = PGD(PGDParams(steps=7))
    tally = _rehearse(method, setup)
    assert {call.network for call in tally.forward} == {"target"}
    assert _per_video(tally, "target", method.width) == (7, 7)


def test_ldvice_goes_back_through_the_decoder_alone(setup):
    method = LDViCE(LDViCEParams(steps=4))
    tally = _rehearse(method, setup)
    assert _per_video(tally, "velocity", method.width) == (4, 0)
    assert _per_video(tally, "decode", method.width)[1] == 4


def test_peak_memory_of_a_chain_is_two_of_its_links():
    start = torch.zeros(1000)
    with Meter() as memory:
        link = start + 1
        for _ in range(5):
            link = link + 1
        link.view(10, 100)[0].mul_(2)
    assert memory.peak == 2 * 4000
    assert memory.held == 4000
    del link
    assert memory.held == 0


def test_peak_memory_holds_what_the_way_back_needs():
    weights = torch.eye(10)
    start = torch.zeros(10, 10, requires_grad=True)
    with Meter() as memory:
        link = start
        for _ in range(4):
            link = (link @ weights).sigmoid()
    assert memory.held == 4 * 400


def _measured(work) -> int:
    """Greatest number of bytes that torch's allocator gave out meanwhile and did not yet get back."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("wan")
    transformer = pipelines.wan_transformer(num_attention_heads=4, attention_head_dim=24, ffn_dim=256, num_layers=4)
    pipelines.wan(transformer=transformer, vae=pipelines.wan_vae(base_dim=8)).save_pretrained(directory)
    return directory


@pytest.mark.parametrize(
    ("network", "backward", "activations"),
    [
        ("velocity", False, "keep"),
        ("velocity", True, "keep"),
        ("velocity", True, "recompute"),
        ("decode", True, "keep"),
    ],
)
def test_the_memory_model_is_near_measured_peaks(directory, network, backward, activations):
    """Two videos at once: for one, torch's CPU convolutions unfold their input, which no GPU does."""
    shape = (5, 64, 64)
    settings = f"path={directory},dtype=float32,device=cpu,activations={activations}"
    expected = Networks(f"wan[{settings}]", nn.Identity(), shape[1:]).price(Call(network, shape[0]), 2, backward).peak
    generator = Wan(Wan.Params(path=str(directory), dtype="float32", device="cpu", activations=activations))
    latent = torch.randn(2, *generator.latent_shape(shape), requires_grad=backward)
    condition = generator.condition(None, shape)

    def work():
        with torch.set_grad_enabled(backward):
            result = generator.decode(latent) if network == "decode" else generator.velocity(latent, 0.5, condition)
            if backward:
                torch.autograd.grad(result.sum(), latent)

    assert expected == pytest.approx(_measured(work), rel=0.15)


@pytest.mark.parametrize("network", ["velocity", "decode"])
def test_offloaded_activations_need_less_memory_of_the_device(directory, network):
    peaks = {}
    for activations in ("recompute", "offload"):
        spec = f"wan[path={directory},dtype=float32,activations={activations}]"
        peaks[activations] = Networks(spec, nn.Identity(), (32, 32)).price(Call(network, 9), 1, True).peak
    assert peaks["offload"] < peaks["recompute"]


def test_arithmetic_of_a_wan_block_is_the_closed_form(tmp_path):
    """Two blocks of the 14B model at 33x448x448: projections, attention over 7056 tokens, 769 of context, and MLP."""
    config = {**costs_config(), "num_layers": 2}
    for part, content in (("transformer", config), ("vae", {})):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(content))
    networks = Networks(f"wan[path={tmp_path}]", nn.Identity(), (448, 448))
    tokens, width, context, hidden = 9 * 28 * 28, 5120, 512 + 257, 13824
    block = (
        8 * tokens * width**2
        + 4 * tokens**2 * width
        + 4 * tokens * width**2
        + 4 * context * width**2
        + 4 * tokens * context * width
        + 4 * tokens * width * hidden
    )
    ahead = networks.price(Call("velocity", 33), 1, backward=False).flops
    assert ahead == pytest.approx(2 * block, rel=0.02)
    assert 20 * ahead == pytest.approx(0.217e15, rel=0.03)
    # with recomputed activations: forward, forward again, and once more towards the inputs (attention twice)
    back = networks.price(Call("velocity", 33), 1, backward=True).flops
    assert 2.9 * ahead < back < 3.5 * ahead


def costs_config() -> dict:
    from vcfe_bench.models.latent_video import architecture

    return architecture("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers")["transformer"]


def test_hours_are_operations_over_what_a_gpu_does():
    cost = MethodCost("any", 10, flops={"velocity": 3.6e15, "decode": 1.8e15})
    gpu = GPU(80, half=200, single=100)
    assert cost.hours(gpu, "bfloat16") == pytest.approx(10 * (18 + 18) / estimate.UTILISATION / 3600)
    assert cost.hours(gpu, "float32") == pytest.approx(10 * (36 + 18) / estimate.UTILISATION / 3600)


def test_decoder_and_target_are_needed_at_the_same_time():
    memory = Memory({"transformer": 10**9}, {"velocity": 2 * 10**9, "decode": 15 * 10**8, "target": 10**9})
    assert memory.needed == pytest.approx(estimate.RESERVE * 3.5)


@pytest.mark.parametrize(
    ("memory", "advice"),
    [
        (90, "fits"),
        (60, "needs 80 GB; with --generator 'change 0' it needs 50 GB and fits"),
        (45, "needs 80 GB; with --generator 'change 1' it needs 40 GB and fits"),
        (35, "needs 80 GB; with --generator 'change 2' it needs 30 GB and fits"),
        (10, "needs 80 GB: take smaller clips, or a GPU with more memory"),
    ],
)
def test_what_does_not_fit_is_told_the_first_change_that_helps(memory, advice):
    def needs(size: float) -> Memory:
        return Memory({"transformer": round(size * 1e9 / estimate.RESERVE)}, {})

    changes = [partial(lambda k, size: (f"change {k}", needs(size)), *pair) for pair in enumerate((50, 40, 30, 20))]
    assert estimate.advise(needs(80), GPU(memory, 1, 1), changes) == advice


def test_changes_are_those_of_the_generators_spec(setup, directory):
    spec = f"wan[activations=keep,dtype=bfloat16,path={directory}]"
    tally = Tally()
    tally.count(torch.zeros(2, 1, requires_grad=True), Call("velocity", SHAPE[0])).sum().backward()
    networks = Networks(spec, setup.target, SHAPE[1:])
    memory = Memory(networks.weights(), {**networks.peaks([tally]), "decode": 1})
    changes = estimate.lighter(networks, setup.target, SHAPE, [tally], memory)
    (recompute, less), (_, least), (float8, fewer) = (change() for change in changes[:3])
    assert recompute == f"wan[activations=recompute,dtype=bfloat16,path={directory}]"
    assert float8 == f"wan[activations=recompute,dtype=bfloat16,path={directory},storage=float8]"
    assert less.peaks["velocity"] < memory.peaks["velocity"]
    assert less.weights == memory.weights
    assert fewer.weights["transformer"] < 0.8 * memory.weights["transformer"]
    assert fewer.peaks["decode"] == 1
    assert least.peaks["velocity"] < less.peaks["velocity"]
    already = Networks(recompute, setup.target, SHAPE[1:])
    assert len(estimate.lighter(already, setup.target, SHAPE, [tally], less)) == len(changes) - 1


def test_an_estimate_adds_up(setup, directory):
    """One task of BTTF with one step and one iteration: two velocities ahead, one back, and one to show the result."""
    spec = f"wan[path={directory},dtype=float32,activations=keep]"
    asked = Request(("bttf[steps=1,iterations=1]",), "toy_lights", limit=2, generator=spec)
    found = estimate.estimate(asked, ("a100-80gb",), (1, 32, 32))
    cost = next(cost for cost in found.methods if cost.method.startswith("bttf"))
    assert (cost.tasks, cost.lack) == (2, "")
    assert cost.calls["velocity"] == (3, 1)
    networks = Networks(spec, nn.Identity(), (32, 32))
    call = Call("velocity", 1)
    ahead, both = (networks.price(call, 1, backward).flops for backward in (False, True))
    assert cost.flops["velocity"] == pytest.approx(2 * ahead + both)
    network = Wan(Wan.Params(path=str(directory), dtype="float32", device="cpu")).model.transformer
    assert found.memory.weights["transformer"] == sum(t.nbytes for t in [*network.parameters(), *network.buffers()])
    assert found.advice == {"a100-80gb": "fits"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gpus": ("a100",)}, "unknown GPU 'a100'"),
        ({"shape": (10, 64, 64)}, "does not fit clips of 10x64x64"),
    ],
)
def test_bad_wishes_are_refused(directory, arguments, message):
    asked = Request(("bttf",), "toy_lights", generator=f"wan[path={directory}]")
    with pytest.raises(UsageError, match=message):
        estimate.estimate(asked, **arguments)


def test_an_unknown_pipeline_is_refused():
    with pytest.raises(UsageError, match="neither a pipeline directory nor one of Wan-AI"):
        Networks("wan[path=nowhere]", nn.Identity(), (64, 64))
