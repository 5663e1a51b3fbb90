"""The resumable training loop of targets, autoencoders and transformers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.training import checkpoint_file

if TYPE_CHECKING:
    from accelerate import Accelerator

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Schedule:
    """Learning rate over ``steps`` updates: linear ``warmup``, then cosine decay to ``floor`` times the peak."""

    steps: int
    warmup: int = 100
    floor: float = 0.02

    def factor(self, step: int) -> float:
        """Factor of the peak learning rate at ``step``."""
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
    accelerator: Accelerator | None = None,
) -> M:
    """Minimise ``loss(step, rng)`` over ``module`` and return the exponential moving average of its weights.

    The randomness of a step depends only on ``(seed, step)``, and everything else is saved in ``checkpoint`` every
    ``every`` steps (see ``checkpoint_file``), so that an interrupted training resumes as if it had not been.
    ``identity`` describes the model, the recipe and the dataset.

    With an ``accelerator`` the loss is computed at its precision, gradients are averaged over its processes, and only
    its main process writes and logs. ``module`` has to be on the accelerator's device and not prepared by it.

    Raises:
        UsageError: the checkpoint belongs to another training, is damaged like the one before, or cannot be written.
    """
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(ema))  # type: ignore[no-untyped-call]
    scaler = accelerator and accelerator.scaler
    if accelerator:
        optimizers = [accelerator.prepare_optimizer(optimizer) for optimizer in optimizers]
    main = accelerator is None or accelerator.is_main_process
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    start = 0
    state = checkpoint_file.read(checkpoint, log if main else lambda text: None)
    if state is not None:
        if state["identity"] != identity:
            raise UsageError(f"{checkpoint} belongs to another training: choose another --checkpoints folder")
        module.load_state_dict(state["module"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if scaler:
            scaler.load_state_dict(state["scaler"])
        start = state["step"]
        if main:
            log(f"resumed at step {start} of {schedule.steps}")
    parameters = [p for p in module.parameters() if p.requires_grad]
    recent: list[float] = []
    began = time.monotonic()
    for step in range(start, schedule.steps):
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            for group, lr in zip(optimizer.param_groups, peak, strict=True):
                group["lr"] = lr * schedule.factor(step)
            optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
        rng = np.random.default_rng([seed, step])
        if accelerator is None:
            value = loss(step, rng)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, clip)
        else:
            with accelerator.autocast():
                value = loss(step, rng)
            accelerator.backward(value)
            _average(parameters, accelerator)
            accelerator.clip_grad_norm_(parameters, clip)
        for optimizer in optimizers:
            optimizer.step()
        average.update_parameters(module)
        recent.append(float(value.detach()))
        if main and ((step + 1) % every == 0 or step + 1 == schedule.steps):
            elapsed = time.monotonic() - began
            log(f"step {step + 1}/{schedule.steps}  loss {np.mean(recent):.4f}  {elapsed:.0f} s")
            recent.clear()
            state = {
                "module": module.state_dict(),
                "average": average.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "step": step + 1,
                "identity": identity,
            }
            checkpoint_file.write(checkpoint, state | ({"scaler": scaler.state_dict()} if scaler else {}))
    return average.module  # type: ignore[return-value]


def _average(parameters: list[nn.Parameter], accelerator: Accelerator) -> None:
    """Replace each process's gradients by their mean over all processes."""
    if accelerator.num_processes == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    mean = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
    for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
