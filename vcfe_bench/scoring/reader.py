"""Reads originals and stored counterfactuals, and checks that they are those of the journal."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
from torch import Tensor

from vcfe_bench.plugins.contract.samples import checked_sample
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.metric import Footage
from vcfe_bench.plugins.read_only import read_only
from vcfe_bench.runs.files import AGAIN, DamagedFile
from vcfe_bench.runs.originals import sample_of
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import ARTEFACTS, RunDirectory
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
            DamagedFile: the file is missing or does not hold the video that was stored.
        """
        assert record.video is not None
        return read_only(lossless.dequantise(self.store.video(record.video, record.video_sha256)))

    def artefacts(self, record: Record) -> dict[str, np.ndarray]:
        """The artefacts that were stored with the counterfactual of a record.

        Raises:
            DamagedFile: they are missing or damaged.
        """
        stored = self.store.arrays(ARTEFACTS, record.id)
        if stored is None and ARTEFACTS in record.files:
            raise DamagedFile(f"{self.store.path / ARTEFACTS / record.id}.npz is missing: {AGAIN}")
        return stored or {}

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
