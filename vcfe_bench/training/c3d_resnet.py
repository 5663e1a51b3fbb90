"""Train a C3D-ResNet from scratch on a dataset's training split, as in section 4.1 of Kanehira et al. (CVPR 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import update_bn

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.models.c3d_resnet import SIZES, C3DConfig, C3DResNet
from vcfe_bench.plugins.abilities import training_clip
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.training import loop

STATISTICS = 50
"""Number of batches from which the statistics of batch normalisation are computed after averaging the weights."""


@dataclass(frozen=True)
class C3DRecipe:
    """SGD with the paper's learning rate, momentum and weight decay; its ``batch`` of 64 is slow on a CPU.

    ``start``: a file that this training wrote for other classes, whose weights all but the last layer starts from; the
    paper starts from UCF101-24 for Olympic Sports.

    ``size`` names an entry of ``c3d_resnet.SIZES``, ``fc`` is the number of fully connected layers. The loop adds a
    warm-up, a cosine schedule, gradient clipping and a moving average of the weights, for which the batch statistics
    are then recomputed. It computes in bfloat16, with weights and optimiser state in float32.
    """

    size: str = "small"
    fc: int = 1
    steps: int = 4000
    batch: int = 16
    lr: float = 0.1
    momentum: float = 0.9
    decay: float = 1e-3
    seed: int = 0
    start: str = ""

    def config(self, dataset: Dataset) -> C3DConfig:
        """The network for a dataset.

        Raises:
            UsageError: the size is unknown.
        """
        if self.size not in SIZES:
            raise UsageError(f"unknown size '{self.size}'; {nearest(self.size, SIZES)}")
        values = dataset.values
        limits = (values.low, values.high) if values else None
        return C3DConfig(self.size, self.fc, dataset.shape, dataset.classes, limits)


def train(
    dataset: Dataset, folder: Path, recipe: C3DRecipe = C3DRecipe(), log: Callable[[str], None] = print
) -> C3DResNet:
    """Train, resuming from ``folder``; returns the network with averaged weights, frozen.

    Classifiers are trained with cross-entropy, regressors with the squared error in units of half the range of values.

    Raises:
        UsageError: the size is unknown, or ``start`` is of another network.
    """
    config = recipe.config(dataset)
    torch.manual_seed(recipe.seed)
    model = config.network()
    if recipe.start:
        _start(model, Path(recipe.start), config)
    model.to(memory_format=torch.channels_last_3d)

    def batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = rng.integers(dataset.size("train"), size=recipe.batch)
        videos, labels = zip(*(training_clip(dataset, int(index), rng) for index in chosen), strict=True)
        return torch.stack(videos), torch.tensor(labels)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        videos, labels = batch(rng)
        with torch.autocast(videos.device.type, torch.bfloat16):
            output = model(videos)
        if config.limits is None:
            return F.cross_entropy(output.float(), labels)
        return F.mse_loss(output.float()[:, 0], labels) / model.reach**2

    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.decay)
    best = loop.run(
        model,
        [optimizer],
        loss,
        loop.Schedule(recipe.steps),
        folder / "c3d_resnet.pt",
        identity=f"{dataset.spec} {recipe}",
        seed=recipe.seed,
        every=50,
        ema=0.99,
        log=log,
    )
    rng = np.random.default_rng([recipe.seed, recipe.steps])
    update_bn((batch(rng)[0] for _ in range(STATISTICS)), best)
    best.to(memory_format=torch.contiguous_format)
    return best.eval().requires_grad_(False)


def _start(model: C3DResNet, path: Path, config: C3DConfig) -> None:
    """Fill all but the last layer from the file of a network of the same size."""
    given = C3DConfig.read(path)
    if (given.size, given.fc) != (config.size, config.fc):
        raise UsageError(
            f"{path} is a network of size {given.size} with fc={given.fc}, not {config.size} with fc={config.fc}: "
            "choose --size and --fc as it was trained with"
        )
    last = f"head.{len(model.head) - 1}."
    state = weights.read(path)
    model.load_state_dict({name: value for name, value in state.items() if not name.startswith(last)}, strict=False)
