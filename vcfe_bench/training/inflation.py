"""Begin a Video Swin with the weights of an image Swin, trained on ImageNet-1K.

Liu et al. ("Video Swin Transformer", arXiv 2106.13230, "Initialization from Pre-trained Model"): the first layer's
weights are repeated along its frames and divided by their number, the tables of relative positions are repeated for
every distance in time, and all else is taken as it is. A still video then gives what its frame gives the image network.
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
"""torchvision's image networks by the size of the video network that they fit."""


def imagenet(size: str) -> dict[str, Tensor]:
    """torchvision's weights for a size, from a cache; nothing is downloaded.

    Raises:
        WeightsUnavailable: there are none for this size, or they are in no cache.
        CorruptWeights: the file in the cache is damaged.
    """
    if size not in IMAGE_SWINS:
        raise WeightsUnavailable(f"there are no ImageNet weights for the size '{size}'")
    url = models.get_model_weights(IMAGE_SWINS[size])["IMAGENET1K_V1"].url
    name = url.rpartition("/")[2]
    try:
        return weights.load(Weights(name, name.removesuffix(".pth").rpartition("-")[2]))
    except WeightsUnavailable:
        raise WeightsUnavailable(f"no {name} in {weights.cache()}: it comes from {url}") from None


def inflate(state: Mapping[str, Tensor], network: SwinTransformer3d) -> None:
    """Give ``network`` the weights of torchvision's ``SwinTransformer`` of the same widths; its head stays as it is.

    Raises:
        CorruptWeights: the weights are of another network.
    """
    own = network.state_dict()
    spread = {_renamed(name): value for name, value in state.items() if not _left_out(name)}
    first = spread["patch_embed.proj.weight"][:, :, None]
    depth = own["patch_embed.proj.weight"].shape[2]
    spread["patch_embed.proj.weight"] = first.expand(-1, -1, depth, -1, -1) / depth
    for name, table in spread.items():
        if name.endswith("relative_position_bias_table"):
            spread[name] = table.repeat(len(own[name]) // len(table), 1)
    kept = {name: value for name, value in own.items() if _left_out(name)}
    try:
        network.load_state_dict({**spread, **kept})
    except RuntimeError as error:
        raise CorruptWeights("the image network has other widths or depths than the video network") from error


def _left_out(name: str) -> bool:
    return name.startswith("head.") or name.endswith("relative_position_index")


def _renamed(name: str) -> str:
    """What the video network calls a weight of the image network, whose first stage comes after its first layer."""
    name = name.replace("features.0.0.", "patch_embed.proj.").replace("features.0.2.", "patch_embed.norm.")
    return re.sub(r"^features\.(\d+)", lambda found: f"features.{int(found[1]) - 1}", name)
