"""Scores as one gets them by gluing the field's tools together: one method after another, frame by frame.

SSIM is scikit-image on each frame, LPIPS the package ``lpips`` on each frame, FID the package ``pytorch-fid`` on
folders of PNG files, and FVD a loop over videos with I3D and the Fréchet distance of ``pytorch-fid``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pytorch_fid.fid_score
import pytorch_fid.inception
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from tests.bench.clock import Clock
from vcfe_bench.video.lossless import quantise

Videos = Sequence[Tensor]


@dataclass(frozen=True)
class Networks:
    """The networks of both sides: ``lpips`` of the package, weights of Inception, and I3D."""

    lpips: nn.Module
    inception: Mapping[str, Tensor]
    i3d: nn.Module


@torch.no_grad()
def scores(
    names: Sequence[str], originals: Videos, edits: Videos, networks: Networks, clock: Clock
) -> dict[str, float]:
    """Scores of one method, by metric."""
    results = {}
    for name in names:
        with clock.part(name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an argument of scipy.linalg.sqrtm that pytorch-fid uses is deprecated
            results[name] = float(SCORES[name](originals, edits, networks))
    return results


def _mean_ssim(originals: Videos, edits: Videos, networks: Networks) -> float:
    return float(np.mean([_ssim(a, b) for a, b in _frames(originals, edits)]))


def _lpips(originals: Videos, edits: Videos, networks: Networks) -> float:
    pairs = _frames(originals, edits)
    return float(np.mean([networks.lpips(2 * a[None] - 1, 2 * b[None] - 1).item() for a, b in pairs]))


def _fid(originals: Videos, edits: Videos, networks: Networks) -> float:
    with (
        TemporaryDirectory() as folder,
        patch.object(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: networks.inception),
        patch.object(pytorch_fid.fid_score, "tqdm", lambda batches: batches),
    ):
        folders = [_dump(videos, Path(folder, name)) for name, videos in (("real", originals), ("fake", edits))]
        return pytorch_fid.fid_score.calculate_fid_given_paths(folders, 50, "cpu", 2048, 0)


def _fvd(originals: Videos, edits: Videos, networks: Networks) -> float:
    logits = [np.concatenate([_logits(video, networks.i3d) for video in videos]) for videos in (originals, edits)]
    moments = [moment for x in logits for moment in (x.mean(axis=0), np.cov(x, rowvar=False))]
    return pytorch_fid.fid_score.calculate_frechet_distance(*moments)


SCORES: Mapping[str, Callable[[Videos, Videos, Networks], float]] = {
    "SSIM": _mean_ssim,
    "LPIPS": _lpips,
    "FID": _fid,
    "FVD": _fvd,
}


def _frames(originals: Videos, edits: Videos) -> Iterator[tuple[Tensor, Tensor]]:
    for original, edited in zip(originals, edits, strict=True):
        yield from zip(original, edited, strict=True)


def _ssim(first: Tensor, second: Tensor) -> float:
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    images = (frame.permute(1, 2, 0).double().numpy() for frame in (first, second))
    return float(structural_similarity(*images, channel_axis=-1, **settings))  # type: ignore[no-untyped-call]


def _dump(videos: Videos, folder: Path) -> str:
    folder.mkdir()
    for number, video in enumerate(videos):
        for index, frame in enumerate(quantise(video)):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / f"{number:03d}_{index:03d}.png")
    return str(folder)


def _logits(video: Tensor, i3d: nn.Module) -> np.ndarray:
    frames = [F.interpolate(frame[None], (224, 224), mode="bilinear", align_corners=False) for frame in video]
    return i3d((2 * torch.cat(frames) - 1).transpose(0, 1)[None]).numpy()
