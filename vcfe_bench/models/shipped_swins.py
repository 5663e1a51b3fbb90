"""The Video Swins that ship with the package beside ``m_swin``; ``zoo`` holds their weights and cards."""

from __future__ import annotations

from typing import ClassVar

from vcfe_bench.models.video_swin import FiledSwin
from vcfe_bench.weights import ZOO


class _Shipped(FiledSwin):
    file: ClassVar[str]

    def __init__(self, params: None = None) -> None:
        super().__init__(params)
        self.take(ZOO / self.file)


class MSwinR(_Shipped):
    """M-swin trained against PGD on Shape-Moving: small perturbations do not turn it."""

    file = "m_swin_r.safetensors"


class CleanSwin(_Shipped):
    """Trained on Shape-Shortcut without the link: it goes by the object."""

    file = "clean_swin.safetensors"


class ShortcutSwin(_Shipped):
    """Trained on Shape-Shortcut where labels and object often disagree: it goes by the distractor."""

    file = "shortcut_swin.safetensors"
