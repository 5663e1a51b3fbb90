"""Train a small Wan autoencoder on the training splits of datasets, from scratch or from another one's weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import fingerprint
from vcfe_bench.models.wan import decode_unclamped
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.generator import Constraints
from vcfe_bench.training import loop, muon
from vcfe_bench.training.data import clips

TOKEN = 8
"""Side of the square of pixels that a token of a small Wan's transformer covers."""


@dataclass(frozen=True)
class VAERecipe:
    """Architecture and schedule. Phases: clips of one latent frame after the first, of two, and whole clips.

    4× in time and in space: with 8× in space, a network of this size turns a diamond into a blob. The residual
    (averaging and duplicating) shortcuts of Wan2.2's autoencoder matter for such a small network: without them, the RMS
    norms hide absolute colour for a large part of training. Kernels are updated with Muon, everything else with AdamW.
    There is no KL term; ``noise`` on the latent and a small penalty ``shrink`` on its square keep the latent space
    smooth. Pixels that differ from the median colour of their frame have ``emphasis`` times the weight.
    """

    channels: int = 16
    multipliers: tuple[int, ...] = (1, 2, 2)
    latent_channels: int = 8
    patch: int = 1
    phases: tuple[tuple[int, int, int], ...] = ((850, 8, 5), (450, 4, 9), (300, 4, 17))
    """(steps, batch, frames) of each phase; frames are limited by the length of the videos."""
    lr: float = 2e-3
    emphasis: float = 6.0
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


DECODER = VAERecipe(phases=((200, 4, 9), (200, 4, 17)), lr=1e-3)
"""For training only the decoder of an autoencoder further: its latents, and transformers trained on them, stay."""
CONTINUED = VAERecipe(phases=((600, 8, 5), (200, 4, 9), (200, 4, 17)), lr=5e-4)
"""For fine-tuning an autoencoder that was trained on other datasets. Later frames need clips that have them."""


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
        patch_size=recipe.patch if recipe.patch > 1 else None,
        scale_factor_spatial=side,
        scale_factor_temporal=4,
        latents_mean=[0.0] * recipe.latent_channels,
        latents_std=[1.0] * recipe.latent_channels,
    )


def train(
    datasets: Sequence[Dataset],
    folder: Path,
    recipe: VAERecipe = VAERecipe(),
    log: Callable[[str], None] = print,
    start: AutoencoderKLWan | None = None,
    decoder_only: bool = False,
) -> AutoencoderKLWan:
    """Train, resuming from ``folder``; the result has the latent's mean and standard deviation in its config.

    ``start``: the autoencoder to start from; it is not modified, and the recipe's architecture is ignored.
    ``decoder_only``: leave its encoder, and the latent's mean and standard deviation, as they are.

    Raises:
        UsageError: the autoencoder does not support the sides or the number of frames of a dataset's videos, or these
            differ between the datasets.
    """
    muon.require_muon()
    torch.manual_seed(recipe.seed)
    vae = copy.deepcopy(start).train().requires_grad_(True) if start else build(recipe)
    constraints = Constraints(vae.config["scale_factor_temporal"], max(TOKEN, vae.config["scale_factor_spatial"]))
    for dataset in datasets:
        if violation := constraints.violation(dataset.shape):
            raise UsageError(f"a generator cannot be trained on dataset '{dataset.spec}': {violation}")
    if len({dataset.shape for dataset in datasets}) > 1:
        raise UsageError("an autoencoder is trained on datasets with videos of one shape: choose such datasets")
    if decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    ends = np.cumsum([steps for steps, _, _ in recipe.phases])
    whole = datasets[0].shape[0]

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        _, batch, frames = recipe.phases[int(np.searchsorted(ends, step, side="right"))]
        dataset = datasets[int(rng.integers(len(datasets)))]
        video = clips(dataset, rng, batch, min(frames, whole)).transpose(1, 2) * 2 - 1
        with torch.autocast("cpu", torch.bfloat16):
            latent = vae.encode(video).latent_dist.mode().float()
            result = decode_unclamped(vae, latent + recipe.noise * torch.randn_like(latent)).float()
        background = video.flatten(3).median(dim=3).values[..., None, None]
        weight = 1 + (recipe.emphasis - 1) * ((video - background).abs().amax(1, keepdim=True) > 0.1)
        error = ((result - video).abs() * weight).sum() / (weight.sum() * 3)
        return error + recipe.shrink * latent.square().mean()

    matrices = muon.as_matrices(vae.decoder if decoder_only else vae)
    optimizers = muon.optimizers([p for p in vae.parameters() if p.requires_grad], matrices, recipe.lr)
    schedule = loop.Schedule(int(ends[-1]))
    identity = f"{', '.join(dataset.spec for dataset in datasets)} {recipe}"
    identity += f"{' decoder' if decoder_only else ''} from {fingerprint(start)}" if start else ""
    checkpoint = folder / "vae.pt"
    vae = loop.run(
        vae,
        optimizers,
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
    muon.as_kernels(vae)
    vae.eval().requires_grad_(False)
    return vae if decoder_only else with_statistics(vae, datasets)


@torch.no_grad()
def with_statistics(vae: AutoencoderKLWan, datasets: Sequence[Dataset], videos: int = 256) -> AutoencoderKLWan:
    """Set the config's ``latents_mean`` and ``latents_std``, which normalise each channel, from training videos."""
    latents = []
    for first in range(0, videos, 16):
        rng, dataset = np.random.default_rng([1, first]), datasets[first // 16 % len(datasets)]
        video = clips(dataset, rng, 16, dataset.shape[0]).transpose(1, 2) * 2 - 1
        latents.append(vae.encode(video).latent_dist.mode())
    latent = torch.cat(latents).transpose(0, 1).flatten(1)
    vae.register_to_config(  # type: ignore[no-untyped-call]
        latents_mean=[round(float(m), 5) for m in latent.mean(1)],
        latents_std=[round(float(s), 5) for s in latent.std(1)],
    )
    return vae


def read(folder: Path) -> AutoencoderKLWan:
    """A frozen autoencoder.

    Raises:
        UsageError: the folder contains none.
    """
    try:
        vae = AutoencoderKLWan.from_pretrained(str(folder), torch_dtype=torch.float32, local_files_only=True)
    except OSError as error:
        raise UsageError(f"{folder} contains no autoencoder: write one with 'vcfe-bench train autoencoder'") from error
    return vae.eval().requires_grad_(False)
