"""Robustness: does the flip survive alterations that keep the content? All rates are over flipped videos."""

from __future__ import annotations

import math
from abc import abstractmethod
from fractions import Fraction
from io import BytesIO
from threading import Lock
from typing import Final

import av
import numpy as np
import torch
import torch.nn.functional as F
from av.codec.codec import UnknownCodecError
from av.video.reformatter import VideoReformatter
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.requery import flipped, survives
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric
from vcfe_bench.video import lossless

CODEC: Final = "libx264"
CRF = 23
"""Encoder and its default quality, which most videos on the web have been through."""
SIGMA = 0.75
"""Blur in pixels: keeps 6 % of an amplitude at the Nyquist frequency, 84 % at a quarter of it."""

_ENCODER, _DECODER = Lock(), Lock()
"""Video encoders and decoders keep state during a call, so each is called by one thread at a time."""


def h264(video: Tensor, fps: float) -> Tensor:
    """``[T, 3, H, W]`` in [0, 1], both sides even, encoded as H.264 (4:2:0, crf 23) and decoded; 8-bit values."""
    frames = lossless.quantise(video).permute(0, 2, 3, 1).contiguous().numpy()
    file, reformatter = BytesIO(), VideoReformatter()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(CODEC, rate=Fraction(fps).limit_denominator(1001), options={"crf": str(CRF)})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            packed = reformatter.reformat(av.VideoFrame.from_ndarray(frame, format="rgb24"), format="yuv420p")
            container.mux(stream.encode(packed))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        decoded = [reformatter.reformat(frame, format="rgb24").to_ndarray() for frame in container.decode(video=0)]
    return lossless.dequantise(torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).contiguous())


def shifts(video: Tensor) -> Tensor:
    """``[T, 3, H, W]`` shifted by one pixel left, right, up and down, ``[4, T, 3, H, W]``; the border is repeated.

    >>> shifts(torch.arange(3.0).expand(1, 3, 1, 3))[:2, 0, 0, 0].tolist()
    [[1.0, 2.0, 2.0], [0.0, 0.0, 1.0]]
    """
    height, width = video.shape[2:]
    padded = F.pad(video, (1, 1, 1, 1), mode="replicate")
    corners = ((1, 2), (1, 0), (2, 1), (0, 1))
    return torch.stack([padded[:, :, y : y + height, x : x + width] for y, x in corners])


class _Survival(SampleMetric):
    """1 where the goal is met for every altered version of a flipped counterfactual, else 0; NaN without a flip."""

    needs_target = True

    @abstractmethod
    def alter(self, case: Case) -> Tensor:
        """The altered versions, ``[n, T, 3, H, W]`` in [0, 1]."""

    def score(self, case: Case) -> float:
        if video_pair(case) is None or not flipped(case):
            return math.nan
        return survives(case, self.alter(case))


_FAILURES = (
    "Over flipped videos only: a method that flips few, easy videos looks robust; read it alongside FR and n. A target "
    "that is itself sensitive to the alteration lowers every method's rate: compare with the row of true_edit."
)


class SurvivesH264(_Survival):
    """The flip survives lossy compression: H.264 with x264's default quality."""

    card = Card(
        name="survives_H264",
        question="How many flips survive video compression?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source=f"definition; x264, crf {CRF}, 4:2:0",
        failure_modes=f"{_FAILURES} Small frames lose less than large ones, and saturated colours lose most. The last "
        "digits depend on the version of the encoder.",
        selected=True,
    )

    def unavailable(self, dataset: Dataset) -> str | None:
        if any(side % 2 for side in dataset.shape[1:]):
            return "H.264 with 4:2:0 colour needs even sides"
        try:
            av.codec.Codec(CODEC, "w")
        except UnknownCodecError:
            return f"PyAV is built without {CODEC}: install a wheel of PyAV from PyPI"
        return None

    def alter(self, case: Case) -> Tensor:
        return h264(case.counterfactual, case.sample.fps)[None]


class SurvivesShift(_Survival):
    """The flip survives a shift by one pixel in each of the four directions."""

    card = Card(
        name="survives_shift",
        question="How many flips survive a shift by one pixel in each of the four directions?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="definition; all four directions, border repeated",
        failure_modes=f"{_FAILURES} A pixel is more in a small frame than in a large one.",
        selected=True,
    )

    def alter(self, case: Case) -> Tensor:
        return shifts(case.counterfactual)


class SurvivesBlur(_Survival):
    """The flip survives a slight blur of every frame."""

    card = Card(
        name="survives_blur",
        question="How many flips survive a slight blur?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source=f"definition; Gaussian, σ {SIGMA} pixels, frame by frame",
        failure_modes=f"{_FAILURES} Low-frequency noise survives.",
        selected=True,
    )

    def alter(self, case: Case) -> Tensor:
        return gaussian_blur(case.counterfactual, [7, 7], [SIGMA, SIGMA])[None]


class SurvivesReconstruction(_Survival):
    """The flip survives the run's own generator: the counterfactual encoded and decoded again."""

    needs_generator = True
    card = Card(
        name="survives_reconstruction",
        question="How many flips survive a round trip through the generator's autoencoder?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="definition; D(E(x')) of the run's generator",
        failure_modes=f"{_FAILURES} A video made by the same generator is close to what it can represent and survives "
        "more easily than others. Rates of runs with different generators are not comparable.",
        selected=True,
    )

    @torch.no_grad()
    def alter(self, case: Case) -> Tensor:
        if case.generator is None:
            raise ValueError("the metric needs the generator, and the case has none")
        with _ENCODER:
            latent = case.generator.encode(case.counterfactual[None])
        with _DECODER:
            return case.generator.decode(latent).clamp(0, 1)
