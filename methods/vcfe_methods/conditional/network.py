"""The velocity of latents, conditioned on the first frame and on the class or value that the video shall have.

The network is small and convolutional: residual blocks of 3×3×3 convolutions on the latents, each modulated by the
noise level and the condition. The latent of the first frame is an input for every latent frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench.core import weights
from vcfe_bench.core.weights import CorruptWeights
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.interfaces import Values

WAVES = 16
"""Number of frequencies of the features of a number in [0, 1]."""


def waves(numbers: Tensor) -> Tensor:
    """Sines and cosines ``[B, 2 · WAVES]`` of numbers ``[B]`` in [0, 1]."""
    angles = numbers[:, None] * math.pi * 2 ** torch.linspace(0, 6, WAVES, device=numbers.device)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def condition(labels: Tensor, classes: int, values: Values | None) -> Tensor:
    """Features of labels ``[B]``: of values their place in the range, of classes a one-hot code."""
    if values is None:
        return F.one_hot(labels.long(), classes).float()
    return waves(((labels.float() - values.low) / (values.high - values.low)).clamp(0, 1))


def label_of(goal: Goal) -> float:
    """The label that a counterfactual for the goal shall have."""
    if isinstance(goal, ClassGoal):
        return float(goal.index)
    assert isinstance(goal, ValueGoal)
    return goal.value


class Block(nn.Module):
    """Two convolutions, modulated after the first, around which the input is added."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.first = nn.Conv3d(width, width, 3, padding=1)
        self.second = nn.Conv3d(width, width, 3, padding=1)
        self.modulation = nn.Linear(code, 2 * width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.modulation(code)[..., None, None, None].chunk(2, dim=1)
        hidden = self.first(F.silu(self.norm(x)))
        return x + self.second(F.silu(hidden * (1 + scale) + shift))


class ConditionalVelocity(nn.Module):
    """Maps noisy latents ``[B, C, t, h, w]`` to the velocity ε - z_0 ``[B, C, t, h, w]``.

    Further inputs are the noise level ``[B]``, the latent of the first frame ``[B, C, 1, h, w]`` and the condition
    ``[B, D]``.

    The buffer ``pair`` identifies the dataset and the generator that the weights were trained for.
    """

    pair: Tensor

    def __init__(self, channels: int, conditions: int, width: int = 48, depth: int = 5) -> None:
        super().__init__()
        code = 2 * width
        self.channels = channels
        self.embed = nn.Sequential(nn.Linear(2 * WAVES + conditions, code), nn.SiLU(), nn.Linear(code, code), nn.SiLU())
        self.enter = nn.Conv3d(2 * channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, code) for _ in range(depth))
        self.leave = nn.Conv3d(width, channels, 3, padding=1)
        self.register_buffer("pair", torch.zeros(32, dtype=torch.uint8))

    def forward(self, latent: Tensor, sigma: Tensor, first: Tensor, condition: Tensor) -> Tensor:
        code = self.embed(torch.cat([waves(sigma), condition], dim=1))
        x = self.enter(torch.cat([latent, first.expand_as(latent)], dim=1))
        for block in self.blocks:
            x = block(x, code)
        return self.leave(x)

    @classmethod
    def read(cls, path: Path) -> ConditionalVelocity:
        """A frozen network from a file of weights.

        Raises:
            CorruptWeights: the file is missing or does not contain such a network.
        """
        state = weights.read(path)
        network = cls(*_sizes(state, path))
        weights.fill(network, state, str(path))
        return network


def _sizes(state: Mapping[str, Tensor], path: Path) -> tuple[int, int, int, int]:
    """Channels, features of the condition, width and depth that the weights have."""
    if not {"enter.weight", "embed.0.weight"} <= state.keys():
        raise CorruptWeights(f"{path} is not a file that 'vcfe-bench train explainer --method conditional' wrote")
    width, double = state["enter.weight"].shape[:2]
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    return double // 2, state["embed.0.weight"].shape[1] - 2 * WAVES, width, depth
