"""Video classifiers of Hugging Face's ``transformers`` as targets: VideoMAE, TimeSformer, ViViT and others."""

from __future__ import annotations

from typing import Any

import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models.clip_target import ClipTarget


@validated(frozen=True, config={"extra": "forbid"})
class HuggingFaceParams:
    """``path``: a directory written by ``save_pretrained``, or a repository id on the hub."""

    path: str = ""


class HuggingFaceTarget(ClipTarget):
    """A video classifier of ``transformers``, from a directory or a hub id.

    Resizing, crop, rescaling and normalisation are those of the stored processor, class names those of the stored
    configuration. No code of the repository is executed.
    """

    Params = HuggingFaceParams
    params: HuggingFaceParams

    def __init__(self, params: HuggingFaceParams | None = None) -> None:
        params = params or HuggingFaceParams()
        if not params.path:
            raise UsageError("give a directory or a hub id: huggingface[path=MCG-NJU/videomae-base-finetuned-kinetics]")
        from transformers import AutoModelForVideoClassification, AutoVideoProcessor

        try:
            network = AutoModelForVideoClassification.from_pretrained(params.path, dtype=torch.float32)
            processor = AutoVideoProcessor.from_pretrained(params.path)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            if "Unrecognized video processor" in reason:
                reason += "; transformers 5.11 or newer knows those of VideoMAE, TimeSformer and ViViT"
            raise UsageError(f"{params.path} cannot be loaded as a video classifier: {reason}") from error
        config = network.config
        classes = tuple(config.id2label[index] for index in range(config.num_labels)) if config.num_labels > 1 else ()
        frames = getattr(config, "num_frames", None) or config.frames_per_clip
        side = _side(processor, config)
        super().__init__(params, network, (frames, side, side), classes, processor.to_json_string())
        self.processor, self.input = processor, str(network.main_input_name)
        self.fps = getattr(processor, "fps", None)

    def preprocess(self, video: Tensor) -> Tensor:
        return self.processor(list(255 * video), do_sample_frames=False, return_tensors="pt")[self.input]

    def predict(self, clip: Tensor) -> Tensor:
        return self.network(**{self.input: clip}).logits


def _side(processor: Any, config: Any) -> int:
    """Side length of the frames that pass the processor unscaled."""
    if processor.do_resize:
        return int(processor.size.get("shortest_edge") or processor.size["height"])
    if processor.do_center_crop:
        return int(processor.crop_size["height"])
    return int(getattr(config, "image_size", None) or config.crop_size)
