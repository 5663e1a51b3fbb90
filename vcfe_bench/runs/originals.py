"""The videos that a run starts from, and the target's prediction for each."""

from __future__ import annotations

from collections.abc import Mapping

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.contract.errors import ContractError
from vcfe_bench.plugins.contract.outputs import checked_output
from vcfe_bench.plugins.contract.samples import checked_sample
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.terms import Split
from vcfe_bench.runs.journal import Original
from vcfe_bench.runs.setup import Setup
from vcfe_bench.video import lossless


def sample_of(dataset: Dataset, split: Split, original: Original) -> Sample:
    """The sample of the dataset that an original was made from.

    Raises:
        UsageError: the video has changed, or cannot be read.
    """
    sample = checked_sample(dataset, split, original.index)
    if lossless.content_hash(lossless.quantise(sample.video)) != original.sha256:
        raise UsageError(f"video {sample.id} of dataset '{dataset.spec}' has changed since the run was planned")
    return sample


class Originals:
    """The originals of a split by index; the target is run on each once, and not on those that are ``known``.

    Reading one raises a UsageError if the dataset or the target breaks its contract, or if two videos have one id.
    """

    def __init__(self, setup: Setup, known: Mapping[int, Original]) -> None:
        self.setup = setup
        self.known = dict(known)
        self.indices = {original.sample: index for index, original in known.items()}

    def __getitem__(self, index: int) -> Original:
        if index not in self.known:
            self.known[index] = self._predicted(index)
        return self.known[index]

    def _predicted(self, index: int) -> Original:
        dataset, target, split = self.setup.dataset, self.setup.target, self.setup.request.split
        sample = checked_sample(dataset, split, index)
        if self.indices.setdefault(sample.id, index) != index:
            raise UsageError(
                f"dataset '{dataset.spec}': videos {self.indices[sample.id]} and {index} of the {split} split have the "
                f"same id {sample.id}"
            )
        pixels = lossless.quantise(sample.video)
        width = next((len(original.output) for original in self.known.values()), None)
        try:
            output = checked_output(target, lossless.dequantise(pixels), width)
        except ContractError as error:
            raise UsageError(f"target '{target.spec}', video {sample.id}: {error}") from error
        return Original(index, sample.id, sample.label, sample.fps, lossless.content_hash(pixels), output)
