"""The trained networks that ship with the package, apart from ``m_swin``; their weights and cards are in ``zoo``."""

from __future__ import annotations

from vcfe_bench.models.c3d_resnet import C3DConfig
from vcfe_bench.models.trained_target import ShippedTarget
from vcfe_bench.models.video_swin import SwinConfig


class MSwinR(ShippedTarget):
    """M-swin adversarially trained against PGD on Shape-Moving: robust to small perturbations."""

    config_type = SwinConfig
    file = "m_swin_r.safetensors"


class MC3D(ShippedTarget):
    """A C3D-ResNet trained on Shape-Moving: another architecture for the same task as M-swin."""

    config_type = C3DConfig
    file = "m_c3d.safetensors"


class ScenesC3D(ShippedTarget):
    """A C3D-ResNet trained on Shape-Scenes: the target that the tubes methods explain."""

    config_type = C3DConfig
    file = "scenes_c3d.safetensors"


class CleanSwin(ShippedTarget):
    """Trained on Shape-Shortcut without the spurious correlation: it relies on the object."""

    config_type = SwinConfig
    file = "clean_swin.safetensors"


class ShortcutSwin(ShippedTarget):
    """Trained on Shape-Shortcut where label and object often disagree: it relies on the distractor."""

    config_type = SwinConfig
    file = "shortcut_swin.safetensors"


class CleanC3D(ShippedTarget):
    """A C3D-ResNet for Shape-Shortcut that relies on the object: another architecture for the task of CleanSwin."""

    config_type = C3DConfig
    file = "clean_c3d.safetensors"


class PhantomSwin(ShippedTarget):
    """A Video Swin that predicts the ejection fraction of the echo phantom."""

    config_type = SwinConfig
    file = "phantom_swin.safetensors"


class PhantomC3D(ShippedTarget):
    """A C3D-ResNet that predicts the ejection fraction of the echo phantom: another architecture than PhantomSwin."""

    config_type = C3DConfig
    file = "phantom_c3d.safetensors"


class CrowdSwin(ShippedTarget):
    """Trained on Shape-Crowd with independent motions: it relies on the red object."""

    config_type = SwinConfig
    file = "crowd_swin.safetensors"


class CrowdC3D(ShippedTarget):
    """A C3D-ResNet for Shape-Crowd that relies on the red object: another architecture for the task of CrowdSwin."""

    config_type = C3DConfig
    file = "crowd_c3d.safetensors"


class BystanderSwin(ShippedTarget):
    """Trained on Shape-Crowd where label and red object often disagree: it relies on the blue bystander."""

    config_type = SwinConfig
    file = "bystander_swin.safetensors"
