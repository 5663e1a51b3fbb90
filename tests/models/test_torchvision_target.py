from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models.torchvision_target import TorchvisionParams, TorchvisionTarget, _download


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an untrained model with three classes, and their names."""
    path = tmp_path_factory.mktemp("torchvision")
    torch.manual_seed(0)
    save_file(models.get_model("mc3_18", num_classes=3).state_dict(), path / "mc3.safetensors")
    (path / "labels.txt").write_text("one\ntwo\nthree\n")
    return path


def own(folder: Path, **rest: object) -> TorchvisionTarget:
    files = {"weights": str(folder / "mc3.safetensors"), "classes": str(folder / "labels.txt")}
    return TorchvisionTarget(TorchvisionParams(**{"name": "mc3_18", "frames": 4, **files, **rest}))


def test_outputs_are_those_of_the_model_for_the_preset_clip(folder: Path) -> None:
    """The preset of torchvision, on a video that its resizing does not change."""
    target = own(folder)
    network = models.get_model("mc3_18", num_classes=3).eval()
    network.load_state_dict(target.network.state_dict())
    preset = models.get_model_weights("mc3_18").DEFAULT.transforms(resize_size=(112, 112))
    video = torch.rand(1, 4, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(target(video), network(preset(video)))
    assert target.classes == ("one", "two", "three")
    assert target.clip == (4, 112, 112)


def test_downloads_are_verified_by_their_checksum() -> None:
    known = _download(models.video.R3D_18_Weights.KINETICS400_V1)
    assert (known.name, known.sha256) == ("r3d_18-b3b3357e.pth", "b3b3357e")
    prefixes = {
        _download(entry).sha256
        for name in models.list_models(module=models.video)
        for entry in models.get_model_weights(name)
    }
    assert all(len(prefix) == 8 and set(prefix) <= set("0123456789abcdef") for prefix in prefixes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": ""}, r"give a model: torchvision\[name=r3d_18\]"),
        ({"name": "r3d_81"}, "torchvision has no video model 'r3d_81'; did you mean 'r3d_18'"),
        ({"weights": "KINETICS400_V2"}, "no pretrained weights of that name; did you mean 'KINETICS400_V1'"),
        ({"classes": ""}, "does not fit VideoResNet"),
    ],
)
def test_errors_are_reported(folder: Path, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        own(folder, **wrong)
