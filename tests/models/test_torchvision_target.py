from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
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


@pytest.mark.parametrize("shape", [(240, 320), (128, 171), (112, 112), (90, 160)])
def test_outputs_are_those_of_the_model_with_its_own_preset(folder: Path, shape: tuple[int, int]) -> None:
    """8-bit frames of a moving picture of any size."""
    target = own(folder)
    network = models.get_model("mc3_18", num_classes=3).eval()
    network.load_state_dict(target.network.state_dict())
    video = moving(4, *shape)
    with torch.no_grad():
        expected = network(models.get_model_weights("mc3_18").DEFAULT.transforms()(video[None]))
        torch.testing.assert_close(target((video.float() / 255)[None]), expected, rtol=0.05, atol=0.02)
    assert target.classes == ("one", "two", "three")
    assert target.clip == (4, 128, 128)
    assert target.fps == 15


def test_preprocessing_is_exactly_that_of_the_preset(folder: Path) -> None:
    video = (moving(4, 240, 320).float() / 255)[None].transpose(3, 4)
    preset = models.get_model_weights("mc3_18").DEFAULT.transforms()
    assert torch.equal(own(folder).preprocess(video), preset(video.contiguous()))


def moving(frames: int, height: int, width: int) -> Tensor:
    """A pattern that moves to the right, ``[T, 3, H, W]``, 8 bits."""
    x = torch.arange(width).view(1, 1, 1, -1) - 3 * torch.arange(frames).view(-1, 1, 1, 1)
    y = torch.arange(height).view(1, 1, -1, 1)
    phase = torch.arange(3).view(1, 3, 1, 1)
    return (127.5 + 127.4 * torch.sin(x / 9 + phase) * torch.cos(y / 7)).byte()


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
