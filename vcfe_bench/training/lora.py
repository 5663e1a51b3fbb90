"""Adapt a generator to a dataset's training split with low-rank adapters (Hu et al., arXiv 2106.09685).

The BTTF paper adapts its generator this way, with one fixed class-agnostic prompt (section 4.1), and states neither
rank nor learning rate nor steps; the defaults follow common recipes for Wan. The objective is flow matching at ``z_s =
(1 - s) z_0 + s ε`` conditioned on the first frame, with logit-normal noise levels s that are shifted like the schedule.
On several processes (``accelerate launch``) each takes a share of the batch; the random numbers are the same as on one
process.
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

    ``network``: the transformer to adapt; for Wan2.2-I2V-A14B ``transformer`` (high noise) or ``transformer_2``.
    ``batch``: clips per update over all processes.
    """

    rank: int = 32
    steps: int = 2000
    batch: int = 4
    lr: float = 1e-4
    network: str = "transformer"
    seed: int = 0


def levels(draws: Tensor, shift: float, bounds: tuple[float, float]) -> Tensor:
    """Noise levels for standard normal ``draws``: logistic function, shifted by ``shift``, mapped to ``bounds``."""
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
        UsageError: the generator does not support the dataset's clips or has no such network, or the batch cannot be
            divided among the processes.
    """
    model = generator.model
    if violation := generator.constraints.violation(dataset.shape):
        raise UsageError(f"generator '{generator.spec}' does not fit dataset '{dataset.spec}': {violation}")
    networks = {name: network for name, network in model.networks().items() if name.startswith("transformer")}
    if recipe.network not in networks:
        raise UsageError(f"the generator has no network '{recipe.network}'; {nearest(recipe.network, networks)}")
    accelerator = Accelerator(cpu=model.device.type == "cpu")
    if recipe.batch % accelerator.num_processes:
        raise UsageError(f"--batch {recipe.batch} cannot be divided among {accelerator.num_processes} processes")
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
        share = slice(accelerator.process_index, None, accelerator.num_processes)
        return flow_loss(generator, dataset, video[share], sigma[share], noise[share])

    averaged = loop.run(
        weights,
        [torch.optim.AdamW(weights.parameters(), lr=recipe.lr, weight_decay=0.01)],
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
    vars(generator).pop("fingerprint")  # cached for the original weights
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
    """Flow loss on the first ``videos`` of the validation split, with fixed noises and noise levels."""
    shift, bounds = getattr(generator.params, "shift", 1.0), generator.model.bounds(network)
    losses = []
    for index in range(min(videos, dataset.size("validation"))):
        draw = torch.Generator().manual_seed(index)
        sigma = levels(torch.randn(1, generator=draw), shift, bounds)
        noise = torch.randn(1, *generator.latent_shape(dataset.shape), generator=draw)
        losses.append(
            float(flow_loss(generator, dataset, dataset.sample("validation", index).video[None], sigma, noise))
        )
    return float(np.mean(losses))


def save(generator: LatentVideoGenerator, transformer: nn.Module, directory: Path) -> None:
    """Write the adapter with its rank and alpha in the format of diffusers.

    It is read by the generator's parameter ``lora`` and by ``load_lora_weights`` of the pipeline.
    """
    generator.model.lora_loader.save_lora_weights(
        directory,
        transformer_lora_layers=get_peft_model_state_dict(transformer),
        **_collate_lora_metadata({"transformer": transformer}),
    )
