from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models import pipelines
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.meter import Meter
from vcfe_bench.costs.dry_run import Call, Tally, dry_run
from vcfe_bench.costs.estimate import RESERVE, UTILISATION, Memory, MethodCost, advise, estimate, lighter
from vcfe_bench.costs.gpus import GPU
from vcfe_bench.costs.networks import Networks
from vcfe_bench.models.wan import Wan
from vcfe_bench.plugins.registry import GENERATORS
from vcfe_bench.runs.setup import Request, resolve
from vcfe_methods.bttf import BTTF, BTTFParams
from vcfe_methods.bttf_restarts import BTTFRestarts, BTTFRestartsParams
from vcfe_methods.ldvice import LDViCE, LDViCEParams
from vcfe_methods.pgd import PGD, PGDParams
from vcfe_methods.random_draws import DrawParams, RandomDraws

SHAPE = (9, 64, 64)


@pytest.fixture
def setup():
    return resolve(Request(("toy_half",), "toy_lights", generator="none"))


def _tally(method, setup) -> Tally:
    return dry_run(method, setup, GENERATORS.build("toy_blocks"), frames=5)


def _per_video(tally: Tally, network: str, width: int) -> tuple[float, float]:
    calls = [call for call in tally.forward if call.network == network]
    return sum(tally.forward[c] for c in calls) / width, sum(tally.backward[c] for c in calls) / width


@pytest.mark.parametrize("mode", ["total", "per_n"])
def test_bttf_is_counted_to_its_last_iteration(setup, mode):
    params = BTTFParams(steps=3, iterations=6, kc_mode=mode, inversion_iterations=2)
    method = BTTF(params)
    tally = _tally(method, setup)
    iterations = sum(iterations for _, iterations in params.schedule())
    steps = sum(n * iterations for n, iterations in params.schedule()) + 2
    assert _per_video(tally, "velocity", method.width) == (2 * steps + 3, steps)
    assert _per_video(tally, "target", method.width) == (iterations, iterations)
    assert _per_video(tally, "decode", method.width) == (iterations + 1, iterations)
    assert _per_video(tally, "encode", method.width) == (1, 0)


def test_every_restart_of_bttf_is_counted(setup):
    params = BTTFRestartsParams(steps=3, iterations=31, inversion_iterations=2, patience=15)
    method = BTTFRestarts(params)
    tally = _tally(method, setup)
    starts = 3
    steps = sum(n * iterations for n, iterations in params.schedule()) + 2 * starts
    assert _per_video(tally, "velocity", method.width) == (2 * steps + 3, steps)


def test_all_draws_are_counted(setup):
    method = RandomDraws(DrawParams(steps=2, draws=5))
    assert _per_video(_tally(method, setup), "velocity", method.width) == (10, 0)


def test_pgd_calls_only_the_target(setup):
    method = PGD(PGDParams(steps=7))
    tally = _tally(method, setup)
    assert {call.network for call in tally.forward} == {"target"}
    assert _per_video(tally, "target", method.width) == (7, 7)


def test_ldvice_differentiates_only_the_decoder(setup):
    method = LDViCE(LDViCEParams(steps=4))
    tally = _tally(method, setup)
    assert _per_video(tally, "velocity", method.width) == (4, 0)
    assert _per_video(tally, "decode", method.width)[1] == 4


def test_peak_memory_of_a_chain_is_that_of_two_links():
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


def test_peak_memory_includes_what_the_backward_pass_needs():
    weights = torch.eye(10)
    start = torch.zeros(10, 10, requires_grad=True)
    with Meter() as memory:
        link = start
        for _ in range(4):
            link = (link @ weights).sigmoid()
    assert memory.held == 4 * 400


def _measured(work) -> int:
    """Peak number of bytes allocated by torch during ``work``, from its profiler."""
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
def test_estimated_memory_is_close_to_measured_peaks(directory, network, backward, activations):
    """The batch has two videos: with one, CPU convolutions of torch unfold their input, unlike those on a GPU."""
    shape = (5, 64, 64)
    settings = f"path={directory},dtype=float32,device=cpu,activations={activations}"
    expected = Networks(f"wan[{settings}]", nn.Identity(), shape[1:]).cost(Call(network, shape[0]), 2, backward).peak
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
def test_offloaded_activations_need_less_memory_on_the_device(directory, network):
    peaks = {}
    for activations in ("recompute", "offload"):
        spec = f"wan[path={directory},dtype=float32,activations={activations}]"
        peaks[activations] = Networks(spec, nn.Identity(), (32, 32)).cost(Call(network, 9), 1, True).peak
    assert peaks["offload"] < peaks["recompute"]


def test_operations_of_a_wan_block_equal_the_closed_form(tmp_path):
    """Two blocks of the 14B model at 33x448x448: projections, attention over 7056 tokens and 769 of context, MLP."""
    config = {**_wan_14b(), "num_layers": 2}
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
    forward = networks.cost(Call("velocity", 33), 1, backward=False).flops
    assert forward == pytest.approx(2 * block, rel=0.02)
    assert 20 * forward == pytest.approx(0.217e15, rel=0.03)
    # with recomputed activations: two forward passes, and a gradient with respect to the inputs (attention twice)
    both = networks.cost(Call("velocity", 33), 1, backward=True).flops
    assert 2.9 * forward < both < 3.5 * forward


def _wan_14b() -> dict:
    from vcfe_bench.models.latent_video import architecture

    return architecture("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers")["transformer"]


def test_hours_are_operations_over_the_throughput_of_the_gpu():
    cost = MethodCost("any", 10, flops={"velocity": 3.6e15, "decode": 1.8e15})
    gpu = GPU(80, half=200, single=100)
    assert cost.hours(gpu, "bfloat16") == pytest.approx(10 * (18 + 18) / UTILISATION / 3600)
    assert cost.hours(gpu, "float32") == pytest.approx(10 * (36 + 18) / UTILISATION / 3600)


def test_peaks_of_decoder_and_target_add_up():
    memory = Memory({"transformer": 10**9}, {"velocity": 2 * 10**9, "decode": 15 * 10**8, "target": 10**9})
    assert memory.needed == pytest.approx(RESERVE * 3.5)


@pytest.mark.parametrize(
    ("memory", "advice"),
    [
        (90, "fits"),
        (60, "needs 80 GB; with --generator 'change 0' it needs 50 GB and fits"),
        (45, "needs 80 GB; with --generator 'change 1' it needs 40 GB and fits"),
        (35, "needs 80 GB; with --generator 'change 2' it needs 30 GB and fits"),
        (10, "needs 80 GB: use smaller clips or a GPU with more memory"),
    ],
)
def test_advice_is_the_first_change_with_which_the_run_fits(memory, advice):
    def needs(size: float) -> Memory:
        return Memory({"transformer": round(size * 1e9 / RESERVE)}, {})

    changes = [partial(lambda k, size: (f"change {k}", needs(size)), *pair) for pair in enumerate((50, 40, 30, 20))]
    assert advise(needs(80), GPU(memory, 1, 1), changes) == advice


def test_changes_extend_the_spec_of_the_generator(setup, directory):
    spec = f"wan[activations=keep,dtype=bfloat16,path={directory}]"
    tally = Tally()
    tally.count(torch.zeros(2, 1, requires_grad=True), Call("velocity", SHAPE[0])).sum().backward()
    networks = Networks(spec, setup.target, SHAPE[1:])
    memory = Memory(networks.weights(), {**networks.peaks([tally]), "decode": 1})
    changes = lighter(networks, setup.target, SHAPE, [tally], memory)
    (recompute, less), (_, least), (float8, fewer) = (change() for change in changes[:3])
    assert recompute == f"wan[activations=recompute,dtype=bfloat16,path={directory}]"
    assert float8 == f"wan[activations=recompute,dtype=bfloat16,path={directory},storage=float8]"
    assert less.peaks["velocity"] < memory.peaks["velocity"]
    assert less.weights == memory.weights
    assert fewer.weights["transformer"] < 0.8 * memory.weights["transformer"]
    assert fewer.peaks["decode"] == 1
    assert least.peaks["velocity"] < less.peaks["velocity"]
    already = Networks(recompute, setup.target, SHAPE[1:])
    assert len(lighter(already, setup.target, SHAPE, [tally], less)) == len(changes) - 1


def test_an_estimate_adds_up(setup, directory):
    """BTTF with one step and one iteration: two forward passes and one backward, and a forward pass for the result."""
    spec = f"wan[path={directory},dtype=float32,activations=keep]"
    request = Request(("bttf[steps=1,iterations=1,inversion=false]",), "toy_lights", limit=2, generator=spec)
    result = estimate(request, ("a100-80gb",), (1, 32, 32))
    cost = next(cost for cost in result.methods if cost.method.startswith("bttf"))
    assert (cost.tasks, cost.reason) == (2, "")
    assert cost.calls["velocity"] == (3, 1)
    networks = Networks(spec, nn.Identity(), (32, 32))
    call = Call("velocity", 1)
    forward, both = (networks.cost(call, 1, backward).flops for backward in (False, True))
    assert cost.flops["velocity"] == pytest.approx(2 * forward + both)
    network = Wan(Wan.Params(path=str(directory), dtype="float32", device="cpu")).model.transformer
    assert result.memory.weights["transformer"] == sum(t.nbytes for t in [*network.parameters(), *network.buffers()])
    assert result.advice == {"a100-80gb": "fits"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gpus": ("a100",)}, "unknown GPU 'a100'"),
        ({"shape": (10, 64, 64)}, "does not fit clips of 10x64x64"),
    ],
)
def test_unknown_gpus_and_unfit_shapes_are_errors(directory, arguments, message):
    request = Request(("bttf",), "toy_lights", generator=f"wan[path={directory}]")
    with pytest.raises(UsageError, match=message):
        estimate(request, **arguments)


def test_an_unknown_pipeline_is_an_error():
    with pytest.raises(UsageError, match="neither a pipeline directory nor one of Wan-AI"):
        Networks("wan[path=nowhere]", nn.Identity(), (64, 64))
