"""The resumable training loop that targets, autoencoders and transformers share."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vcfe_bench.errors import UsageError

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Schedule:
    """``steps`` updates with linear warm-up over ``warmup`` and a cosine fall to ``floor`` times the learning rate."""

    steps: int
    warmup: int = 100
    floor: float = 0.02

    def factor(self, step: int) -> float:
        """Share of the learning rate at ``step``."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))


def run(
    module: M,
    optimizers: list[torch.optim.Optimizer],
    loss: Callable[[int, np.random.Generator], Tensor],
    schedule: Schedule,
    checkpoint: Path,
    *,
    identity: str,
    seed: int,
    ema: float,
    clip: float = 1.0,
    every: int = 100,
    log: Callable[[str], None] = print,
) -> M:
    """Minimise ``loss(step, rng)`` over ``module`` and return the exponential moving average of its weights.

    The randomness of a step depends on ``(seed, step)`` alone, and everything else is kept in ``checkpoint`` (written
    every ``every`` steps, atomically), so that an interrupted training goes on as if it had not been interrupted.
    ``identity`` says what is trained on what.

    Raises:
        UsageError: the checkpoint is of another training.
    """
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(ema))
    base = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if state["identity"] != identity:
            raise UsageError(f"{checkpoint} is of another training: choose another folder for checkpoints or delete it")
        module.load_state_dict(state["module"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start = state["step"]
        log(f"resumed at step {start} of {schedule.steps}")
    parameters = [p for p in module.parameters() if p.requires_grad]
    recent: list[float] = []
    began = time.monotonic()
    for step in range(start, schedule.steps):
        for optimizer, rates in zip(optimizers, base, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * schedule.factor(step)
            optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
        value = loss(step, np.random.default_rng([seed, step]))
        value.backward()
        nn.utils.clip_grad_norm_(parameters, clip)
        for optimizer in optimizers:
            optimizer.step()
        average.update_parameters(module)
        recent.append(float(value.detach()))
        if (step + 1) % every == 0 or step + 1 == schedule.steps:
            elapsed = time.monotonic() - began
            log(f"step {step + 1}/{schedule.steps}  loss {np.mean(recent):.4f}  {elapsed:.0f} s")
            recent.clear()
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            partial = checkpoint.with_suffix(".partial")
            torch.save(
                {
                    "module": module.state_dict(),
                    "average": average.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                    "step": step + 1,
                    "identity": identity,
                },
                partial,
            )
            os.replace(partial, checkpoint)
    return average.module  # type: ignore[return-value]
