"""Mistakes in targets that are found before a run, and targets that are left alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from vcfe_bench.cli import app
from vcfe_bench.core.errors import UsageError
from vcfe_bench.models.module_target import ModuleParams, ModuleTarget
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.target import Target
from vcfe_bench.plugins.terms import Split
from vcfe_bench.runs import sanity
from vcfe_bench.runs.journal import Original
from vcfe_bench.workflows import run as workflow

from .toys import METRICS, ask

Function = Callable[[Tensor], Tensor]
CLIPS = torch.randint(0, 256, (2, 4, 3, 16, 16), generator=torch.Generator().manual_seed(0)).float() / 255
CLIPS[1] = (CLIPS[1] * 127).round() / 255


def logits(clip: Tensor) -> Tensor:
    """Two outputs of either sign for ``[B, 3, T, H, W]``."""
    return torch.stack([clip.mean((1, 2, 3, 4)), -clip.square().mean((1, 2, 3, 4))], dim=1)


class Clips(Dataset):
    """The two clips."""

    shape = (4, 16, 16)

    def size(self, split: Split) -> int:
        return len(CLIPS)

    def sample(self, split: Split, index: int) -> Sample:
        return Sample(str(index), CLIPS[index], 0, 8.0)


def check(target: Target, force: bool = False) -> list[str]:
    """What is told."""
    told: list[str] = []
    sanity.check(target, Clips(), "test", force, told.append)
    return told


class Given(Target):
    """A target that computes a function."""

    spec = "given"
    fingerprint = "given"

    def __init__(self, function: Function, network: nn.Module | None = None, params: Any = None) -> None:
        super().__init__()
        self.function, self.network = function, network
        if params is not None:
            self.params = params
        self.eval()

    def forward(self, video: Tensor) -> Tensor:
        return self.function(video.transpose(1, 2))


class Stubborn(nn.Module):
    """Stays in training mode."""

    def train(self, mode: bool = True) -> Stubborn:
        return super().train(True)


def unseeded_dropout(clip: Tensor) -> Tensor:
    return logits(nn.functional.dropout(clip, 0.5, training=True))


def batch_statistics(clip: Tensor) -> Tensor:
    return logits(nn.BatchNorm3d(3, track_running_stats=False).eval()(clip) + clip)


REFUSED: dict[str, tuple[Function, str]] = {
    "softmax": (lambda clip: (9 * logits(clip)).softmax(1), "look like probabilities"),
    "constant probabilities": (lambda clip: torch.tensor([[0.99, 0.01]]) + 0 * logits(clip), "look like probabilities"),
    "percent": (lambda clip: 100 * logits(clip).softmax(1), "sum to 100"),
    "not a number": (lambda clip: logits(clip) * torch.nan, "NaN or infinite"),
    "infinite": (lambda clip: logits(clip) / 0, "NaN or infinite"),
    "detached": (lambda clip: logits(clip).detach(), "no gradient .* detached"),
    "numpy": (lambda clip: torch.from_numpy(logits(clip.detach()).numpy()), "no gradient .* detached"),
    "integers": (lambda clip: logits((255 * clip).round() / 255), "gradient .* is zero"),
    "threshold": (lambda clip: logits((clip > 0.5) + 0 * clip), "gradient .* is zero"),
    "gradient of a root at zero": (lambda clip: logits(clip) + (0 * clip).sqrt().sum(), "gradient .* NaN"),
    "dropout": (unseeded_dropout, "different outputs: a layer is in training mode"),
    "batch statistics": (batch_statistics, "depends on the other clips of its batch"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_refused_unless_forced(case: str) -> None:
    function, message = REFUSED[case]
    with pytest.raises(UsageError, match=f"(?s){message}.*--force"):
        check(Given(function))
    assert check(Given(function), force=True)


@pytest.mark.parametrize(
    "function",
    [
        logits,
        lambda clip: logits(clip).log_softmax(1),
        lambda clip: logits(clip)[:, :1],
        lambda clip: logits(clip).softmax(1)[:, :1],
        lambda clip: 30 * logits(clip),
    ],
)
def test_good_targets_are_left_alone(function: Function) -> None:
    assert sanity.examine(Given(function), CLIPS) == sanity.Findings()


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda output: output.to(torch.complex64), "returns torch.complex64, not a floating-point tensor"),
        (lambda output: output.long(), "returns torch.int64, not a floating-point tensor"),
        (lambda output: output[0], r"returns the shape \(2,\) for one video, not \(1, K\)"),
        (lambda output: output[:, :0], r"returns the shape \(1, 0\) for one video"),
        (lambda output: output[..., None], r"returns the shape \(1, 2, 1\) for one video"),
    ],
)
def test_outputs_of_another_form_are_one_line_even_if_forced(form: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(Given(lambda clip: form(logits(clip))), force=True)


def test_outputs_of_sigmoids_and_layers_in_training_mode_are_told() -> None:
    assert "sigmoid" in check(Given(lambda clip: logits(clip).sigmoid()))[0]
    (text,) = check(Given(logits, Stubborn()))
    assert "network" in text
    assert "training mode" in text


@pytest.mark.parametrize(("trained", "told"), [(None, False), (8.0, False), (10.0, False), (30.0, True), (2.0, True)])
def test_another_frame_rate_is_told(trained: float | None, told: bool) -> None:
    target = Given(logits)
    target.fps = trained
    assert bool(check(target)) == told


@pytest.mark.parametrize(
    ("mean", "std", "refused"),
    [
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), True),
        ((0.45, 0.45, 0.45), (57.0, 57.0, 57.0), True),
        ((127.5,) * 3, (1.0,) * 3, True),
        ((0.45,) * 3, (0.225,) * 3, False),
        ((0.0,) * 3, (1.0,) * 3, False),
        ((0.0,) * 3, (1 / 255,) * 3, False),
    ],
)
def test_statistics_of_pixels_up_to_255_are_refused(mean: Any, std: Any, refused: bool) -> None:
    found = sanity.examine(Given(logits, params=ModuleParams(mean=mean, std=std)), CLIPS).refusals
    assert bool(found) == refused
    assert not refused or "divide both by 255" in found[0]


def original(label: float, output: tuple[float, ...]) -> Original:
    return Original(0, "x", label, 8.0, "0" * 64, output)


def hot(index: int, count: int = 3) -> tuple[float, ...]:
    return tuple(float(k == index) for k in range(count))


def test_accuracy_near_chance_is_told() -> None:
    names = ("a", "b", "c")
    right = [original(k % 3, hot(k % 3)) for k in range(12)]
    constant = [original(k % 3, hot(0)) for k in range(12)]
    turned = [original(k % 3, hot((k + 1) % 3)) for k in range(12)]
    assert sanity.doubts(right, names) == []
    assert "4 of 12 videos agree" in sanity.doubts(constant, names)[0]
    assert "another order" not in sanity.doubts(constant, names)[0]
    assert "another order than the outputs (a for c, b for a, c for b)" in sanity.doubts(turned, names)[0]
    assert sanity.doubts(constant[:7], names) == []
    assert sanity.doubts([original(float("nan"), hot(0))] * 20, names) == []


def test_a_regressor_in_another_unit_is_told() -> None:
    labels = [float(value) for value in range(30, 70, 4)]
    assert sanity.doubts([original(label, (label + 2,)) for label in labels], ()) == []
    assert "unit" in sanity.doubts([original(label, (label / 100,)) for label in labels], ())[0]


def test_a_failing_network_is_told_what_it_got_and_what_it_may_want(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    Path(tmp_path, "particular.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Frames(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.net = nn.Linear(3, 2)\n"
        "    def forward(self, x):\n        return self.net(x.mean((1, 3, 4)))\n"
        "class Sized(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.net = nn.Linear(3 * 8 * 112 * 112, 2)\n"
        "    def forward(self, x):\n        return self.net(x.flatten(1))\n"
    )
    wanted = {"Frames": r"it may want \[B, T, C, H, W\]: \[1, 4, 3, 16, 16\]", "Sized": r"--clip 8x112"}
    for name, message in wanted.items():
        target = ModuleTarget(ModuleParams(build=f"particular:{name}", frames=4, size=16))
        with pytest.raises(UsageError, match=r"fails on \[1, 3, 4, 16, 16\] .*" + message):
            check(target, force=True)


def test_a_run_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vcfe_toys.models import Conv

    forward = Conv.forward
    monkeypatch.setattr(Conv, "forward", lambda self, video: forward(self, video).softmax(1))
    with pytest.raises(UsageError, match="look like probabilities"):
        workflow.run(ask(limit=2), tmp_path / "run", METRICS)
    assert not (tmp_path / "run").exists()
    with pytest.warns(UserWarning, match="look like probabilities"):
        workflow.run(ask(limit=2), tmp_path / "run", METRICS, force=True)
    workflow.run(ask(limit=2), tmp_path / "run", METRICS)  # resumes without the flag


@pytest.mark.parametrize("wrong", ["probabilities", "chance"])
def test_an_evaluation_checks_its_target_first(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from vcfe_toys.models import Conv

    forward = Conv.forward
    change: Function = (lambda out: out.softmax(1)) if wrong == "probabilities" else (lambda out: out.roll(1, dims=1))
    monkeypatch.setattr(Conv, "forward", lambda self, video: change(forward(self, video)))
    options = ["evaluate", "target", "--dataset", "toy_lights", "--limit", "9", "--robust-limit", "1"]
    refused = CliRunner().invoke(app, options)
    if wrong == "probabilities":
        assert isinstance(refused.exception, UsageError)
        assert "look like probabilities" in str(refused.exception)
    forced = CliRunner().invoke(app, [*options, "--force"])
    assert forced.exit_code == 0
    assert {"probabilities": "warning: target 'toy_conv': outputs", "chance": "in another order"}[
        wrong
    ] in forced.stderr


def test_the_command_line_takes_the_flag() -> None:
    for command in ("run", "explain", "score", "evaluate target", "evaluate generator", "evaluate randomisation"):
        assert "--force" in CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"}).output
