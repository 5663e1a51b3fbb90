"""The videos that a run starts from, and the target's prediction for each."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.terms import Split
from vcfe_bench.runs.journal import Original
from vcfe_bench.runs.setup import Setup
from vcfe_bench.video import lossless


def sample_of(dataset: Dataset, split: Split, original: Original) -> Sample:
    """The sample of the dataset that an original was made from.

    Raises:
        UsageError: the video has changed.
    """
    sample = dataset.sample(split, original.index)
    if lossless.content_hash(lossless.quantise(sample.video)) != original.sha256:
        raise UsageError(f"video {sample.id} of dataset '{dataset.spec}' has changed since the run was planned")
    return sample


class Originals:
    """The originals of a split by index; the target is run on each once, and not on those that are ``known``."""

    def __init__(self, setup: Setup, known: Mapping[int, Original]) -> None:
        self.setup = setup
        self.known = dict(known)

    def __getitem__(self, index: int) -> Original:
        if index not in self.known:
            sample = self.setup.dataset.sample(self.setup.request.split, index)
            pixels = lossless.quantise(sample.video)
            with torch.no_grad():
                output = self.setup.target(lossless.dequantise(pixels)[None])[0]
            self.known[index] = Original(
                index, sample.id, sample.label, sample.fps, lossless.content_hash(pixels), tuple(output.tolist())
            )
        return self.known[index]
