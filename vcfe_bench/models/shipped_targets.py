"""The trained networks that ship with the package beside ``m_swin``; ``zoo`` holds their weights and cards."""

from __future__ import annotations

from vcfe_bench.models.c3d_resnet import C3DForm
from vcfe_bench.models.trained_target import ShippedTarget
from vcfe_bench.models.video_swin import SwinForm


class MSwinR(ShippedTarget):
    """M-swin trained against PGD on Shape-Moving: small perturbations do not turn it."""

    form_type = SwinForm
    file = "m_swin_r.safetensors"


class MC3D(ShippedTarget):
    """A C3D-ResNet trained on Shape-Moving: another architecture for the task of M-swin."""

    form_type = C3DForm
    file = "m_c3d.safetensors"


class ScenesC3D(ShippedTarget):
    """A C3D-ResNet trained on Shape-Scenes: the target that the tubes explain."""

    form_type = C3DForm
    file = "scenes_c3d.safetensors"


class CleanSwin(ShippedTarget):
    """Trained on Shape-Shortcut without the link: it goes by the object."""

    form_type = SwinForm
    file = "clean_swin.safetensors"


class ShortcutSwin(ShippedTarget):
    """Trained on Shape-Shortcut where labels and object often disagree: it goes by the distractor."""

    form_type = SwinForm
    file = "shortcut_swin.safetensors"


class PhantomSwin(ShippedTarget):
    """A Video Swin that reads the ejection fraction of the echo phantom."""

    form_type = SwinForm
    file = "phantom_swin.safetensors"
