"""The videos that a run starts from, and what the target predicts for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.dataset import Dataset, Sample, Split
from vcfe_bench.runs.setup import Setup
from vcfe_bench.video import lossless


@dataclass(frozen=True)
class Original:
    """One video of the split and what the target says of it; ``output`` is the raw output ``[K]``."""

    index: int
    sample: str
    label: int | float
    fps: float
    sha256: str
    output: tuple[float, ...]

    @property
    def prediction(self) -> int | float:
        """The likeliest class, or the value of a target with one output."""
        return self.output[0] if len(self.output) == 1 else max(range(len(self.output)), key=self.output.__getitem__)

    @property
    def video(self) -> str:
        """Name of the stored video."""
        return f"original-{self.sha256[:16]}"


def read_originals(lines: Iterable[Mapping[str, Any]]) -> dict[int, Original]:
    """Originals by index from what ``asdict`` made of them, by way of JSON."""
    return {line["index"]: Original(**{**line, "output": tuple(line["output"])}) for line in lines}


def sample_of(dataset: Dataset, split: Split, original: Original) -> Sample:
    """The dataset's sample for an original.

    Raises:
        UsageError: it is not the same video any more.
    """
    sample = dataset.sample(split, original.index)
    if lossless.content_hash(lossless.quantise(sample.video)) != original.sha256:
        raise UsageError(f"video {sample.id} of dataset '{dataset.spec}' is not the one that was planned")
    return sample


class Survey:
    """The originals of a split by index, each put before the target once; ``known`` ones are not asked again."""

    def __init__(self, setup: Setup, known: Mapping[int, Original]) -> None:
        self.setup = setup
        self.originals = dict(known)

    def __getitem__(self, index: int) -> Original:
        if index not in self.originals:
            sample = self.setup.dataset.sample(self.setup.request.split, index)
            pixels = lossless.quantise(sample.video)
            with torch.no_grad():
                output = self.setup.target(lossless.dequantise(pixels)[None])[0]
            self.originals[index] = Original(
                index, sample.id, sample.label, sample.fps, lossless.content_hash(pixels), tuple(output.tolist())
            )
        return self.originals[index]
