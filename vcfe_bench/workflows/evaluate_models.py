"""``vcfe-bench evaluate``: the quality of targets and generators, as printed on their cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.diffusion import denoise
from vcfe_bench.goals import AvoidGoal
from vcfe_bench.metrics.attributes import Attributes, same
from vcfe_bench.metrics.regression import r2, rmse
from vcfe_bench.plugins.abilities import Bystanders, CausalAttributes, ControlExperiments, IdentityAttributes, Oracle
from vcfe_bench.plugins.contract.samples import checked_sample
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Context, Method, Query
from vcfe_bench.plugins.target import Target
from vcfe_bench.plugins.terms import Split
from vcfe_bench.stats.intervals import clopper_pearson

BATCH = 16
BINS = 15
"""Number of equally wide bins of confidence in the expected calibration error."""
Measure = float | int | bool | str | Mapping[str, float]
Measures = Mapping[str, Measure]
"""Measurements by name."""


def evaluate_target(
    target: Target, dataset: Dataset, attack: Method, limit: int, robust_limit: int, split: Split = "test"
) -> Measures:
    """Accuracy and calibration on the first ``limit`` videos of the split, robust accuracy, and control experiments.

    Accuracy and robust accuracy are those of Table 1 of the BTTF paper: of ``robust_limit`` videos, those count as
    robust that the target predicts correctly and ``attack`` does not change. ``calibration_error`` is the expected
    calibration error (arXiv 1706.04599, equation 3): the difference between confidence and accuracy in each of ``BINS``
    bins of confidence, averaged over videos. The control experiments are those of the dataset.

    A regressor is evaluated by its errors on these videos: ``mae`` and ``rmse`` in the dataset's unit, and the
    coefficient of determination ``r2``. It is not attacked.

    Raises:
        UsageError: the method cannot attack this target.
    """
    if dataset.values is not None:
        return _evaluate_regressor(target, dataset, min(limit, dataset.size(split)), split)
    reason = attack.supports(dataset, target, None, AvoidGoal(0))
    if reason:
        raise UsageError(f"'{attack.spec}' cannot attack this target: {reason}")
    limit, robust_limit = (min(n, dataset.size(split)) for n in (limit, robust_limit))
    outputs, truth = [], []
    for samples in _batches(dataset, limit, split):
        with torch.no_grad():
            outputs.append(target(_videos(samples)))
        truth += [int(sample.label) for sample in samples]
    confidence, predicted = torch.cat(outputs).double().softmax(dim=1).max(dim=1)
    correct = predicted == torch.tensor(truth)
    robust = 0
    for samples in _batches(dataset, robust_limit, split, attack.width):
        queries = [Query(s, AvoidGoal(int(s.label)), seeds.derive(0, s.id, attack.spec)) for s in samples]
        videos = torch.stack([e.video for e in attack.answer(queries, Context(dataset, target))])
        with torch.no_grad():
            before, after = target(_videos(samples)).argmax(1), target(videos).argmax(1)
        labels = torch.tensor([s.label for s in samples])
        robust += int(((before == labels) & (after == labels)).sum())
    return {
        **_proportion("accuracy", int(correct.sum()), limit),
        "calibration_error": calibration_error(confidence.numpy(), correct.double().numpy()),
        **_proportion("robust_accuracy", robust, robust_limit),
        "attack": attack.spec,
        **_controls(dataset, target, limit, split),
    }


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error of predictions with ``confidence [n]`` in [0, 1]; ``correct [n]`` is 1 or 0.

    The last of the ``BINS`` bins includes 1, so that a prediction of full confidence shares the bin of its neighbours.

    >>> calibration_error(np.array([1.0, 0.99]), np.array([1, 0]))  # one bin: confidence 0.995, accuracy 0.5
    0.495
    """
    summed = [np.histogram(confidence, BINS, (0, 1), weights=weights)[0] for weights in (confidence, correct)]
    return float(abs(summed[0] - summed[1]).sum() / len(confidence))


def _proportion(name: str, hits: int, count: int) -> dict[str, float]:
    """The proportion ``hits / count`` with its 95 % Clopper-Pearson interval."""
    low, high = clopper_pearson(hits, count)
    return {name: hits / count, f"{name}_low": low, f"{name}_high": high, f"{name}_n": count}


@torch.no_grad()
def _evaluate_regressor(target: Target, dataset: Dataset, limit: int, split: Split) -> Measures:
    predicted: list[float] = []
    true: list[float] = []
    for samples in _batches(dataset, limit, split):
        predicted += target(_videos(samples))[:, 0].tolist()
        true += [float(sample.label) for sample in samples]
    labels, values = np.array(true), np.array(predicted)
    return {
        "mae": float(abs(values - labels).mean()),
        "rmse": float(rmse(labels, values)),
        "r2": float(r2(labels, values)),
        "n": limit,
        **_controls(dataset, target, limit, split),
    }


@torch.no_grad()
def evaluate_generator(
    generator: Generator,
    target: Target,
    dataset: Dataset,
    limit: int,
    steps: int,
    noises: int,
    split: Split = "test",
) -> Measures:
    """Reconstruction and sampling of an image-to-video generator on the first ``limit`` videos of the split.

    Reconstructions D(E(x)):

    - ``reconstruction_error``: mean absolute error;
    - ``reconstruction_target``: proportion of videos for which the target's prediction does not change (for a
      regressor, by more than the dataset's tolerance);
    - ``reconstruction_shift_95``, for a regressor: the 95 % quantile of the change of the predicted value.

    Samples, one for each video, from its first frame in ``steps`` steps:

    - ``first_frame_error``: mean absolute error of the first frame;
    - ``motion``: mean absolute difference of consecutive frames, ``real_motion`` that of the real videos.

    Samples from the first frame of the first video of the split with ``noises`` different noises:

    - ``variety``: mean absolute difference of consecutive samples;
    - ``repeatable``: whether the same noise gives the same video, bit for bit.

    If the dataset has an oracle, also ``reconstruction_oracle``: proportion of reconstructions with the original's
    label; ``coherent``: proportion of samples with any label; and for classes ``directions``: the frequency of each
    class among the samples with different noises.

    If it measures attributes and knows which make up the identity of the objects, also ``reconstruction_identity`` and
    ``sample_identity``: the share of these attributes that are those of the original; ``whole``: the proportion of
    samples that are coherent and in which everything that moves can be measured; and ``whole_same``: the proportion in
    which the identity is kept, too.
    """
    limit = min(limit, dataset.size(split))
    sums: Counter[str] = Counter()
    shifts: list[float] = []
    for samples in _batches(dataset, limit, split):
        originals, count = _videos(samples), len(samples)
        result = generator.decode(generator.encode(originals)).clamp(0, 1)
        drawn = sample(generator, originals[:, 0], dataset.shape, steps, [f"evaluation/{s.id}" for s in samples])
        before, after = (_labels(dataset, target(videos)) for videos in (originals, result))
        shifts += [abs(b - a) for a, b in zip(before, after, strict=True)]
        measured = {
            "reconstruction_error": float((result - originals).abs().mean()) * count,
            "reconstruction_target": sum(map(partial(_same, dataset), before, after)),
            "first_frame_error": float((drawn[:, 0] - originals[:, 0]).abs().mean()) * count,
            "motion": float(drawn.diff(dim=1).abs().mean()) * count,
            "real_motion": float(originals.diff(dim=1).abs().mean()) * count,
        }
        if isinstance(dataset, Oracle):
            kept = [_same(dataset, s.label, dataset.oracle(s, r)) for s, r in zip(samples, result, strict=True)]
            labels = [dataset.oracle(s, v) for s, v in zip(samples, drawn, strict=True)]
            measured |= {"reconstruction_oracle": sum(kept), "coherent": sum(label is not None for label in labels)}
        for number, one in enumerate(samples):
            sums.update(_content(dataset, one, result[number], drawn[number]))
        sums.update(measured)
    return {
        **{name: total / limit for name, total in sums.items()},
        **({"reconstruction_shift_95": float(np.quantile(shifts, 0.95))} if dataset.values else {}),
        "n": limit,
        "steps": steps,
        **_noises(generator, dataset, steps, noises, split),
    }


def _content(dataset: Dataset, sample: Sample, reconstruction: Tensor, drawn: Tensor) -> dict[str, float]:
    """How much of the content of one video is in its reconstruction and in a sample from its first frame, from 0 to 1.

    Empty for a dataset that does not say which attributes make up the identity of its objects.
    """
    if not isinstance(dataset, IdentityAttributes):
        return {}
    original, rebuilt, made = (dataset.attributes_of(sample, v) or {} for v in (sample.video, reconstruction, drawn))
    moving = (
        *(dataset.cause if isinstance(dataset, CausalAttributes) else ()),
        *(dataset.bystanders if isinstance(dataset, Bystanders) else ()),
    )
    coherent = not isinstance(dataset, Oracle) or dataset.oracle(sample, drawn) is not None
    whole = coherent and all(made.get(name) is not None for name in moving)
    kept = _kept(dataset.identity, original, made)
    return {
        "reconstruction_identity": _kept(dataset.identity, original, rebuilt),
        "sample_identity": kept,
        "whole": whole,
        "whole_same": whole and kept == 1,
    }


def _kept(names: Sequence[str], original: Attributes, other: Attributes) -> float:
    """The share of the attributes ``names`` that are the same in another video."""
    return sum(same(original.get(name), other.get(name)) for name in names) / len(names)


def _noises(generator: Generator, dataset: Dataset, steps: int, noises: int, split: Split) -> Measures:
    """Measurements of samples from the first frame of the first video of the split with different noises."""
    chosen = checked_sample(dataset, split, 0)
    labels: Counter[str] = Counter()
    differences: list[float] = []
    last: list[Tensor] = []
    for first in range(0, noises, BATCH):
        names = [f"evaluation/noise/{k}" for k in range(first, min(first + BATCH, noises))]
        frames = chosen.video[:1].expand(len(names), -1, -1, -1)
        videos = sample(generator, frames, dataset.shape, steps, names)
        differences += [float((a - b).abs().mean()) for a, b in pairwise([*last, *videos])]
        last = [videos[-1]]
        if isinstance(dataset, Oracle) and dataset.classes:
            shown = [dataset.oracle(chosen, video) for video in videos]
            labels.update("none" if label is None else dataset.classes[int(label)] for label in shown)
    again = sample(generator, frames, dataset.shape, steps, names)
    frequencies = {name: labels[name] / noises for name in (*dataset.classes, "none")}
    return {
        "variety": float(np.mean(differences)) if differences else 0.0,
        "variety_n": noises,
        **({"directions": frequencies, "directions_n": noises} if labels else {}),
        "repeatable": bool(torch.equal(videos, again)),
    }


@torch.no_grad()
def sample(
    generator: Generator, first_frames: Tensor, shape: tuple[int, int, int], steps: int, names: list[str]
) -> Tensor:
    """Videos ``[B, T, 3, H, W]`` in [0, 1] from first frames ``[B, 3, H, W]``; names determine the noises."""
    latent = generator.latent_shape(shape)
    noise = torch.stack(
        [torch.randn(latent, generator=torch.Generator().manual_seed(seeds.derive(name))) for name in names]
    )
    condition = generator.condition(first_frames, shape)
    return generator.decode(denoise(generator, noise, condition, steps)).clamp(0, 1)


def _controls(dataset: Dataset, target: Target, limit: int, split: Split) -> Mapping[str, float]:
    return dataset.controls(target, limit, split) if isinstance(dataset, ControlExperiments) else {}


def _labels(dataset: Dataset, output: Tensor) -> list[int | float]:
    """The predicted class or value for each row of a target's output."""
    return (output.argmax(1) if dataset.values is None else output[:, 0]).tolist()


def _same(dataset: Dataset, label: int | float, other: int | float | None) -> bool:
    """Whether two labels are equal, or two values within the dataset's tolerance."""
    return other is not None and abs(other - label) <= (dataset.values.tolerance if dataset.values else 0)


def _batches(dataset: Dataset, limit: int, split: Split, width: int = BATCH) -> Iterator[list[Sample]]:
    for first in range(0, limit, width):
        yield [checked_sample(dataset, split, index) for index in range(first, min(first + width, limit))]


def _videos(samples: list[Sample]) -> Tensor:
    return torch.stack([s.video for s in samples])
