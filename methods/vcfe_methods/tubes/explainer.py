"""The explanation module of Kanehira et al. (CVPR 2019): which regions are evidence for one class against another.

Symbols: h mid-level features of the target, c class, s attribute, S(x) attributes of a video, R tube, m_cs score map
of the pair (c, s), Δm difference of the maps of two classes, y = σ(Δm[R]) counterfactuality.

Choices made where the paper is silent:

- *Scales.* Each scale has its own weights. Coarse score maps are upsampled to the finest grid, so that all scales and
  shapes are variants of the same cells.
- *Shapes.* a_i (Figure 4) is the share of each of the 3×3 cells that is covered by a region of 2×2, 2×3, 3×2 or 3×3
  cells centred in the window, normalised to sum 1.
- *No bias.* Section 3.5 sums Δwᵀh over a tube without a bias.
- *Initialisation.* All weights are 0. Equation 7 depends on the worst tube, which passes through uninformative cells;
  random weights add noise there, which training hardly removes.
- *Optimisation.* SGD with the learning rate, momentum, weight decay and batch size of section 4.1 (0.1, 0.9, 10⁻³, 30),
  in the training loop shared by all networks here: warm-up, cosine decay of the learning rate, gradients clipped to
  norm 1, and an exponential moving average of the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import AnnotatedAttributes, Dataset, FeatureTarget
from vcfe_bench.training import loop
from vcfe_methods.tubes.pooling import maximum_subpath, minimum_subpath

SHAPES = ((2, 2), (2, 3), (3, 2), (3, 3))
"""Height and width of the regions, in cells."""


def overlaps(height: int, width: int) -> Tensor:
    """a_i of a shape (Figure 4), ``[3, 3]``: the share of each cell that it covers, normalised to sum 1."""

    def covered(side: int) -> Tensor:
        return torch.tensor([(side - 1) / 2, 1.0, (side - 1) / 2])

    shares = torch.outer(covered(height), covered(width))
    return shares / shares.sum()


class Explainer(nn.Module):
    """Scores of every region as evidence for one class against others, per attribute.

    ``channels`` are those of each scale of the features. The buffer ``pair`` identifies the dataset and target that the
    weights were fitted to (``pair_of``).
    """

    pair: Tensor
    windows: Tensor

    def __init__(self, channels: Sequence[int], classes: int, attributes: int) -> None:
        super().__init__()
        self.w_c = nn.ParameterList(torch.zeros(classes, d, 3, 3) for d in channels)
        self.w_s = nn.ParameterList(torch.zeros(attributes, d, 3, 3) for d in channels)
        self.register_buffer("pair", torch.zeros(32, dtype=torch.uint8))
        self.register_buffer("windows", torch.stack([overlaps(*shape) for shape in SHAPES]), persistent=False)

    @classmethod
    def read(cls, path: Path) -> Explainer:
        """A frozen explainer from a file of weights.

        Raises:
            CorruptWeights: the file is missing or does not contain an explainer.
        """
        state = weights.read(path)
        names = sorted(name for name in state if name.startswith("w_c."))
        classes, attributes = (len(state.get(f"{w}.0", ())) for w in ("w_c", "w_s"))
        explainer = cls([state[name].shape[1] for name in names], classes, attributes)
        weights.fill(explainer, state, str(path))
        return explainer

    def joint(self) -> list[Tensor]:
        """w_cs = w_c ⊙ w_s + w_c + w_s of each scale, ``[C, S, d, 3, 3]``."""
        scales = zip(self.w_c, self.w_s, strict=True)
        return [c[:, None] * s[None] + c[:, None] + s[None] for c, s in scales]

    def differences(
        self, scales: Sequence[Tensor], positive: int, negatives: Sequence[int], attributes: Sequence[int]
    ) -> Tensor:
        """Δm of one video for c_pos against each negative, ``[negatives · attributes, V, t, H, W]``.

        ``scales`` are its features ``[d, t, h, w]``; H and W are the sides of the finest grid. Variant v has scale
        ``v // len(SHAPES)`` and shape ``v % len(SHAPES)``.
        """
        frames, *grid = scales[0].shape[1:]
        count = len(negatives) * len(attributes)
        maps = []
        for features, w in zip(scales, self.joint(), strict=True):
            w = w[:, list(attributes)]
            delta_w = (w[positive] - w[list(negatives)]).flatten(0, 1)  # equation 4, before the convolution
            kernel = (delta_w[:, None] * self.windows[:, None]).flatten(0, 1)  # w_i = w ⊙ a_i (section 3.6)
            delta_m = F.conv2d(features.transpose(0, 1), kernel, padding=1)  # equation 3
            delta_m = F.interpolate(delta_m, size=grid, mode="nearest").view(frames, count, len(SHAPES), *grid)
            maps.append(delta_m.permute(1, 2, 0, 3, 4))
        return torch.cat(maps, dim=1)

    def evidence(self, scales: Sequence[Tensor], positive: int, negative: int) -> tuple[Tensor, Tensor]:
        """max_R Δm[R] per attribute ``[S]`` (equation 9, before the sigmoid), and Δm ``[S, V, t, H, W]``."""
        delta_m = self.differences(scales, positive, [negative], range(len(self.w_s[0])))
        return maximum_subpath(delta_m), delta_m

    def loss(self, scales: Sequence[Tensor], positive: int, attributes: Sequence[int]) -> Tensor:
        """ℓ(x, c_pos) (equation 7): -log σ(min_R Δm[R]), averaged over S(x) and summed over the negative classes."""
        negatives = [c for c in range(len(self.w_c[0])) if c != positive]
        worst = minimum_subpath(self.differences(scales, positive, negatives, attributes))
        return F.softplus(-worst).sum() / len(attributes)


def regions(path: Tensor, scales: Sequence[Tensor], steps: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Boxes ``[T, 4]`` (left, top, right, bottom, in pixels) of a tube, NaN in frames without it.

    ``path`` are the cells of the tube, bool ``[V, t, H, W]`` with at most one per step, ``scales`` the features
    ``[d, t, h, w]``, ``steps`` the step of each frame, and ``size`` the height and width of the video. A region is
    centred on its cell and clipped to the frame.
    """
    boxes = np.full((path.shape[1], 4), np.nan)
    finest = np.array(path.shape[2:])
    limit = np.array(size, float)
    for variant, step, *cell in path.nonzero().tolist():
        grid = np.array(scales[variant // len(SHAPES)].shape[2:])
        side = limit / grid
        middle = (np.array(cell) * grid // finest + 0.5) * side
        reach = np.array(SHAPES[variant % len(SHAPES)]) / 2 * side
        (top, left), (bottom, right) = np.maximum(middle - reach, 0), np.minimum(middle + reach, limit)
        boxes[step] = left, top, right, bottom
    return boxes[steps.numpy()]


@dataclass(frozen=True)
class ExplainerRecipe:
    """The settings of section 4.1; the paper does not give the number of updates.

    ``steps``: updates. ``lr``: learning rate. ``decay``: weight decay.
    """

    steps: int = 1000
    batch: int = 30
    lr: float = 0.1
    momentum: float = 0.9
    decay: float = 1e-3
    seed: int = 0


def pair_of(dataset: Dataset, target: FeatureTarget) -> Tensor:
    """Hash ``[32]`` (uint8) of what an explainer depends on: the target's weights, the classes and the attributes."""
    assert isinstance(dataset, AnnotatedAttributes)
    text = json.dumps([target.fingerprint, dataset.classes, dataset.attributes])
    return torch.tensor(list(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)


def train(
    dataset: Dataset,
    target: FeatureTarget,
    folder: Path,
    recipe: ExplainerRecipe = ExplainerRecipe(),
    log: Callable[[str], None] = print,
) -> Explainer:
    """Fit an explainer to a frozen target (equation 8). Returns it with averaged weights, frozen.

    Videos come from the training split; c_pos is sampled from the target's p(c|x) at every step. An interrupted
    training resumes from ``folder``.

    Raises:
        UsageError: the number of the target's outputs differs from the number of the dataset's classes.
    """
    assert isinstance(dataset, AnnotatedAttributes)
    torch.manual_seed(recipe.seed)
    with torch.no_grad():
        first = target.extract(dataset.sample("train", 0).video[None])
    if first.output.shape[1] != len(dataset.classes):
        raise UsageError(
            f"target '{target.spec}' has {first.output.shape[1]} outputs, but dataset '{dataset.spec}' has "
            f"{len(dataset.classes)} classes"
        )
    explainer = Explainer([scale.shape[1] for scale in first.scales], len(dataset.classes), len(dataset.attributes))
    explainer.pair.copy_(pair_of(dataset, target))

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        indices = rng.integers(dataset.size("train"), size=recipe.batch)
        samples = [dataset.sample("train", int(index)) for index in indices]
        with torch.no_grad():
            features = target.extract(torch.stack([sample.video for sample in samples]))
        positives = features.output.softmax(dim=1).multinomial(1)[:, 0].tolist()  # p(c_pos|x)
        per_video = []
        for i, (sample, positive) in enumerate(zip(samples, positives, strict=True)):
            present = [dataset.attributes.index(name) for name in sample.attributes["attributes"]]
            per_video.append(explainer.loss([scale[i] for scale in features.scales], positive, present))
        return torch.stack(per_video).mean()

    optimizer = torch.optim.SGD(
        explainer.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.decay
    )
    best = loop.run(
        explainer,
        [optimizer],
        loss,
        loop.Schedule(recipe.steps),
        folder / "explainer.pt",
        identity=f"{dataset.spec} {target.fingerprint} {recipe}",
        seed=recipe.seed,
        every=50,
        ema=0.99,
        log=log,
    )
    return best.eval().requires_grad_(False)
