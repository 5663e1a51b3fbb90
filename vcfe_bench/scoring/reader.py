"""Reads originals and stored counterfactuals, and checks that they are those of the journal."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

from torch import Tensor

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.contract.samples import checked_sample
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.metric import Footage
from vcfe_bench.plugins.read_only import read_only
from vcfe_bench.runs.originals import sample_of
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.video import lossless


class Reader:
    """Reads originals and stored counterfactuals, and checks that they are those of the journal.

    The last few samples are kept in memory: what metrics compute about a sample is shared by its counterfactuals. All
    videos are read-only.
    """

    def __init__(self, store: RunDirectory, dataset: Dataset) -> None:
        self.store, self.dataset = store, dataset
        self.split = store.configuration.split
        self.originals = store.originals()
        self.sample = lru_cache(maxsize=4)(self._sample)
        self.hash = cache(self._hash)

    def original(self, index: int) -> Footage:
        """The original at ``index`` of the split."""
        sample = self.sample(index)
        return Footage(self.dataset, sample, sample.video)

    def edited(self, record: Record) -> Footage:
        """The counterfactual of a record."""
        return Footage(self.dataset, self.sample(record.index), self.counterfactual(record))

    def counterfactual(self, record: Record) -> Tensor:
        """The stored counterfactual of a successful record, ``[T, 3, H, W]`` in [0, 1].

        Raises:
            UsageError: the file is missing or does not hold the video that was stored.
        """
        assert record.video is not None
        try:
            pixels = self.store.video(record.video)
            intact = lossless.content_hash(pixels) == record.video_sha256
        except OSError:
            intact = False
        if not intact:
            raise UsageError(f"{self.store.path}/videos/{record.video}{lossless.SUFFIX} is missing or damaged")
        return read_only(lossless.dequantise(pixels))

    def _sample(self, index: int) -> Sample:
        original = self.originals.get(index)
        if original:
            sample = sample_of(self.dataset, self.split, original)
        else:
            sample = checked_sample(self.dataset, self.split, index)
        return replace(sample, video=read_only(sample.video))

    def _hash(self, index: int) -> str:
        original = self.originals.get(index)
        return original.sha256 if original else lossless.content_hash(lossless.quantise(self.sample(index).video))
