"""Adapt a generator to a dataset's training split by low-rank adapters (Hu et al., arXiv 2106.09685).

The BTTF paper adapts its generator so, under one fixed class-agnostic prompt (section 4.1), and states neither rank nor
rate nor steps; the defaults follow common recipes for Wan. The objective is flow matching at
``z_s = (1 - s) z_0 + s ε`` under the first frame, the noise level s being a logit-normal draw shifted as the schedule
is. On several processes (``accelerate launch``) each takes its share of the batch; the draws are those of one process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import _collate_lora_metadata, cast_training_params
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.models.latent_video import LatentVideoGenerator
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.training import loop
from vcfe_bench.training.data import clips


@dataclass(frozen=True)
class LoRARecipe:
    """``rank`` is also the adapters' alpha, so that their scale is 1.

    ``network``: which transformer is adapted; for Wan2.2-I2V-A14B ``transformer`` (high noise) or ``transformer_2``.
    ``batch``: clips per update over all processes.
    """

    rank: int = 32
    steps: int = 2000
    batch: int = 4
    rate: float = 1e-4
    network: str = "transformer"
    seed: int = 0


def levels(draws: Tensor, shift: float, bounds: tuple[float, float]) -> Tensor:
    """Noise levels of standard normal ``draws``: logistic, shifted by ``shift``, then inside ``bounds``."""
    u = torch.sigmoid(draws)
    low, high = bounds
    return low + (high - low) * shift * u / (1 + (shift - 1) * u)


def train(
    dataset: Dataset,
    generator: LatentVideoGenerator,
    folder: Path,
    recipe: LoRARecipe = LoRARecipe(),
    log: Callable[[str], None] = print,
) -> nn.Module:
    """Adapt ``generator`` in place, resuming from ``folder``; returns the adapted transformer.

    Raises:
        UsageError: the dataset's clips do not fit the generator, it has no such network, or the batch no equal shares.
    """
    model = generator.model
    if violation := generator.constraints.violation(dataset.shape):
        raise UsageError(f"generator '{generator.spec}' does not fit dataset '{dataset.spec}': {violation}")
    networks = {name: network for name, network in model.networks().items() if name.startswith("transformer")}
    if recipe.network not in networks:
        raise UsageError(f"the generator has no network '{recipe.network}'; {nearest(recipe.network, networks)}")
    accelerator = Accelerator(cpu=model.device.type == "cpu")
    if recipe.batch % accelerator.num_processes:
        raise UsageError(f"--batch {recipe.batch} cannot be shared by {accelerator.num_processes} processes")
    before = generator.fingerprint
    transformer = networks[recipe.network]
    torch.manual_seed(recipe.seed)
    transformer.add_adapter(
        LoraConfig(
            r=recipe.rank, lora_alpha=recipe.rank, init_lora_weights="gaussian", target_modules=list(model.adapted)
        )
    )
    cast_training_params(transformer, dtype=torch.float32)
    weights = nn.ParameterList(p for p in transformer.parameters() if p.requires_grad)
    if accelerator.num_processes > 1:
        for weight in weights:
            weight.register_post_accumulate_grad_hook(lambda w: w.grad.copy_(accelerator.reduce(w.grad, "mean")))
    shift, bounds = getattr(generator.params, "shift", 1.0), model.bounds(recipe.network)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        video = clips(dataset, rng, recipe.batch, dataset.shape[0])
        sigma = levels(torch.randn(recipe.batch), shift, bounds)
        noise = torch.randn(recipe.batch, *generator.latent_shape(dataset.shape))
        mine = slice(accelerator.process_index, None, accelerator.num_processes)
        return flow_loss(generator, dataset, video[mine], sigma[mine], noise[mine])

    averaged = loop.run(
        weights,
        [torch.optim.AdamW(weights.parameters(), lr=recipe.rate, weight_decay=0.01)],
        loss,
        loop.Schedule(recipe.steps, warmup=min(100, recipe.steps // 10 + 1)),
        folder / f"lora-{accelerator.process_index}.pt",
        identity=f"{dataset.spec} {before} {recipe}",
        seed=recipe.seed,
        ema=0.99,
        every=50,
        log=log if accelerator.is_main_process else lambda line: None,
    )
    with torch.no_grad():
        for weight, average in zip(weights, averaged, strict=True):
            weight.copy_(average)
    vars(generator).pop("fingerprint")  # that of the weights before
    return transformer


def flow_loss(generator: LatentVideoGenerator, dataset: Dataset, video: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of the velocity for clips ``[B, T, 3, H, W]`` at ``sigma [B]``."""
    model = generator.model
    with torch.no_grad():
        latent = model.encode(video.to(model.device))
        condition = model.condition(video[:, 0], dataset.shape)
    sigma, noise = sigma.to(latent), noise.to(latent)
    level = sigma.view(-1, 1, 1, 1, 1)
    velocity = model.velocity((1 - level) * latent + level * noise, sigma, condition)
    return (velocity - (noise - latent)).square().mean()


@torch.no_grad()
def held_out_loss(
    generator: LatentVideoGenerator, dataset: Dataset, network: str = "transformer", videos: int = 64
) -> float:
    """Flow loss on the first ``videos`` of the test split, at noises and noise levels that are always the same."""
    shift, bounds = getattr(generator.params, "shift", 1.0), generator.model.bounds(network)
    losses = []
    for index in range(min(videos, dataset.size("test"))):
        draw = torch.Generator().manual_seed(index)
        sigma = levels(torch.randn(1, generator=draw), shift, bounds)
        noise = torch.randn(1, *generator.latent_shape(dataset.shape), generator=draw)
        losses.append(float(flow_loss(generator, dataset, dataset.sample("test", index).video[None], sigma, noise)))
    return float(np.mean(losses))


def save(generator: LatentVideoGenerator, transformer: nn.Module, directory: Path) -> None:
    """Write the adapter, rank and alpha included, as diffusers does.

    ``lora=`` of the generator and ``load_lora_weights`` of its pipeline read it.
    """
    generator.model.lora_loader.save_lora_weights(
        directory,
        transformer_lora_layers=get_peft_model_state_dict(transformer),
        **_collate_lora_metadata({"transformer": transformer}),
    )
