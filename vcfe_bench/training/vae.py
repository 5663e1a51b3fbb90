"""Train a small Wan autoencoder on a dataset's training split, from scratch or from the weights of another one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import fingerprint
from vcfe_bench.models.wan import decode_unclamped
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.generator import Constraints
from vcfe_bench.training import loop
from vcfe_bench.training.data import clips


@dataclass(frozen=True)
class VAERecipe:
    """Architecture and schedule. Three phases: single frames, then crops of 9 frames, then whole clips.

    The residual (averaging and duplicating) shortcuts of Wan2.2's autoencoder matter for such a small network: without
    them, the RMS norms hide absolute colour for a large part of training. There is no KL term; ``noise`` on the latent
    and a small penalty ``shrink`` on its square keep the latent space smooth. Pixels that differ from the median colour
    of their frame have ``emphasis`` times the weight. ``coarse`` is the weight of the error of frames averaged over 4×4
    pixels, in which motion remains but not fine grain, which a small latent cannot represent.
    """

    channels: int = 24
    multipliers: tuple[int, ...] = (1, 2, 2)
    latent_channels: int = 12
    patch: int = 2
    phases: tuple[tuple[int, int, int], ...] = ((1200, 16, 1), (1800, 8, 9), (300, 6, 17))
    """(steps, batch, frames) of each phase; frames are limited by the length of the videos."""
    lr: float = 4e-4
    emphasis: float = 4.0
    coarse: float = 0.0
    noise: float = 0.05
    shrink: float = 1e-4
    seed: int = 0

    def of(self, steps: int) -> VAERecipe:
        """The same recipe with ``steps`` updates, divided among the phases in the same proportions."""
        ends = np.cumsum([0] + [length for length, _, _ in self.phases])
        ends = np.round(ends * steps / ends[-1]).astype(int)
        lengths = np.diff(ends).tolist()
        phases = tuple((n, batch, frames) for n, (_, batch, frames) in zip(lengths, self.phases, strict=True))
        return replace(self, phases=phases)


CONTINUED = VAERecipe(phases=((1000, 8, 9), (1000, 4, 17)), coarse=4.0)
"""For fine-tuning an autoencoder that was trained on another dataset. Later frames need clips that have them."""


def build(recipe: VAERecipe) -> AutoencoderKLWan:
    """An untrained autoencoder: 4× in time and ``patch · 2^(levels-1)``× in space."""
    side = recipe.patch * 2 ** (len(recipe.multipliers) - 1)
    pixels = 3 * recipe.patch**2
    return AutoencoderKLWan(
        base_dim=recipe.channels,
        decoder_base_dim=recipe.channels,
        z_dim=recipe.latent_channels,
        dim_mult=list(recipe.multipliers),
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[True] * (len(recipe.multipliers) - 1),
        is_residual=True,
        in_channels=pixels,
        out_channels=pixels,
        patch_size=recipe.patch,
        scale_factor_spatial=side,
        scale_factor_temporal=4,
        latents_mean=[0.0] * recipe.latent_channels,
        latents_std=[1.0] * recipe.latent_channels,
    )


def train(
    dataset: Dataset,
    folder: Path,
    recipe: VAERecipe = VAERecipe(),
    log: Callable[[str], None] = print,
    start: AutoencoderKLWan | None = None,
) -> AutoencoderKLWan:
    """Train, resuming from ``folder``; the result has the latent's mean and standard deviation in its config.

    ``start``: the autoencoder to start from; it is not modified, and the recipe's architecture is ignored.

    Raises:
        UsageError: the autoencoder does not support the sides or the number of frames of the dataset's videos.
    """
    torch.manual_seed(recipe.seed)
    vae = copy.deepcopy(start).train().requires_grad_(True) if start else build(recipe)
    constraints = Constraints(vae.config["scale_factor_temporal"], vae.config["scale_factor_spatial"])
    if violation := constraints.violation(dataset.shape):
        raise UsageError(f"a generator cannot be trained on dataset '{dataset.spec}': {violation}")
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
    ends = np.cumsum([steps for steps, _, _ in recipe.phases])

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        _, batch, frames = recipe.phases[int(np.searchsorted(ends, step, side="right"))]
        video = clips(dataset, rng, batch, min(frames, dataset.shape[0])).transpose(1, 2) * 2 - 1
        with torch.autocast("cpu", torch.bfloat16):
            latent = vae.encode(video).latent_dist.mode().float()
            result = decode_unclamped(vae, latent + recipe.noise * torch.randn_like(latent)).float()
        background = video.flatten(3).median(dim=3).values[..., None, None]
        weight = 1 + (recipe.emphasis - 1) * ((video - background).abs().amax(1, keepdim=True) > 0.1)
        error = ((result - video).abs() * weight).sum() / (weight.sum() * 3)
        coarse = F.avg_pool3d(result - video, (1, 4, 4)).abs().mean()
        return error + recipe.coarse * coarse + recipe.shrink * latent.square().mean()

    optimizer = torch.optim.AdamW(vae.parameters(), lr=recipe.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    schedule = loop.Schedule(int(ends[-1]))
    identity = f"{dataset.spec} {recipe}" + (f" from {fingerprint(start)}" if start else "")
    checkpoint = folder / "vae.pt"
    vae = loop.run(
        vae,
        [optimizer],
        loss,
        schedule,
        checkpoint,
        identity=identity,
        seed=recipe.seed,
        ema=0.99,
        clip=0.5,
        every=50,
        log=log,
    )
    return with_statistics(vae.eval().requires_grad_(False), dataset)


@torch.no_grad()
def with_statistics(vae: AutoencoderKLWan, dataset: Dataset, videos: int = 256) -> AutoencoderKLWan:
    """Set the config's ``latents_mean`` and ``latents_std``, which normalise each channel, from training videos."""
    latents = []
    for first in range(0, videos, 16):
        rng = np.random.default_rng([1, first])
        video = clips(dataset, rng, 16, dataset.shape[0]).transpose(1, 2) * 2 - 1
        latents.append(vae.encode(video).latent_dist.mode())
    latent = torch.cat(latents).transpose(0, 1).flatten(1)
    vae.register_to_config(  # type: ignore[no-untyped-call]
        latents_mean=[round(float(m), 5) for m in latent.mean(1)],
        latents_std=[round(float(s), 5) for s in latent.std(1)],
    )
    return vae
