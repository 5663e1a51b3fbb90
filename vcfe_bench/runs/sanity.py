"""Checks of a target before a run: mistakes that otherwise show as plausible but meaningless numbers.

A finding that makes the results meaningless is refused unless forced; others are warnings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.plugins.contract.errors import ContractError
from vcfe_bench.plugins.contract.outputs import checked_row
from vcfe_bench.plugins.contract.samples import checked_sample, checked_size
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.target import Target
from vcfe_bench.plugins.terms import Split
from vcfe_bench.runs.journal import Original
from vcfe_bench.runs.video_order import video_order

CLIPS = 2
"""Number of clips that the target is run on."""
LABELLED = 8
"""Smallest number of labelled videos from which an accuracy is judged."""
JUDGED = 16
"""Number of videos whose predictions are compared with their labels where no run provides them."""
RATIO = 1.5
"""Smallest ratio of two frame rates that is told."""
CLOSE = 1e-3
"""Largest accepted difference between two outputs for the same clip, relative to the largest output."""


@dataclass(frozen=True)
class Findings:
    """What was found: ``refusals`` make results meaningless, ``warnings`` make them doubtful."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check(target: Target, dataset: Dataset, split: Split, force: bool, warn: Callable[[str], None]) -> None:
    """Examine ``target`` on the first videos of a split; with ``force``, refusals become warnings.

    Raises:
        UsageError: there are refusals and ``force`` is not set, or the target cannot be run at all.
    """
    samples = [checked_sample(dataset, split, index) for index in range(min(CLIPS, checked_size(dataset, split)))]
    findings = examine(target, torch.stack([sample.video for sample in samples]))
    if findings.refusals and not force:
        raise UsageError(f"target '{target.spec}': {'; '.join(findings.refusals)}; --force runs it as it is")
    for text in (*findings.refusals, *findings.warnings, *rate(target, samples[0].fps)):
        warn(f"target '{target.spec}': {text}")


def examine(target: Target, clips: Tensor) -> Findings:
    """Examine the statistics, the outputs and the gradients of a target on ``clips [N, T, 3, H, W]``.

    Raises:
        UsageError: the target fails on the clips, or returns anything but a row of numbers for each.
    """
    try:
        with torch.no_grad():
            outputs = torch.cat([checked_row(target(clip[None])) for clip in clips])
            again, together = target(clips[:1]), target(clips)
    except UsageError:
        raise
    except ContractError as error:
        raise UsageError(f"target '{target.spec}': {error}") from error
    except Exception as error:
        raise UsageError(
            f"target '{target.spec}' fails on a clip of {list(clips[:1].shape)}: {describe(error)}"
        ) from error
    refusals = _statistics(target)
    if not outputs.isfinite().all():
        return Findings(
            (
                *refusals,
                "outputs are NaN or infinite: check the weights and the mean and std",
            )
        )
    refusals += [*_repeatable(outputs, again, together), *_probabilities(outputs), *_gradients(target, clips)]
    training = [name or type(module).__name__ for name, module in target.named_modules() if module.training]
    warnings = [f"layers are in training mode ({', '.join(training[:3])}): override neither eval() nor train()"]
    return Findings(tuple(refusals), (*(warnings if training else ()), *_sigmoids(outputs)))


def rate(target: Target, fps: float) -> list[str]:
    """Whether clips of ``fps`` frames per second are faster or slower than those the target was trained on."""
    if target.fps is None or not fps > 0 or 1 / RATIO < fps / target.fps < RATIO:
        return []
    return [f"the clips have {fps:.3g} frames per second, but the target was trained on {target.fps:g}"]


def _statistics(target: Target) -> list[str]:
    mean, std = getattr(target.params, "mean", None) or (0.0,), getattr(target.params, "std", None) or (1.0,)
    if max(mean) <= 1 and max(std) <= 1:
        return []
    scaled = [", ".join(f"{value / 255:.3g}" for value in values) for values in (mean, std)]
    return [
        f"mean {_numbers(mean)} and std {_numbers(std)} are those of pixels from 0 to 255, but pixels are in [0, 1]: "
        f"divide both by 255 (mean {scaled[0]}, std {scaled[1]})"
    ]


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _repeatable(outputs: Tensor, again: Tensor, together: Tensor) -> list[str]:
    limit = CLOSE * max(1e-6, float(outputs.abs().max()))
    if float((outputs[:1] - again).abs().max()) > limit:
        return ["two runs on the same clip give different outputs: a layer is in training mode (dropout) or random"]
    if float((outputs - together).abs().max()) > limit:
        return [
            "the output for a clip depends on the other clips of its batch: batch normalisation uses statistics of the "
            "batch (training mode, or track_running_stats=False)"
        ]
    return []


def _probabilities(outputs: Tensor) -> list[str]:
    if outputs.shape[1] < 2 or bool((outputs < -1e-6).any()):
        return []
    sums = outputs.double().sum(dim=1)
    for total, name in ((1.0, "1"), (100.0, "100")):
        if bool(((sums - total).abs() < 1e-3 * total).all()):
            return [
                f"outputs are not negative and sum to {name}, so they look like probabilities, but are read as logits: "
                "return the input of the softmax, or the logarithm of the probabilities"
            ]
    return []


def _sigmoids(outputs: Tensor) -> list[str]:
    if outputs.shape[1] < 2 or bool(((outputs < 0) | (outputs > 1)).any()) or _probabilities(outputs):
        return []
    return ["all outputs are between 0 and 1: if they come from a sigmoid, return its input instead"]


def _gradients(target: Target, clips: Tensor) -> list[str]:
    """The gradient of a weighted sum of the outputs, since that of a plain sum vanishes after a softmax."""
    advice = "methods that follow gradients, such as PGD, cannot work"
    largest = 0.0
    for clip in clips:
        video = clip[None].clone().requires_grad_()
        try:
            with torch.enable_grad():
                output = target(video)
                weight = torch.linspace(1, 2, output.shape[1], device=output.device)
                (gradient,) = torch.autograd.grad((output * weight).sum(), video, allow_unused=True)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            absent = "does not require grad" in str(error)
            reason = "its outputs are detached from the video" if absent else describe(error)
            return [f"there is no gradient with respect to the video ({reason}): {advice}"]
        if gradient is None:
            return [f"there is no gradient with respect to the video (its outputs do not depend on it): {advice}"]
        if not gradient.isfinite().all():
            return ["the gradient with respect to the video is NaN or infinite"]
        largest = max(largest, float(gradient.abs().max()))
    if largest == 0:
        return [f"the gradient with respect to the video is zero (rounding, a comparison, or saturation): {advice}"]
    return []


def check_with_labels(target: Target, dataset: Dataset, split: Split, force: bool, warn: Callable[[str], None]) -> None:
    """As ``check``, and compare predictions for ``JUDGED`` videos with their labels.

    Raises:
        UsageError: as ``check``.
    """
    check(target, dataset, split, force, warn)
    samples = [checked_sample(dataset, split, index) for index in video_order(dataset, split)[:JUDGED]]
    with torch.no_grad():
        outputs = [target(sample.video[None])[0].tolist() for sample in samples]
    for doubt in _doubts([float(sample.label) for sample in samples], outputs, dataset.classes):
        warn(f"target '{target.spec}': {doubt}")


def doubts(originals: Sequence[Original], classes: Sequence[str]) -> list[str]:
    """Whether predictions for ``originals`` agree with their labels better than a constant would.

    Nothing is said of fewer than ``LABELLED`` labelled videos. An accuracy within one standard error of chance is
    near chance; the classes seem to be in another order if another assignment of outputs to labels explains 80 %.
    """
    return _doubts([original.label for original in originals], [original.output for original in originals], classes)


def _doubts(labels: Sequence[float], outputs: Sequence[Sequence[float]], classes: Sequence[str]) -> list[str]:
    known = np.isfinite(labels)
    if known.sum() < LABELLED:
        return []
    truth, values = np.array(labels)[known], np.array(outputs)[known]
    return _classifier(truth.astype(int), values, classes) if classes else _regressor(truth, values[:, 0])


def _classifier(labels: np.ndarray, outputs: np.ndarray, classes: Sequence[str]) -> list[str]:
    count, chance = len(labels), 1 / len(classes)
    predictions = outputs.argmax(axis=1)
    correct = int((predictions == labels).sum())
    if correct / count > chance + np.sqrt(chance * (1 - chance) / count):
        return []
    text = f"the predictions for {correct} of {count} videos agree with their labels, which is near chance"
    confusion = np.zeros((len(classes), len(classes)))
    np.add.at(confusion, (predictions, labels), 1)
    rows, columns = linear_sum_assignment(-confusion)
    if confusion[rows, columns].sum() >= 0.8 * count and count >= 3 * len(set(labels.tolist())) > 3:
        moved = [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if r != c and confusion[r, c]]
        pairs = ", ".join(f"{classes[row]} for {classes[column]}" for row, column in moved[:3])
        return [f"{text}; the classes seem to be in another order than the outputs ({pairs})"]
    return [f"{text}: check the weights, the mean and std, and the order of the classes"]


def _regressor(labels: np.ndarray, values: np.ndarray) -> list[str]:
    error, spread = np.abs(labels - values).mean(), np.abs(labels - np.median(labels)).mean()
    if error <= spread:
        return []
    return [
        f"the mean error of the predictions is {error:.3g}, that of a constant {spread:.3g}: check the weights, the "
        "mean and std, and the unit of the outputs"
    ]
