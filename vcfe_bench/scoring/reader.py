"""Originals and stored counterfactuals, verified against the journal."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.metric import Footage
from vcfe_bench.runs.originals import sample_of
from vcfe_bench.runs.run_directory import Line, RunDirectory
from vcfe_bench.video import lossless


class Reader:
    """Originals and stored counterfactuals, verified against the journal."""

    def __init__(self, store: RunDirectory, dataset: Dataset) -> None:
        self.store, self.dataset = store, dataset
        self.originals = store.originals()
        self.sample = lru_cache(maxsize=4)(self._sample)
        self.hash = lru_cache(maxsize=None)(self._hash)

    def _sample(self, index: int) -> Sample:
        split = self.store.configuration["split"]
        original = self.originals.get(index)
        return sample_of(self.dataset, split, original) if original else self.dataset.sample(split, index)

    def _hash(self, index: int) -> str:
        original = self.originals.get(index)
        return original.sha256 if original else lossless.content_hash(lossless.quantise(self.sample(index).video))

    def original(self, index: int) -> Footage:
        sample = self.sample(index)
        return Footage(self.dataset, sample, sample.video)

    def edited(self, line: Line) -> Footage:
        return Footage(self.dataset, self.sample(line["index"]), self.counterfactual(line))

    def counterfactual(self, line: Line) -> Tensor:
        try:
            pixels = self.store.video(line["video"])
            intact = lossless.content_hash(pixels) == line["video_sha256"]
        except OSError:
            intact = False
        if not intact:
            raise UsageError(f"{self.store.path}/videos/{line['video']}{lossless.SUFFIX} is missing or damaged")
        return lossless.dequantise(pixels)
