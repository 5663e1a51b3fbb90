"""PGD against foolbox."""

from __future__ import annotations

from collections.abc import Iterator

import eagerpy
import foolbox
import torch
from torch import nn

from tests.parity import videos
from tests.parity.measurement import Measurement, absolute
from vcfe_bench.goals import AvoidGoal, ClassGoal, losses
from vcfe_methods.pgd import attack

RADIUS, STEPS, RATE = 1.5, 10, 2.5


def pgd() -> Iterator[Measurement]:
    torch.manual_seed(0)
    clips = torch.stack([video[:9, :, :64, :64] for video in videos.originals()])
    model = nn.Sequential(nn.Flatten(), nn.Linear(clips[0].numel(), 16), nn.Tanh(), nn.Linear(16, 3)).eval()
    labels = torch.arange(len(clips)) % 3
    reference = foolbox.attacks.L2ProjectedGradientDescentAttack(
        abs_stepsize=RATE * RADIUS / STEPS, steps=STEPS, random_start=False
    )
    for goal, criterion in ((ClassGoal, foolbox.criteria.TargetedMisclassification(labels)), (AvoidGoal, labels)):
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        _, expected, _ = reference(wrapped, clips, criterion, epsilons=RADIUS)
        goals = [goal(int(label)) for label in labels]

        def loss(current: torch.Tensor, goals: list = goals) -> torch.Tensor:
            return losses(goals, model(current))

        result = attack(loss, clips, radius=RADIUS, steps=STEPS, stepsize=RATE * RADIUS / STEPS)
        yield Measurement(
            f"PGD towards {goal.__name__}, 10 steps",
            "foolbox",
            "real videos, 64×64",
            absolute(result, eagerpy.astensor(expected).raw),
            "absolute",
            1e-5,
        )
