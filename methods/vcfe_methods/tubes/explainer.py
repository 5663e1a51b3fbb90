"""The explanation module of Kanehira et al. (CVPR 2019): which region speaks for one class and against another.

Symbols: h the target's mid-level features, c a class, s an attribute, S(x) the attributes of a video, R a tube, m_cs
the score of the pair (c, s) in every cell, Δm the difference of two classes, y = σ(Δm[R]) the counterfactuality.

What the paper leaves open is settled thus:

- *Scales.* Each scale has weights of its own. Coarse score maps are laid on the finest grid, so that all scales and
  shapes are variants of the same cells.
- *Shapes.* a_i (Figure 4) is the share of each of the 3×3 cells that lies in a region of 2×2, 2×3, 3×2 or 3×3 cells
  around the middle of the window, divided by its sum.
- *No bias.* Section 3.5 sums Δwᵀh over a tube, nothing else.
- *Start.* All weights are 0. Equation 7 asks of the worst tube, which crosses what tells nothing: there random weights
  are worse than none, and they are hardly forgotten.
- *Optimisation.* SGD with the rate, momentum, weight decay and batch of section 4.1 (0.1, 0.9, 10⁻³, 30), in the
  training loop of all networks here: a warm-up, a cosine fall of the rate, gradients clipped to a norm of 1, and the
  moving average of the weights.
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
"""Height and width of a region in cells."""


def overlaps(height: int, width: int) -> Tensor:
    """a of a shape, ``[3, 3]``: the share of each cell of the window that the shape covers, normalised to sum 1."""

    def covered(side: int) -> Tensor:
        return torch.tensor([(side - 1) / 2, 1.0, (side - 1) / 2])

    shares = torch.outer(covered(height), covered(width))
    return shares / shares.sum()


class Explainer(nn.Module):
    """Scores of every region for one class against others, by attribute.

    ``channels`` are those of each scale of the features. ``pair`` remembers what it was fitted to (``pair_of``).
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
        """A frozen explainer from its weights.

        Raises:
            CorruptWeights: the file is missing or holds something else.
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
        """Δm of one video: ``[negatives · attributes, V, t, H, W]``, for c_pos against each negative (equations 3, 4).

        ``scales`` are its features ``[d, t, h, w]``, H and W the finest grid's sides. Variant v has scale
        ``v // len(SHAPES)`` and shape ``v % len(SHAPES)``.
        """
        frames, *grid = scales[0].shape[1:]
        count = len(negatives) * len(attributes)
        maps = []
        for features, w in zip(scales, self.joint(), strict=True):
            w = w[:, list(attributes)]
            delta = (w[positive] - w[list(negatives)]).flatten(0, 1)
            kernel = (delta[:, None] * self.windows[:, None]).flatten(0, 1)  # w_i = w ⊙ a_i
            m = F.conv2d(features.transpose(0, 1), kernel, padding=1)
            m = F.interpolate(m, size=grid, mode="nearest").view(frames, count, len(SHAPES), *grid)
            maps.append(m.permute(1, 2, 0, 3, 4))
        return torch.cat(maps, dim=1)

    def evidence(self, scales: Sequence[Tensor], positive: int, negative: int) -> tuple[Tensor, Tensor]:
        """max_R Δm[R] by attribute, ``[S]``, and Δm itself, ``[S, V, t, H, W]`` (equation 9, before the sigmoid)."""
        m = self.differences(scales, positive, [negative], range(len(self.w_s[0])))
        return maximum_subpath(m), m

    def loss(self, scales: Sequence[Tensor], positive: int, attributes: Sequence[int]) -> Tensor:
        """ℓ(x, c_pos), equation 7: -log σ(min_R Δm[R]), averaged over S(x) and summed over the negatives."""
        negatives = [c for c in range(len(self.w_c[0])) if c != positive]
        worst = minimum_subpath(self.differences(scales, positive, negatives, attributes))
        return F.softplus(-worst).sum() / len(attributes)


def regions(path: Tensor, scales: Sequence[Tensor], steps: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Boxes ``[T, 4]`` (left, top, right, bottom, in pixels) of a tube, NaN in frames that it does not cross.

    ``path`` is the tube's cells ``[V, t, H, W]`` (bool, at most one a step), ``scales`` the features ``[d, t, h, w]``
    and ``steps`` the step of each frame; ``size`` is the video's (height, width). A region has the middle of its cell
    in common with it, and ends where the frame ends.
    """
    found = np.full((path.shape[1], 4), np.nan)
    finest = np.array(path.shape[2:])
    limit = np.array(size, float)
    for variant, step, *cell in path.nonzero().tolist():
        grid = np.array(scales[variant // len(SHAPES)].shape[2:])
        side = limit / grid
        middle = (np.array(cell) * grid // finest + 0.5) * side
        reach = np.array(SHAPES[variant % len(SHAPES)]) / 2 * side
        (top, left), (bottom, right) = np.maximum(middle - reach, 0), np.minimum(middle + reach, limit)
        found[step] = left, top, right, bottom
    return found[steps.numpy()]


@dataclass(frozen=True)
class ExplainerRecipe:
    """The paper's settings, but for the number of updates, which it does not give."""

    steps: int = 1000
    batch: int = 30
    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 1e-3
    seed: int = 0


def pair_of(dataset: Dataset, target: FeatureTarget) -> Tensor:
    """What an explainer is bound to, ``[32]`` uint8: the target's weights, the classes and the attributes."""
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
    """Fit an explainer to a frozen target (equation 8), resuming from ``folder``; the averaged weights, frozen.

    Videos come from the training split. c_pos is drawn from the target's p(c|x), anew at every step.

    Raises:
        UsageError: the target's outputs are not the dataset's classes.
    """
    assert isinstance(dataset, AnnotatedAttributes)
    torch.manual_seed(recipe.seed)
    with torch.no_grad():
        shown = target.shown(dataset.sample("train", 0).video[None])
    if shown.output.shape[1] != len(dataset.classes):
        raise UsageError(
            f"target '{target.spec}' has {shown.output.shape[1]} outputs, "
            f"dataset '{dataset.spec}' {len(dataset.classes)} classes"
        )
    explainer = Explainer([s.shape[1] for s in shown.scales], len(dataset.classes), len(dataset.attributes))
    explainer.pair.copy_(pair_of(dataset, target))

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        chosen = rng.integers(dataset.size("train"), size=recipe.batch)
        samples = [dataset.sample("train", int(index)) for index in chosen]
        with torch.no_grad():
            features = target.shown(torch.stack([sample.video for sample in samples]))
        positives = features.output.softmax(dim=1).multinomial(1)[:, 0].tolist()
        values = []
        for i, (sample, positive) in enumerate(zip(samples, positives, strict=True)):
            present = [dataset.attributes.index(name) for name in sample.attributes["attributes"]]
            values.append(explainer.loss([scale[i] for scale in features.scales], positive, present))
        return torch.stack(values).mean()

    optimizer = torch.optim.SGD(
        explainer.parameters(), lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.decay
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
