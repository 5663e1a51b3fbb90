"""torchvision's video models as targets."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor
from torchvision import models
from torchvision.models import WeightsEnum

from vcfe_bench.core import checkpoints, weights
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.core.weights import Weights
from vcfe_bench.models.clip_target import ClipTarget, read_classes

FRAMES = {"s3d": 128, "swin3d_t": 32, "swin3d_s": 32, "swin3d_b": 32}
"""Length of the clips for which torchvision reports accuracies; 16 for all other models."""
RATES = {"mvit_v1_b": 7.5, "mvit_v2_s": 7.5}
"""Frame rate of these clips; 15 for all other models."""


@validated(frozen=True, config={"extra": "forbid"})
class TorchvisionParams:
    """``name``: the model, as in ``torchvision.models.get_model``.

    ``weights``: the name of pretrained weights of the model (``DEFAULT`` is torchvision's choice), or a file with a
    state dictionary. ``classes``: a text file with one name per line, where they are not those of Kinetics-400.
    ``frames``: length of the clip; 0 for the model's own. Frames are resized, cropped and normalised by the preset of
    the pretrained weights; pixels outside its crop have no influence and get no gradient.
    """

    name: str = ""
    weights: str = "DEFAULT"
    classes: str = ""
    frames: int = Field(default=0, ge=0)


class TorchvisionTarget(ClipTarget):
    """A video model of torchvision, pretrained or with weights from a file."""

    Params = TorchvisionParams
    params: TorchvisionParams

    def __init__(self, params: TorchvisionParams | None = None) -> None:
        params = params or TorchvisionParams()
        if not params.name:
            raise UsageError("give a model: torchvision[name=r3d_18]")
        names = models.list_models(module=models.video)
        if params.name not in names:
            raise UsageError(f"torchvision has no video model '{params.name}'; {nearest(params.name, names)}")
        published = models.get_model_weights(params.name)
        entry = published.__members__.get(params.weights)
        path = weights.find(_download(entry)) if entry else Path(params.weights)
        if not entry and not path.exists():
            hint = nearest(params.weights, published.__members__)
            raise UsageError(
                f"there is no file {path}, and '{params.name}' has no pretrained weights of that name; {hint}"
            )
        described = entry or next(iter(published))
        classes = read_classes(params.classes) if params.classes else tuple(described.meta["categories"])
        network = models.get_model(params.name, weights=None, num_classes=len(classes))
        checkpoints.load_into(network, path)
        preset = described.transforms()
        clip = (params.frames or FRAMES.get(params.name, 16), preset.resize_size[0], preset.resize_size[0])
        super().__init__(params, network, clip, classes, (params.name, repr(preset)))
        self.preset, self.fps = preset, RATES.get(params.name, 15.0)

    def preprocess(self, video: Tensor) -> Tensor:
        return self.preset(video.contiguous())


def _download(entry: WeightsEnum) -> Weights:
    """A weights file of torchvision, whose name ends in the first digits of its SHA-256."""
    name = entry.url.rpartition("/")[2]
    return Weights(name, name.removesuffix(".pth").rpartition("-")[2], url=entry.url)
