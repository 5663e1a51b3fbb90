"""A conditional video generator: a new video with the same first frame and the requested class or value.

The approach of the feature-conditioned diffusion model 1SCM (Reynaud et al., MICCAI 2023, "Feature-Conditioned Cascaded
Video Diffusion Models for Precise Echocardiogram Synthesis"), with which LD-ViCE compares itself: the generator is
trained on the labels of the dataset and never sees the target. The target only chooses the best of k samples, as in
that paper's protocol (k = 3). Unlike 1SCM, which works on pixels, this one works in the latents of the run's generator,
by flow matching instead of EDM, and its network is small.

The target's gradient is not used. The original's motion is not an input either, so everything but the first frame may
differ from the original: a reference for what a label-conditioned generator achieves without explaining anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.interfaces import Context, Dataset, Explanation, Generator, Method, Query, Target
from vcfe_bench.plugins.registry import GENERATORS
from vcfe_methods.conditional.network import ConditionalVelocity, label_of
from vcfe_methods.conditional.training import ConditionalRecipe, conditions_of, pair_of, train

SHIPPED = "conditional-*.safetensors"
"""Names of the shipped networks, of which the one for the dataset and the generator is used."""


@validated(frozen=True, config={"extra": "forbid"})
class ConditionalParams:
    """``network``: file of weights from ``vcfe-bench train explainer --method conditional``; by default a shipped one.

    ``draws``: number of samples, of which the one that the target finds closest to the goal is kept (best of k).
    ``steps``: denoising steps of a sample. ``generator``: for training only, spec of the generator whose latents are
    used; by default the dataset's.
    """

    network: str = ""
    draws: int = Field(default=3, ge=1)
    steps: int = Field(default=20, ge=1)
    generator: str = ""


class Conditional(Method):
    """Samples videos conditioned on the first frame and the goal's label; keeps the best of k."""

    Params = ConditionalParams
    params: ConditionalParams
    needs_generator = True

    def __init__(self, params: ConditionalParams | None = None) -> None:
        super().__init__(params)
        given = [Path(self.params.network)] if self.params.network else sorted(weights.ZOO.glob(SHIPPED))
        self.networks = [ConditionalVelocity.read(path) for path in given]
        self.fingerprint = "-".join(weights.fingerprint(network)[:16] for network in self.networks)

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        reason = super().supports(dataset, target, generator, goal)
        if reason is not None:
            return reason
        if not isinstance(goal, ClassGoal | ValueGoal):
            return f"needs a class or a value as goal, not {goal}"
        assert generator is not None
        if self._network(dataset, generator) is None:
            if self.params.network:
                return "its network was trained for another dataset or generator"
            return (
                "needs a network for this dataset and generator: vcfe-bench train explainer --method conditional, then "
                "conditional[network=FILE]"
            )
        return None

    def fit(
        self, dataset: Dataset, target: Target, folder: Path, steps: int, log: Callable[[str], None] = print
    ) -> dict[str, Tensor]:
        spec = self.params.generator or dataset.generator
        if not spec:
            raise UsageError(f"dataset '{dataset.spec}' has no generator of its own: conditional[generator=…]")
        network = train(dataset, GENERATORS.build(spec), folder, ConditionalRecipe(steps=steps), log)
        return dict(network.state_dict())

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [self._answer(query, context) for query in queries]

    @torch.no_grad()
    def _answer(self, query: Query, context: Context) -> Explanation:
        generator = context.generator
        assert generator is not None
        network = self._network(context.dataset, generator)
        assert network is not None
        video = query.sample.video[None]
        first = generator.encode(video)[:, :, :1]
        label = conditions_of(context.dataset, torch.tensor([label_of(query.goal)]))
        shape = (1, *generator.latent_shape(context.dataset.shape))
        losses: list[float] = []
        best = video
        draw = query.generator("noise")
        for _ in range(self.params.draws):
            latent = sampled(network, torch.randn(shape, generator=draw), first, label, self.params.steps)
            decoded = generator.decode(latent).clamp(0, 1)
            decoded[:, 0] = video[:, 0]
            loss = float(query.goal.loss(context.target(decoded))[0])
            if not losses or loss < min(losses):
                best = decoded
            losses.append(loss)
        return Explanation(best[0], trace={"loss": losses})

    def _network(self, dataset: Dataset, generator: Generator) -> ConditionalVelocity | None:
        """The network that was trained for a dataset and a generator."""
        pair = pair_of(dataset, generator)
        return next((network for network in self.networks if torch.equal(network.pair, pair)), None)


def sampled(network: ConditionalVelocity, noise: Tensor, first: Tensor, label: Tensor, steps: int) -> Tensor:
    """Latents ``[B, C, t, h, w]`` from noise by Euler steps of equal size; the first latent frame is the given one."""
    latent = noise
    for step in range(steps):
        sigma = 1 - step / steps
        latent = latent - network(latent, torch.full((len(latent),), sigma), first, label) / steps
    return torch.cat([first, latent[:, :, 1:]], dim=2)
