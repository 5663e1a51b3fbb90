"""Train a Video Swin on a dataset's training split.

On several processes (``accelerate launch``) each takes a share of every batch. The random numbers of a clip's
augmentation then depend on the number of processes; nothing else does.
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

from vcfe_bench.core import checkpoints, seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import WeightsUnavailable
from vcfe_bench.goals import AvoidGoal
from vcfe_bench.models.video_swin import SizeName, SwinConfig, VideoSwin
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.abilities import training_clip
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Context, Method, Query
from vcfe_bench.plugins.target import Target
from vcfe_bench.training import loop
from vcfe_bench.training.inflation import imagenet, inflate

ROUND_TRIP = 10.0
"""Weight, relative to the error, of the difference between predictions for a clip and for its reconstruction."""


@validated(frozen=True, config={"extra": "forbid"})
class TargetRecipe:
    """``size``: an entry of ``video_swin.SIZES``. ``length``: frames of a clip, ``stride`` apart.

    Linear layers are initialised with Xavier's distribution: with torchvision's standard deviation of 0.02, chosen for
    wide networks, a narrow one stays at chance for thousands of steps, because motion only shows in products of
    features.

    ``adversary``: spec of an attack on every clip before the update (Madry et al. 2018). The perturbation grows
    linearly to its full magnitude over the fraction ``ramp`` of the steps; with the full magnitude from the start, a
    trained network falls back to chance and stays there. ``generator``: spec of a generator to whose reconstructions a
    regressor is made invariant. ``start``: weights of the same network to start from; for other classes,
    it begins with a new head.

    ``steps``: number of updates; ``epochs``: passes over the training split, instead of ``steps``. ``batch``: clips per
    update over all processes. ``lr``: peak learning rate. ``imagenet``: start from torchvision's ImageNet-1K weights,
    if they are cached; the learning rate of all but the head is then ``backbone`` times ``lr``. ``precision``: of the
    computation (weights stay float32); empty for the setting of ``accelerate launch``.
    """

    size: SizeName = "mini"
    length: int = Field(default=8, ge=1)
    stride: int = Field(default=2, ge=1)
    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=16, ge=1)
    lr: float = Field(default=8e-4, ge=0)
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
        """Number of updates on a training split of ``videos`` videos."""
        return self.steps if self.epochs is None else ceil(self.epochs * videos / self.batch)

    def config(self, dataset: Dataset) -> SwinConfig:
        """The network for a dataset.

        Raises:
            UsageError: the dataset's videos are shorter than the clip.
        """
        span = (self.length - 1) * self.stride + 1
        if span > dataset.shape[0]:
            raise UsageError(
                f"a clip of {self.length} frames at a stride of {self.stride} needs {span}; the videos of "
                f"'{dataset.spec}' have {dataset.shape[0]}: choose a smaller --length or --stride"
            )
        values = dataset.values
        limits = (values.low, values.high) if values else None
        return SwinConfig(self.size, dataset.shape, self.length, self.stride, dataset.classes, limits)


EMBEDDED = TargetRecipe()
"""The recipe of the target that ships with the package."""


class _InTraining(Target):
    """The network in training, as a target of the attack."""

    fingerprint = ""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> Tensor:
        return self.model(video.to(next(self.model.parameters()).device)).to(video.device)


def train(
    dataset: Dataset, folder: Path, recipe: TargetRecipe = EMBEDDED, log: Callable[[str], None] = print
) -> VideoSwin:
    """Train, resuming from ``folder``; returns the network with averaged weights, frozen.

    Classifiers are trained with cross-entropy, regressors with the squared error in units of half the range of values.

    Raises:
        UsageError: an adversary for a dataset without classes, a generator for one with classes, weights of another
            network, no training videos, a clip longer than the videos, a batch that cannot be divided among the
            processes, or a precision that the device does not support.
    """
    if recipe.adversary and not dataset.classes:
        raise UsageError(
            f"'{recipe.adversary}' attacks classifiers, but the labels of dataset '{dataset.spec}' are values"
        )
    if recipe.generator and dataset.classes:
        raise UsageError(f"--generator is for regressors, but dataset '{dataset.spec}' has classes")
    config, values, videos = recipe.config(dataset), dataset.values, dataset.size("train")
    if not videos:
        raise UsageError(f"dataset '{dataset.spec}' has no videos in its train split")
    accelerator = _accelerator(recipe)
    processes, rank = accelerator.num_processes, accelerator.process_index
    torch.manual_seed(recipe.seed)
    model = config.network()
    recipe, groups = _initialise(model, recipe, log if accelerator.is_main_process else lambda line: None)
    model.to(accelerator.device)
    adversary = registry.METHODS.build(recipe.adversary) if recipe.adversary else None
    generator = registry.GENERATORS.build(recipe.generator) if recipe.generator else None
    steps = recipe.updates(videos)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        chosen = rng.integers(videos, size=recipe.batch)[rank::processes]
        rng = rng.spawn(processes)[rank] if processes > 1 else rng
        clips = [training_clip(dataset, int(index), rng) for index in chosen]
        if adversary:
            magnitude = min(1.0, (step + 1) / (recipe.ramp * steps))
            attack_seeds = [
                seeds.derive(seeds.derive(recipe.seed, step), i) for i in range(rank, recipe.batch, processes)
            ]
            clips = _attacked(adversary, magnitude, model, dataset, clips, attack_seeds)
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
        [torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=0.02)],
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
        raise UsageError(f"this precision is not supported: {error}") from None
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise UsageError("fp16 needs a GPU: choose --precision bf16 or no")
    if recipe.batch % accelerator.num_processes:
        raise UsageError(f"--batch {recipe.batch} cannot be divided among {accelerator.num_processes} processes")
    return accelerator


def _initialise(
    model: VideoSwin, recipe: TargetRecipe, log: Callable[[str], None]
) -> tuple[TargetRecipe, list[dict[str, Any]]]:
    """Initialise the weights; returns the recipe that is actually used, and parameter groups by learning rate."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    inflated = recipe.imagenet and not recipe.start
    if recipe.start:
        _start(model, Path(recipe.start))
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
    body = [p for p in model.parameters() if all(p is not other for other in head)]
    return recipe, [{"params": body, "lr": recipe.lr * recipe.backbone}, {"params": head}]


def _start(model: VideoSwin, path: Path) -> None:
    """Fill the network from a file; all but its head if the file says that it is for another number of outputs."""
    try:
        given = SwinConfig.read(path).network()
    except UsageError:
        given = model
    if given.network.head.out_features == model.network.head.out_features:
        checkpoints.load_into(model, path)
        return
    checkpoints.load_into(given, path)
    body = {name: value for name, value in given.state_dict().items() if not name.startswith("network.head.")}
    model.load_state_dict(body, strict=False)


@torch.no_grad()
def _round_trip(generator: Generator, clip: Tensor) -> Tensor:
    """D(E(x)) of clips ``[B, T, 3, H, W]`` in [0, 1]; on a CPU in bfloat16, which saves a third of the time."""
    with torch.autocast("cpu", torch.bfloat16):
        return generator.decode(generator.encode(clip)).float().clamp(0, 1).to(clip.device)


Clip = tuple[Tensor, int | float]


def _attacked(
    adversary: Method, magnitude: float, model: nn.Module, dataset: Dataset, clips: list[Clip], attack_seeds: list[int]
) -> list[Clip]:
    """The clips with ``magnitude`` times the perturbation of ``adversary`` against ``model`` in evaluation mode."""
    context = Context(dataset, _InTraining(model.eval()))
    queries = [
        Query(Sample(str(i), video, label, 1.0), AvoidGoal(int(label)), attack_seeds[i])
        for i, (video, label) in enumerate(clips)
    ]
    explanations = adversary.answer(queries, context)
    model.train()
    return [
        (torch.lerp(video, explanation.video, magnitude), label)
        for explanation, (video, label) in zip(explanations, clips, strict=True)
    ]
