"""Metrics of frames: SSIM, LPIPS, and the features and distance of FID."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pytorch_fid.fid_score
import pytorch_fid.inception
import skimage.metrics
import torch
from PIL import Image
from torch import Tensor

from tests.parity import networks, videos
from tests.parity.measurement import Measurement, absolute, relative
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case, Sample
from vcfe_bench.metrics import feature_sets, perceptual
from vcfe_bench.metrics.frechet import FIDInception, frechet_distance
from vcfe_bench.metrics.perceptual import LPIPSAlex
from vcfe_bench.metrics.proximity import SSIM
from vcfe_bench.video.lossless import quantise

PER_CLIP = 4


def case(original: Tensor, edited: Tensor) -> Case:
    nothing = torch.zeros(2)
    return Case(None, Sample("s", original, 0, 25.0), ClassGoal(1), edited, nothing, nothing)  # type: ignore[arg-type]


def pairs() -> list[tuple[Tensor, Tensor]]:
    return [*zip(videos.originals(), videos.edits(), strict=True), videos.compressed()]


def ssim() -> Iterator[Measurement]:
    """The mean over the valid window of scikit-image's map, plane by plane."""

    def reference(first: Tensor, second: Tensor) -> float:
        planes = zip(first.flatten(0, 1).double().numpy(), second.flatten(0, 1).double().numpy(), strict=True)
        return float(np.mean([_ssim(x, y)[5:-5, 5:-5].mean() for x, y in planes]))

    found = [(SSIM().score(case(a, b)), reference(a, b)) for a, b in pairs()]
    yield Measurement(
        "SSIM",
        "scikit-image, its map over the valid window",
        "real videos and edits",
        absolute(*zip(*found, strict=True)),
        "absolute",
        1e-5,
    )


def _ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return skimage.metrics.structural_similarity(x, y, full=True, **settings)[1]


@torch.inference_mode()
def lpips() -> Iterator[Measurement]:
    theirs = networks.lpips_of_the_package()
    with networks.in_the_cache(alexnet=theirs.net):
        found = [(LPIPSAlex().score(case(a, b)), theirs(2 * a - 1, 2 * b - 1).mean().item()) for a, b in pairs()]
        widths = []
        for width in (1, 5, 32):
            with patch.object(perceptual, "BATCH", width):
                widths.append([LPIPSAlex().score(case(a, b)) for a, b in pairs()[-3:]])
    yield Measurement(
        "LPIPS(alex)", "lpips", "real videos and edits", relative(*zip(*found, strict=True)), "relative", 1e-5
    )
    yield Measurement(
        "LPIPS(alex) in batches of 1 and 5 frames",
        "in batches of 32",
        "real videos and edits",
        max(relative(width, widths[-1]) for width in widths[:-1]),
        "relative",
        1e-5,
    )


def fid() -> Iterator[Measurement]:
    """Features and distances of one random Inception in three implementations.

    torch-fidelity gives the network 0.4 % less contrast than pytorch-fid does. A random network makes more of that than
    a trained one, so the two are held to a tolerance with equal inputs, and compared as they are without.
    """
    state = networks.inception_state()
    with networks.in_the_cache(inception=state) as folder:
        small = videos.frames(64, PER_CLIP)
        ours = [FIDInception().features(frames) for frames in small]
        theirs = [_pytorch_fid(frames, state) for frames in small]
        yield Measurement(
            "FID(inception), pool3 features",
            "pytorch-fid from PNG files",
            "real frames and edits, 64×64",
            max(map(relative, ours, theirs)),
            "relative",
            1e-4,
        )
        yield Measurement(
            "FID(inception)",
            "pytorch-fid from PNG files",
            "real frames and edits, 64×64",
            relative(frechet_distance(*ours), _distance_of_pytorch_fid(*theirs)),
            "relative",
            1e-3,
        )
        widths = []
        for width in (1, 5):
            with patch.object(feature_sets, "BATCH", width):
                widths.append([FIDInception().features(frames[:PER_CLIP]) for frames in small])
        whole = [features[:PER_CLIP] for features in ours]
        yield Measurement(
            "FID(inception), features in batches of 1 and 5 frames",
            "in batches of 32",
            "real frames and edits, 64×64",
            max(relative(a, b) for width in widths for a, b in zip(width, whole, strict=True)),
            "relative",
            1e-4,
        )
        large = videos.frames(299, PER_CLIP)
        at_299 = frechet_distance(*(FIDInception().features(frames) for frames in large))
        extractor = _torch_fidelity(folder / "i")
        same_scale = _distance_of_torch_fidelity(*(_features(extractor, frames, ours=True) for frames in large))
        yield Measurement(
            "FID(inception)",
            "torch-fidelity, pixels scaled as ours",
            "real frames and edits, 299×299",
            relative(at_299, same_scale),
            "relative",
            1e-3,
        )
        for side, value, frames in ((299, at_299, large), (64, frechet_distance(*ours), small)):
            whole_pipeline = _distance_of_torch_fidelity(*(_features(extractor, part) for part in frames))
            yield Measurement(
                "FID(inception)",
                f"torch-fidelity, which {_WHY[side]}",
                f"real frames and edits, {side}×{side}",
                relative(value, whole_pipeline),
                "relative",
                None,
            )


_WHY = {299: "scales pixels to (v − 128)/128", 64: "also resizes otherwise"}


def _pytorch_fid(frames: Tensor, state: dict[str, Tensor]) -> np.ndarray:
    with patch.object(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state):
        model = pytorch_fid.inception.InceptionV3().eval()
    with TemporaryDirectory() as folder:
        files = []
        for number, frame in enumerate(quantise(frames)):
            files.append(f"{folder}/{number:03d}.png")
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(files[-1])
        with patch.object(pytorch_fid.fid_score, "tqdm", lambda batches: batches):
            return pytorch_fid.fid_score.get_activations(files, model, 10, 2048, "cpu", 0)


def _distance_of_pytorch_fid(a: np.ndarray, b: np.ndarray) -> float:
    moments = [part for x in (a, b) for part in (x.mean(axis=0), np.cov(x, rowvar=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an argument of scipy.linalg.sqrtm that pytorch-fid uses is deprecated
        return float(pytorch_fid.fid_score.calculate_frechet_distance(*moments))


def _torch_fidelity(weights: Path) -> torch.nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3("parity", ["2048"], feature_extractor_weights_path=str(weights)).eval()


@torch.inference_mode()
def _features(extractor: torch.nn.Module, frames: Tensor, ours: bool = False) -> np.ndarray:
    """Pooled features by torch-fidelity; with ``ours`` 2x - 1 enters the first layer instead of (v - 128)/128."""
    scaled = []
    if ours:
        handle = extractor.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, inputs: (128 * inputs[0] + 0.5) / 127.5)
    for batch in quantise(frames).split(16):
        scaled.append(extractor(batch)[0])
    if ours:
        handle.remove()
    return torch.cat(scaled).numpy()


def _distance_of_torch_fidelity(a: np.ndarray, b: np.ndarray) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])
