"""Robustness: is the flip still there after an alteration that means nothing? All rates are over flipped videos."""

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

from vcfe_bench.metrics.inputs import pair
from vcfe_bench.metrics.requery import flipped, survives
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric
from vcfe_bench.video import lossless

CODEC: Final = "libx264"
CRF = 23
"""Encoder and its default quality: what most videos on the web went through."""
SIGMA = 0.75
"""Blur in pixels: leaves 6 % of an amplitude at the Nyquist frequency, 84 % at a quarter of it."""

_ENCODER, _DECODER = Lock(), Lock()
"""Encoders and decoders of video keep the frames of a call: one call of each at a time."""


def h264(video: Tensor, fps: float) -> Tensor:
    """``[T, 3, H, W]`` in [0, 1], both sides even, after H.264 (4:2:0, crf 23) and back; on the 8-bit grid."""
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
    """``[T, 3, H, W]`` moved by one pixel left, right, up and down, ``[4, T, 3, H, W]``; the border is repeated."""
    height, width = video.shape[2:]
    wide = F.pad(video, (1, 1, 1, 1), mode="replicate")
    corners = ((1, 2), (1, 0), (2, 1), (0, 1))
    return torch.stack([wide[:, :, y : y + height, x : x + width] for y, x in corners])


class _Survival(SampleMetric):
    """1 where the goal is met for every altered version of a flipped counterfactual, else 0; NaN without a flip."""

    needs_target = True

    @abstractmethod
    def alter(self, case: Case) -> Tensor:
        """The altered versions, ``[n, T, 3, H, W]`` in [0, 1]."""

    def score(self, case: Case) -> float:
        if pair(case) is None or not flipped(case):
            return math.nan
        return survives(case, self.alter(case))


_FAILURES = (
    "Over flipped videos only: a method that flips few, easy videos looks robust; read it beside FR and n. A target "
    "that is itself put off by the alteration lowers every method's rate: compare with the row of true_edit."
)


class SurvivesH264(_Survival):
    """The flip survives lossy compression: H.264 with x264's default quality."""

    card = Card(
        name="survives_H264",
        question="How many flips are still there after video compression?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source=f"definition; x264, crf {CRF}, 4:2:0",
        failure_modes=f"{_FAILURES} Small frames are compressed more gently than large ones, saturated colours lose "
        "most. Depends on the encoder's version in the last digits.",
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
    """The flip survives a shift by one pixel, whichever of the four ways."""

    card = Card(
        name="survives_shift",
        question="How many flips are still there after a shift by one pixel, to any side?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="definition; all four ways, border repeated",
        failure_modes=f"{_FAILURES} A pixel is more in a small frame than in a large one.",
    )

    def alter(self, case: Case) -> Tensor:
        return shifts(case.counterfactual)


class SurvivesBlur(_Survival):
    """The flip survives a slight blur of every frame."""

    card = Card(
        name="survives_blur",
        question="How many flips are still there after a slight blur?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source=f"definition; Gaussian, σ {SIGMA} pixels, frame by frame",
        failure_modes=f"{_FAILURES} Noise of low frequency passes.",
    )

    def alter(self, case: Case) -> Tensor:
        return gaussian_blur(case.counterfactual, [7, 7], [SIGMA, SIGMA])[None]


class SurvivesReconstruction(_Survival):
    """The flip survives the run's own generator: the counterfactual encoded and decoded again."""

    needs_generator = True
    card = Card(
        name="survives_reconstruction",
        question="How many flips are still there after a round trip through the generator's autoencoder?",
        criterion="validity",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="definition; D(E(x')) of the run's generator",
        failure_modes=f"{_FAILURES} What the same generator made is near what it can make, and survives more easily "
        "than what came from elsewhere. Generators differ: rates of runs with different ones are not comparable.",
    )

    @torch.no_grad()
    def alter(self, case: Case) -> Tensor:
        if case.generator is None:
            raise ValueError("the metric needs the generator, and the case has none")
        with _ENCODER:
            latent = case.generator.encode(case.counterfactual[None])
        with _DECODER:
            return case.generator.decode(latent).clamp(0, 1)
