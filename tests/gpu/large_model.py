"""A pipeline in its true shape with random weights: seconds and memory of its passes, and what ``plan`` predicts."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, cast

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor, nn

from vcfe_bench.costs.dry_run import Call
from vcfe_bench.costs.estimate import UTILISATION
from vcfe_bench.costs.gpus import GPUS
from vcfe_bench.costs.networks import Networks
from vcfe_bench.models import latent_video
from vcfe_bench.models.wan import TEXT_TOKENS, Wan, WanModel, WanParams
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.target import Target

PIPELINE = "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
SHAPE = (33, 448, 448)
PASSES = (
    ("velocity", False, "keep"),
    ("velocity", True, "recompute"),
    ("velocity", True, "offload"),
    ("velocity", True, "keep"),
    ("decode", True, "recompute"),
    ("decode", True, "offload"),
)
"""Network, whether there is a backward pass, and ``activations``."""


def measure(device: str, path: str = PIPELINE, shape: tuple[int, int, int] = SHAPE) -> list[dict[str, Any]]:
    """For each of ``PASSES``: seconds, peak GB besides the weights, and what ``plan`` predicts for both.

    ``path`` is a pipeline whose architecture is known; of its files, only configurations are read.
    """
    generator = random_generator(path, torch.device(device))
    rows = []
    for network, backward, activations in PASSES:
        row: dict[str, Any] = {"network": network, "backward": backward, "activations": activations}
        try:
            with _activations(generator, activations):
                row |= _measured(_call(generator, network, shape), backward, torch.device(device))
        except torch.cuda.OutOfMemoryError:
            row["error"] = "out of memory"
            gc.collect()
            torch.cuda.empty_cache()
        rows.append(row | _predicted(path, shape, network, backward, activations, device))
    return rows


def random_generator(path: str, device: torch.device) -> Wan:
    """A Wan with random weights on a device, its transformer in bfloat16."""
    params = WanParams(path=path, activations="keep", device=str(device))
    parts = latent_video.architecture(path)
    with device:
        vae = AutoencoderKLWan.from_config(parts["vae"]).requires_grad_(False).eval()
        with _default_dtype(params.compute_dtype):
            transformer = WanTransformer3DModel.from_config(parts["transformer"])
    exact = set(transformer._keep_in_fp32_modules or [])
    for name, parameter in transformer.named_parameters():
        if exact & set(name.split(".")):
            parameter.data = parameter.data.float()
    latent_video.prepare(transformer, params, device)
    prompt = latent_video.empty_prompt(path, TEXT_TOKENS, transformer.config["text_dim"]).to(device)
    generator = Wan.__new__(Wan)
    Generator.__init__(generator, params)
    generator.model = WanModel(vae, transformer, prompt)
    generator.constraints = generator.model.constraints()
    return generator


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _activations(generator: Wan, setting: str) -> Iterator[None]:
    """The generator with another value of ``activations``."""
    run, transformer = latent_video.RUNS[setting], generator.model.transformer
    before, generator.model.run = generator.model.run, run
    if setting != "keep":
        transformer.enable_gradient_checkpointing(run)
    try:
        yield
    finally:
        transformer.disable_gradient_checkpointing()
        generator.model.run = before


def _call(generator: Wan, network: str, shape: tuple[int, int, int]) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    latent = torch.randn(1, *generator.latent_shape(shape), device=generator.model.device)
    if network == "decode":
        return generator.decode, latent
    condition = generator.condition(None, shape)
    return lambda z: generator.velocity(z, 0.5, condition), latent


def _measured(
    call: tuple[Callable[[Tensor], Tensor], Tensor], backward: bool, device: torch.device
) -> dict[str, float]:
    """Of the second of two passes: the first one chooses kernels."""
    network, latent = call
    latent.requires_grad_(backward)
    for _ in range(2):
        base = _start(device)
        start = perf_counter()
        with torch.set_grad_enabled(backward):
            result = network(latent)
            if backward:
                torch.autograd.grad(result.sum(), latent)
        _wait(device)
        seconds = perf_counter() - start
        del result
    peak = torch.cuda.max_memory_allocated(device) - base if device.type == "cuda" else float("nan")
    return {"seconds": seconds, "peak_gb": peak / 1e9}


def _start(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _predicted(
    path: str, shape: tuple[int, int, int], network: str, backward: bool, activations: str, device: str
) -> dict[str, float | None]:
    """Peak and seconds by ``plan``; seconds are None where it does not know the GPU."""
    networks = Networks(f"wan[path={path},activations={activations}]", cast(Target, nn.Identity()), shape[1:])
    cost = networks.cost(Call(network, shape[0]), 1, backward)
    name = torch.cuda.get_device_name(device).lower() if device.startswith("cuda") else ""
    gpu = next((gpu for key, gpu in GPUS.items() if key.split("-")[0].removeprefix("rtx") in name), None)
    rate = None if gpu is None else gpu.half if network == "velocity" else gpu.single
    seconds = None if rate is None else cost.flops / (rate * 1e12 * UTILISATION)
    return {"planned_seconds": seconds, "planned_peak_gb": cost.peak / 1e9, "tflop": cost.flops / 1e12}
