"""Networks that the project does not ship, with random weights on both sides of a comparison."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import lpips
import torch
import torchvision
from torch import Tensor, nn

from tests.parity import videos
from vcfe_bench.core.weights import Weights
from vcfe_bench.models import feature_networks


@lru_cache(maxsize=1)
def lpips_of_the_package() -> nn.Module:
    """The ``lpips`` package's own distance on a random AlexNet, with its heads."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package uses a deprecated argument of torchvision's AlexNet
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()


@lru_cache(maxsize=1)
def inception_state() -> dict[str, Tensor]:
    """A random Inception-v3 with batch statistics of the frames."""
    torch.manual_seed(0)
    network = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean over all batches
    network.train()
    network.dropout.p = 0.0
    with torch.no_grad():
        for batch in torch.cat(videos.frames(299, 2)).split(12):
            network(2 * batch - 1)
    return network.state_dict()


@contextmanager
def in_the_cache(alexnet: nn.Module | None = None, inception: dict[str, Tensor] | None = None) -> Iterator[Path]:
    """Makes the project use these weights instead of the canonical ones; yields the folder."""
    caches = (feature_networks.lpips_alex, feature_networks.inception)
    with TemporaryDirectory() as folder, patch.dict(os.environ, VCFE_BENCH_CACHE=folder):
        if alexnet is not None:
            state = alexnet.state_dict()
            torch.save({f"features.{name.split('.', 1)[1]}": tensor for name, tensor in state.items()}, f"{folder}/a")
        if inception is not None:
            torch.save(inception, f"{folder}/i")
        for cache in caches:
            cache.cache_clear()
        with (
            patch.object(feature_networks, "ALEXNET", Weights("a", "")),
            patch.object(feature_networks, "INCEPTION", Weights("i", "")),
        ):
            yield Path(folder)
        for cache in caches:
            cache.cache_clear()
