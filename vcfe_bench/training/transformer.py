"""Train a small Wan transformer by flow matching, on latents of a frozen autoencoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor

from vcfe_bench.core.weights import fingerprint
from vcfe_bench.models.wan import WanCondition, WanModel
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.training import loop, muon
from vcfe_bench.training.vae import TOKEN


@dataclass(frozen=True)
class TransformerRecipe:
    """Architecture and schedule.

    Noise levels are logit-normal(``mean``, ``deviation``), biased towards high noise, where the direction of motion is
    determined. Matrices of the blocks are updated with Muon, everything else with AdamW. ``blind`` is the share of
    clips whose first frame is dropped, so that the model also works without a condition. ``pool`` training clips, or as
    many as there are, are encoded once.
    """

    heads: int = 3
    head_width: int = 64
    layers: int = 6
    feed_forward: int = 768
    text_width: int = 32
    steps: int = 5000
    batch: int = 16
    pool: int = 12288
    lr: float = 1e-3
    mean: float = 0.6
    deviation: float = 1.2
    blind: float = 0.05
    seed: int = 0

    def of(self, steps: int) -> TransformerRecipe:
        """The same recipe with ``steps`` updates, and no more clips than these use."""
        return replace(self, steps=steps, pool=min(self.pool, steps * self.batch))


CONTINUED = TransformerRecipe(steps=2500)
"""For fine-tuning a transformer that was trained on another dataset."""


def build(recipe: TransformerRecipe, vae: AutoencoderKLWan) -> WanModel:
    """An untrained transformer on ``vae``'s latents; its prompt is one fixed random token."""
    torch.manual_seed(recipe.seed)
    channels = vae.config["z_dim"]
    patch = max(1, TOKEN // vae.config["scale_factor_spatial"])
    transformer = WanTransformer3DModel(
        patch_size=(1, patch, patch),
        num_attention_heads=recipe.heads,
        attention_head_dim=recipe.head_width,
        in_channels=2 * channels + vae.config["scale_factor_temporal"],
        out_channels=channels,
        text_dim=recipe.text_width,
        freq_dim=128,
        ffn_dim=recipe.feed_forward,
        num_layers=recipe.layers,
    )
    return WanModel(vae, transformer, torch.randn(1, 1, recipe.text_width))


@torch.no_grad()
def encode_pool(
    model: WanModel, dataset: Dataset, count: int, folder: Path, log: Callable[[str], None]
) -> dict[str, Tensor]:
    """Latents and condition latents ``[count, C, t, h, w]`` of the first ``count`` training videos, cached on disk."""
    name = hashlib.sha256(f"{dataset.spec}-{count}-{fingerprint(model.vae)}".encode()).hexdigest()[:12]
    file = folder / f"latents-{name}.pt"
    if file.exists():
        return torch.load(file, weights_only=True)
    latents, conditions = [], []
    with torch.autocast("cpu", torch.bfloat16):
        for first in range(0, count, 32):
            video = torch.stack([dataset.sample("train", i).video for i in range(first, min(first + 32, count))])
            latents.append(model.encode(video).half())
            conditions.append(model.condition(video[:, 0], dataset.shape).latent.half())
            if first % 1024 == 0:
                log(f"encoded {first} of {count} clips")
    pool = {"latent": torch.cat(latents), "condition": torch.cat(conditions)}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(pool, file)
    return pool


def flow_loss(model: WanModel, latent: Tensor, condition: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of the velocity at ``(1 - s) z_0 + s ε``, for ``sigma [B]``."""
    level = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - level) * latent + level * noise
    with torch.autocast("cpu", torch.bfloat16):
        velocity = model.velocity(noisy, sigma, WanCondition(condition))
    return (velocity - (noise - latent)).square().mean()


def train(
    dataset: Dataset,
    vae: AutoencoderKLWan,
    folder: Path,
    recipe: TransformerRecipe = TransformerRecipe(),
    log: Callable[[str], None] = print,
    start: WanModel | None = None,
) -> WanModel:
    """Train, resuming from ``folder``; returns the frozen model with averaged weights.

    ``start``: a model to start from, whose prompt and whose parameters of the same name and shape are taken; it is not
    modified.
    """
    muon.require_muon()
    model = build(recipe, vae)
    if start:
        own, given = model.transformer.state_dict(), start.transformer.state_dict()
        shared = {name: given[name] for name in own.keys() & given.keys() if given[name].shape == own[name].shape}
        model.transformer.load_state_dict(own | shared)
        model.prompt = start.prompt.clone()
    model.transformer.train().requires_grad_(True)
    pool = encode_pool(model, dataset, min(recipe.pool, dataset.size("train")), folder, log)
    with torch.no_grad():
        unconditional = model.condition(None, dataset.shape).latent

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        rows = torch.from_numpy(rng.integers(len(pool["latent"]), size=recipe.batch))
        latent, condition = pool["latent"][rows].float(), pool["condition"][rows].float()
        condition[torch.rand(recipe.batch) < recipe.blind] = unconditional
        sigma = torch.sigmoid(recipe.mean + recipe.deviation * torch.randn(recipe.batch))
        return flow_loss(model, latent, condition, sigma, torch.randn_like(latent))

    matrices = [p for p in model.transformer.blocks.parameters() if p.ndim == 2]
    optimizers = muon.optimizers(list(model.transformer.parameters()), matrices, recipe.lr)
    schedule = loop.Schedule(recipe.steps, floor=0.05)
    identity = f"{dataset.spec} {fingerprint(vae)} {recipe}"
    identity += f" from {fingerprint(start.transformer)}" if start else ""
    checkpoint = folder / "transformer.pt"
    transformer = loop.run(
        model.transformer,
        optimizers,
        loss,
        schedule,
        checkpoint,
        identity=identity,
        seed=recipe.seed,
        ema=0.997,
        every=50,
        log=log,
    )
    return WanModel(vae, transformer.eval().requires_grad_(False), model.prompt)
