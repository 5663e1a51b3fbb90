"""Frozen image networks of the perceptual metrics and set distances, built once per process; input frames in [0, 1]."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache, reduce
from typing import Literal, TypeVar
from unittest.mock import patch

import lpips
import pytorch_fid.inception
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench.core.weights import Weights, fill, load

ALEXNET = Weights(
    "alexnet-owt-7be5be79.pth", "7be5be79", url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
)
INCEPTION = Weights(
    "pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    url=pytorch_fid.inception.FID_WEIGHTS_URL,
)
LPIPS_HEADS = Weights(
    "alex.pth",
    "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    distribution="lpips",
    path="lpips/weights/v0.1/alex.pth",
)
VGG16 = Weights("vgg16-397923af.pth", "397923af", url="https://download.pytorch.org/models/vgg16-397923af.pth")
LPIPS_VGG_HEADS = Weights(
    "vgg.pth",
    "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    distribution="lpips",
    path="lpips/weights/v0.1/vgg.pth",
)
ST_ALEX = Weights(
    "alex_shift_tolerant.pth",
    "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
    distribution="stlpips-pytorch",
    path="stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
)
ST_VGG = Weights(
    "vgg_shift_tolerant.pth",
    "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
    distribution="stlpips-pytorch",
    path="stlpips_pytorch/weights/vST0.0/vgg_shift_tolerant.pth",
)


Network = TypeVar("Network", bound=nn.Module)


class BlurPool(nn.Module):
    """Binomial 3×3 filter with stride 2 after reflection padding of two pixels (arXiv 1904.11486, 2207.13686)."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filt", torch.outer(line, line).expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class MaxPool(nn.Module):
    """Max pooling with stride 1, from slices, which is faster on a CPU than ``nn.MaxPool2d``."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        height, width = (length - self.side + 1 for length in x.shape[2:])
        x = reduce(torch.maximum, [x[:, :, y : y + height] for y in range(self.side)])
        return reduce(torch.maximum, [x[..., left : left + width] for left in range(self.side)])


class Taps(nn.Sequential):
    """A sequence of layers that returns the outputs of the layers numbered ``taps``."""

    def __init__(self, layers: list[nn.Module], taps: tuple[int, ...]) -> None:
        super().__init__(*layers)
        self.taps = taps

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for index, layer in enumerate(self):
            x = layer(x)
            if index in self.taps:
                outputs.append(x)
        return outputs


def shift_tolerant_alexnet() -> Taps:
    """AlexNet with every stride, also of the first convolution, replaced by ``BlurPool``; taps at the five ReLUs."""
    return Taps(
        [
            *(nn.Conv2d(3, 64, 11, padding=2), BlurPool(64), nn.ReLU(), MaxPool(3), BlurPool(64)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), MaxPool(3), BlurPool(192)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        ],
        taps=(2, 6, 10, 12, 14),
    )


def shift_tolerant_vgg16() -> nn.Sequential:
    """VGG16's convolutions up to the last ReLU, with the strides of its pooling replaced by ``BlurPool``."""
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        if layers:
            layers += [MaxPool(2), BlurPool(channels)]
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)


def _inference(network: Network) -> Network:
    """In evaluation mode and channels last, which makes convolutions on a CPU 20 to 33 % faster."""
    return network.eval().to(memory_format=torch.channels_last)


def _numbered(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under ``prefix`` by layer number and parameter: ``net.slice2.5.bias`` becomes ``5.bias``."""
    return {".".join(name.split(".")[-2:]): tensor for name, tensor in state.items() if name.startswith(prefix)}


class Perceptual(nn.Module):
    """LPIPS 0.1 (arXiv 1801.03924) between frames ``[N, 3, H, W]`` in [0, 1], one distance per frame ``[N]``.

    Built without weights; ``metric.net`` is the backbone, ``metric.lins`` are the linear heads.
    """

    def __init__(self, backbone: Literal["alex", "vgg"] = "alex") -> None:
        super().__init__()
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package uses a deprecated argument of torchvision's networks
            self.metric = lpips.LPIPS(net=backbone, pretrained=False, pnet_rand=True, verbose=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.metric(first, second, normalize=True)[:, 0, 0, 0]

    def fill_heads(self, state: Mapping[str, Tensor], source: str) -> None:
        """Load the heads ``lin0`` … ``lin4`` of an LPIPS checkpoint."""
        for index, head in enumerate(self.metric.lins):
            prefix = f"lin{index}."
            tensors = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
            fill(head, tensors, source)


@lru_cache(maxsize=1)
def lpips_alex() -> Perceptual:
    """Canonical LPIPS: torchvision's AlexNet and the linear heads of the ``lpips`` package.

    Raises:
        WeightsUnavailable, CorruptWeights: as ``weights.load``.
    """
    return _canonical(Perceptual("alex"), ALEXNET, LPIPS_HEADS)


@lru_cache(maxsize=1)
def lpips_vgg() -> Perceptual:
    """Canonical LPIPS with torchvision's VGG16 and the linear heads of the ``lpips`` package.

    Raises:
        WeightsUnavailable, CorruptWeights: as ``weights.load``.
    """
    return _canonical(Perceptual("vgg"), VGG16, LPIPS_VGG_HEADS)


def _canonical(network: Perceptual, backbone_weights: Weights, heads: Weights) -> Perceptual:
    tensors = _numbered(load(backbone_weights), "features.")
    backbone = network.metric.net
    names = {name: name.split(".", 1)[1] for name in backbone.state_dict()}  # slice2.3.bias: layer 3 of torchvision's
    fill(backbone, {name: tensors[layer] for name, layer in names.items() if layer in tensors}, backbone_weights.name)
    network.fill_heads(load(heads), heads.name)
    return _inference(network)


@lru_cache(maxsize=1)
def lpips_st_alex() -> Perceptual:
    """Shift-tolerant LPIPS (arXiv 2207.13686), with an AlexNet and linear heads of its own.

    Raises:
        WeightsUnavailable, CorruptWeights: as ``weights.load``.
    """
    state = load(ST_ALEX)
    network = Perceptual()
    with torch.device("meta"):
        network.metric.net = shift_tolerant_alexnet()
    fill(network.metric.net, _numbered(state, "net."), ST_ALEX.name)
    network.fill_heads(state, ST_ALEX.name)
    return _inference(network)


class PooledVGG(nn.Module):
    """Maps frames ``[N, 3, H, W]`` in [0, 1] to the last ReLU averaged over the plane, ``[N, 512]``."""

    MIN_SIDE = 32
    """On much smaller frames the input of the last ``BlurPool`` is too small for its reflection padding."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = lpips.ScalingLayer()
        with torch.device("meta"):
            self.layers = shift_tolerant_vgg16()

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(self.scale(2 * frames - 1)).mean(dim=(2, 3))


@lru_cache(maxsize=1)
def st_vgg() -> PooledVGG:
    """Shift-tolerant VGG16 with the weights of shift-tolerant LPIPS.

    Raises:
        WeightsUnavailable, CorruptWeights: as ``weights.load``.
    """
    network = PooledVGG()
    fill(network.layers, _numbered(load(ST_VGG), "net."), ST_VGG.name)
    return _inference(network)


class Pool3(nn.Module):
    """Maps frames ``[N, 3, H, W]`` in [0, 1], resized to 299×299 (bilinear), to pool3 features ``[N, 2048]``."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        # pytorch-fid only accepts weights that it downloads itself
        with patch.object(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state):
            self.network = pytorch_fid.inception.InceptionV3()

    def forward(self, frames: Tensor) -> Tensor:
        return self.network(frames)[0][:, :, 0, 0]


@lru_cache(maxsize=1)
def inception() -> Pool3:
    """The Inception-v3 of the Fréchet inception distance, through pytorch-fid.

    Raises:
        WeightsUnavailable, CorruptWeights: as ``weights.load``.
    """
    return _inference(Pool3(load(INCEPTION)))
