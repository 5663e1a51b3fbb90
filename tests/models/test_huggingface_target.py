"""Video classifiers of transformers, small and untrained, from directories written by ``save_pretrained``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version
from torch import Tensor

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models.huggingface_target import HuggingFaceParams, HuggingFaceTarget

SMALL: dict[str, Any] = {
    "image_size": 32,
    "num_frames": 4,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "id2label": {0: "up", 1: "down", 2: "still"},
}
SQUARE = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
FAMILIES = {
    "VideoMAE": ("VideoMAE", {"patch_size": 16, "tubelet_size": 2}),
    "Timesformer": ("VideoMAE", {"patch_size": 16}),
    "Vivit": ("Vivit", {"tubelet_size": [2, 16, 16]}),
}
"""Image processor of each family, and arguments of its configuration."""


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if Version(transformers.__version__) < Version("5.11"):
        pytest.skip("transformers before 5.11 does not know the video processor of each family")
    family = request.param
    processor, arguments = FAMILIES[family]
    path = tmp_path_factory.mktemp(family)
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL, **arguments)
    getattr(transformers, f"{family}ForVideoClassification")(config).save_pretrained(path)
    getattr(transformers, f"{processor}ImageProcessor")(**SQUARE).save_pretrained(path)
    return path


def videos() -> Tensor:
    pixels = torch.randint(0, 256, (2, 4, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    return pixels.float() / 255


def test_outputs_are_those_of_the_model_with_its_image_processor(folder: Path) -> None:
    """Frames are preprocessed as in the family's documentation: 8-bit arrays through the image processor."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    network = transformers.AutoModelForVideoClassification.from_pretrained(folder).eval()
    frames = [list((255 * video).byte().permute(0, 2, 3, 1).numpy()) for video in videos()]
    clips = torch.stack([torch.as_tensor(np.array(processor(f)["pixel_values"])).reshape(4, 3, 32, 32) for f in frames])
    target = HuggingFaceTarget(HuggingFaceParams(str(folder)))
    with torch.no_grad():
        torch.testing.assert_close(target(videos()), network(clips).logits, rtol=1e-4, atol=1e-5)
    assert target.classes == ("up", "down", "still")
    assert target.clip == (4, 32, 32)


SETTINGS: dict[str, dict[str, Any]] = {
    "resized": {"size": {"shortest_edge": 40}},
    "no crop": {"size": {"height": 32, "width": 32}, "do_center_crop": False},
    "no resizing": {"do_resize": False},
    "no rescaling": {"do_rescale": False},
    "other statistics": {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]},
    "no normalisation": {"do_normalize": False},
    "other rescaling": {"rescale_factor": 1 / 127.5},
    "frames sampled": {"do_sample_frames": True, "fps": 12.0},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_processor_are_honoured_on_a_wide_video(tmp_path: Path, setting: str) -> None:
    """The stored processor, on 8-bit frames in its usual form, as independent preprocessing."""
    if Version(transformers.__version__) < Version("5.11"):
        pytest.skip("transformers before 5.11 does not know the video processor of each family")
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(**SMALL, patch_size=16, tubelet_size=2)
    transformers.VideoMAEForVideoClassification(config).save_pretrained(tmp_path)
    processor = transformers.VideoMAEVideoProcessor(**{**SQUARE, **SETTINGS[setting]})
    processor.save_pretrained(tmp_path)
    pixels = torch.randint(0, 256, (4, 3, 12, 18), generator=torch.Generator().manual_seed(2)).float()
    pixels = torch.nn.functional.interpolate(pixels, (48, 72), mode="bilinear").byte()
    frames = pixels.permute(0, 2, 3, 1).numpy()
    expected = processor([frames], do_sample_frames=False, return_tensors="pt")["pixel_values"]
    target = HuggingFaceTarget(HuggingFaceParams(str(tmp_path)))
    result = target.preprocess((pixels.float() / 255)[None])
    assert result.shape == expected.shape
    step = processor.rescale_factor if processor.do_rescale else 1.0
    step /= min(processor.image_std) if processor.do_normalize else 1.0
    assert float((result - expected).abs().max()) <= 1.01 * step, "resizing rounds to 8 bits"
    assert target.fps == (12.0 if setting == "frames sampled" else None)


def test_the_gradient_reaches_every_frame(folder: Path) -> None:
    video = videos().requires_grad_()
    output = HuggingFaceTarget(HuggingFaceParams(str(folder)))(video)
    (gradient,) = torch.autograd.grad(output[:, 0].sum(), video)
    assert (gradient.abs().amax(dim=(2, 3, 4)) > 0).all()


@pytest.mark.parametrize(
    ("path", "message"), [("", "give a directory or a hub id"), ("empty", "empty cannot be loaded")]
)
def test_errors_are_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        HuggingFaceTarget(HuggingFaceParams(path))
    assert "\n" not in str(caught.value)
