"""Initialise a Video Swin with the weights of an image Swin trained on ImageNet-1K.

Liu et al. ("Video Swin Transformer", arXiv 2106.13230, "Initialization from Pre-trained Model"): the weights of the
first layer are repeated along time and divided by the number of frames, the relative position tables are repeated for
every temporal distance, and everything else is copied. For a static video, the network then gives the same output as
the image network for its frame.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor
from torchvision import models
from torchvision.models.video.swin_transformer import SwinTransformer3d

from vcfe_bench.core import weights
from vcfe_bench.core.weights import CorruptWeights, Weights, WeightsUnavailable

IMAGE_SWINS = {"swin3d_t": "swin_t", "swin3d_s": "swin_s", "swin3d_b": "swin_b"}
"""torchvision's image networks by the size of the video network that they initialise."""


def imagenet(size: str) -> dict[str, Tensor]:
    """torchvision's weights for a network size, from a local cache; nothing is downloaded.

    Raises:
        WeightsUnavailable: there are none for this size, or they are not cached.
        CorruptWeights: the file in the cache is damaged.
    """
    if size not in IMAGE_SWINS:
        raise WeightsUnavailable(f"there are no ImageNet weights for the size '{size}'")
    url = models.get_model_weights(IMAGE_SWINS[size])["IMAGENET1K_V1"].url
    name = url.rpartition("/")[2]
    try:
        return weights.load(Weights(name, name.removesuffix(".pth").rpartition("-")[2]))
    except WeightsUnavailable:
        raise WeightsUnavailable(f"{name} is not in {weights.cache()}: it can be downloaded from {url}") from None


def inflate(state: Mapping[str, Tensor], network: SwinTransformer3d) -> None:
    """Initialise ``network`` with weights of torchvision's ``SwinTransformer`` of the same widths, except for its head.

    Raises:
        CorruptWeights: the weights belong to another network.
    """
    own = network.state_dict()
    inflated = {_renamed(name): value for name, value in state.items() if not _not_copied(name)}
    first = inflated["patch_embed.proj.weight"][:, :, None]
    depth = own["patch_embed.proj.weight"].shape[2]
    inflated["patch_embed.proj.weight"] = first.expand(-1, -1, depth, -1, -1) / depth
    for name, table in inflated.items():
        if name.endswith("relative_position_bias_table"):
            inflated[name] = table.repeat(len(own[name]) // len(table), 1)
    kept = {name: value for name, value in own.items() if _not_copied(name)}
    try:
        network.load_state_dict({**inflated, **kept})
    except RuntimeError as error:
        raise CorruptWeights("the image network has other widths or depths than the video network") from error


def _not_copied(name: str) -> bool:
    return name.startswith("head.") or name.endswith("relative_position_index")


def _renamed(name: str) -> str:
    """The video network's name for a weight of the image network, in which the first layer is part of ``features``."""
    name = name.replace("features.0.0.", "patch_embed.proj.").replace("features.0.2.", "patch_embed.norm.")
    return re.sub(r"^features\.(\d+)", lambda match: f"features.{int(match[1]) - 1}", name)
