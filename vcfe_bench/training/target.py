"""Train a Video Swin on a dataset's training split.

On several processes (``accelerate launch``) each takes its share of every batch; what a clip's augmentation draws then
depends on their number, nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from vcfe_bench.core import seeds, weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import WeightsUnavailable
from vcfe_bench.goals import AvoidGoal
from vcfe_bench.models.video_swin import SizeName, SwinForm, VideoSwin
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.abilities import training_clip
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Context, Method, Query
from vcfe_bench.plugins.target import Target
from vcfe_bench.training import loop
from vcfe_bench.training.inflation import imagenet, inflate

ROUND_TRIP = 10.0
"""Weight of the difference between a regressor's answers for a clip and for its reconstruction, beside its errors."""


@validated(frozen=True, config={"extra": "forbid"})
class TargetRecipe:
    """``size`` names an entry of ``video_swin.SIZES``; the clip is every ``stride``-th frame, ``length`` of them.

    Linear layers start from Xavier's distribution: with torchvision's deviation of 0.02, made for wide networks, a
    narrow one stays at chance for thousands of steps, since motion only shows in products of features.

    ``adversary``: spec of an attack; every clip is then attacked before the step (Madry et al. 2018). The perturbation
    grows linearly to its full size over the first ``ramp`` of the steps: against the full one at once, a trained
    network falls back to chance and stays there. ``start``: a safetensors file of the same network to begin with.

    ``epochs``: as many updates as pass over the training split so often, instead of ``steps``. ``batch``: clips per
    update over all processes. ``imagenet``: begin with torchvision's ImageNet-1K weights, if a cache has them; the rate
    of all but the head is then ``backbone`` times ``rate``. ``precision``: of the network's arithmetic (its weights
    stay float32); empty for what ``accelerate launch`` was told.
    """

    size: SizeName = "mini"
    length: int = Field(default=8, ge=1)
    stride: int = Field(default=2, ge=1)
    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=16, ge=1)
    rate: float = Field(default=8e-4, ge=0)
    seed: int = 0
    adversary: str = ""
    ramp: float = Field(default=0.4, gt=0)
    generator: str = ""
    start: str = ""
    epochs: int | None = Field(default=None, ge=1)
    imagenet: bool = False
    backbone: float = Field(default=0.1, ge=0)
    precision: Literal["", "no", "bf16", "fp16"] = ""

    def updates(self, videos: int) -> int:
        """Number of updates on a training split of so many videos."""
        return self.steps if self.epochs is None else ceil(self.epochs * videos / self.batch)

    def form(self, dataset: Dataset) -> SwinForm:
        """The network for a dataset.

        Raises:
            UsageError: the dataset's videos are shorter than the clip.
        """
        span = (self.length - 1) * self.stride + 1
        if span > dataset.shape[0]:
            raise UsageError(
                f"a clip of {self.length} frames at a stride of {self.stride} needs {span}; the videos of "
                f"'{dataset.spec}' have {dataset.shape[0]}: choose others with --length and --stride"
            )
        values = dataset.values
        limits = (values.low, values.high) if values else None
        return SwinForm(self.size, dataset.shape, self.length, self.stride, dataset.classes, limits)


EMBEDDED = TargetRecipe()
"""How the target that comes with the package was trained."""


class _InTraining(Target):
    """A network that is still being trained, as the attack sees it."""

    fingerprint = ""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> Tensor:
        return self.model(video.to(next(self.model.parameters()).device)).to(video.device)


def train(
    dataset: Dataset, folder: Path, recipe: TargetRecipe = EMBEDDED, log: Callable[[str], None] = print
) -> VideoSwin:
    """Train, resuming from ``folder``; returns the averaged weights, frozen.

    Classes are learned by cross-entropy, values by squared error in units of half their range.

    Raises:
        UsageError: an adversary for a dataset without classes, a generator for one with classes, weights of another
            network, no videos, a clip longer than they are, a batch that the processes cannot share, or a precision
            that the device does not have.
    """
    if recipe.adversary and not dataset.classes:
        raise UsageError(f"'{recipe.adversary}' attacks classes, dataset '{dataset.spec}' has values")
    if recipe.generator and dataset.classes:
        raise UsageError(f"--generator is for regressors, dataset '{dataset.spec}' has classes")
    form, values, videos = recipe.form(dataset), dataset.values, dataset.size("train")
    if not videos:
        raise UsageError(f"dataset '{dataset.spec}' has no videos in its train split")
    accelerator = _accelerator(recipe)
    shares, share = accelerator.num_processes, accelerator.process_index
    torch.manual_seed(recipe.seed)
    model = form.network()
    recipe, groups = _begin(model, recipe, log if accelerator.is_main_process else lambda line: None)
    model.to(accelerator.device)
    adversary = registry.METHODS.build(recipe.adversary) if recipe.adversary else None
    generator = registry.GENERATORS.build(recipe.generator) if recipe.generator else None
    steps = recipe.updates(videos)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        chosen = rng.integers(videos, size=recipe.batch)[share::shares]
        rng = rng.spawn(shares)[share] if shares > 1 else rng
        clips = [training_clip(dataset, int(index), rng) for index in chosen]
        if adversary:
            size = min(1.0, (step + 1) / (recipe.ramp * steps))
            drawn = [seeds.derive(seeds.derive(recipe.seed, step), i) for i in range(share, recipe.batch, shares)]
            clips = _attacked(adversary, size, model, dataset, clips, drawn)
        clip, labels = torch.stack([clip for clip, _ in clips]), torch.tensor([label for _, label in clips])
        if generator:
            clip, labels = torch.cat([clip, _round_trip(generator, clip)]), labels.repeat(2)
        output, labels = model(clip.to(accelerator.device)), labels.to(accelerator.device)
        if values is None:
            return F.cross_entropy(output, labels)
        error = F.mse_loss(output[:, 0], labels)
        if generator:
            error = error + ROUND_TRIP * F.mse_loss(*output[:, 0].chunk(2))
        return error / (0.5 * (values.high - values.low)) ** 2

    best = loop.run(
        model,
        [torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=0.02)],
        loss,
        loop.Schedule(steps),
        folder / "target.pt",
        identity=f"{dataset.spec} {replace(recipe, precision='')} {accelerator.mixed_precision}",
        seed=recipe.seed,
        every=50,
        ema=0.99,
        log=log,
        accelerator=accelerator,
    )
    return best.cpu().eval().requires_grad_(False)


def _accelerator(recipe: TargetRecipe) -> Accelerator:
    try:
        accelerator = Accelerator(mixed_precision=recipe.precision or None)
    except ValueError as error:
        raise UsageError(f"the network cannot be computed at this precision: {error}") from None
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise UsageError("fp16 needs a GPU: take --precision bf16, or no")
    if recipe.batch % accelerator.num_processes:
        raise UsageError(f"--batch {recipe.batch} cannot be shared by {accelerator.num_processes} processes")
    return accelerator


def _begin(
    model: VideoSwin, recipe: TargetRecipe, log: Callable[[str], None]
) -> tuple[TargetRecipe, list[dict[str, Any]]]:
    """Set the weights that training starts from; what came of the recipe, and the parameters by learning rate."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    inflated = recipe.imagenet and not recipe.start
    if recipe.start:
        weights.fill(model, weights.read(Path(recipe.start)), recipe.start)
        model.float().train().requires_grad_(True)
    elif inflated:
        try:
            inflate(imagenet(recipe.size), model.network)
        except WeightsUnavailable as error:
            log(f"training starts without ImageNet weights: {error}")
            recipe, inflated = replace(recipe, imagenet=False), False
    if not inflated:
        return recipe, [{"params": list(model.parameters())}]
    head = list(model.network.head.parameters())
    body = [p for p in model.parameters() if all(p is not mine for mine in head)]
    return recipe, [{"params": body, "lr": recipe.rate * recipe.backbone}, {"params": head}]


@torch.no_grad()
def _round_trip(generator: Generator, clip: Tensor) -> Tensor:
    """D(E(x)) of clips ``[B, T, 3, H, W]`` in [0, 1]; on a CPU in bfloat16, which takes a third less time."""
    with torch.autocast("cpu", torch.bfloat16):
        return generator.decode(generator.encode(clip)).float().clamp(0, 1).to(clip.device)


Clip = tuple[Tensor, int | float]


def _attacked(
    adversary: Method, size: float, model: nn.Module, dataset: Dataset, clips: list[Clip], drawn: list[int]
) -> list[Clip]:
    """The clips with ``size`` times what ``adversary`` does to make ``model`` in evaluation mode miss their labels."""
    context = Context(dataset, _InTraining(model.eval()))
    queries = [
        Query(Sample(str(i), video, label, 1.0), AvoidGoal(int(label)), drawn[i])
        for i, (video, label) in enumerate(clips)
    ]
    explanations = adversary.answer(queries, context)
    model.train()
    return [
        (torch.lerp(video, explanation.video, size), label)
        for explanation, (video, label) in zip(explanations, clips, strict=True)
    ]
