"""Targets lie on another device than the videos; torch's fake tensors know devices without having them."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vcfe_bench.core import devices
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Features, FeatureTarget

fake_cuda = pytest.mark.skipif(
    torch.__version__ < (2, 10) and not torch.cuda.is_available(),
    reason="before torch 2.10 fake CUDA tensors need a CUDA driver",
)


class _Network(FeatureTarget):
    fingerprint = "network"

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv3d(3, 4, 3)

    def features(self, video: torch.Tensor) -> Features:
        found = self.layer(video.transpose(1, 2))
        return Features((found,), torch.arange(video.shape[1], device=video.device), found.mean(dim=(2, 3, 4)))

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return self.features(video).output


@fake_cuda
def test_a_target_takes_videos_to_its_device_and_brings_back_what_it_says():
    with FakeTensorMode():
        with torch.device("cuda"):
            target = _Network().requires_grad_(False)
        assert target.device.type == "cuda"
        video = torch.rand(2, 5, 3, 8, 8, requires_grad=True)
        with pytest.raises(RuntimeError, match="same device"):
            target.forward(video)
        output = target(video)
        assert output.device.type == "cpu"
        assert output.requires_grad
        shown = target.extract(video)
        assert {tensor.device.type for tensor in (*shown.scales, shown.steps, shown.output)} == {"cpu"}


def test_where_videos_and_weights_lie_together_nothing_changes():
    target, video = _Network(), torch.rand(2, 5, 3, 8, 8)
    assert torch.equal(target(video), target.forward(video))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two CUDA devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in (devices.CHOSEN, devices.RANK, "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(devices.CHOSEN, "auto")


@pytest.mark.usefixtures("gpus")
def test_workers_take_turns_on_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.default() == torch.device("cuda", 0)
    for rank, index in enumerate([0, 1, 0, 1]):
        monkeypatch.setenv(devices.RANK, str(rank))
        assert devices.default() == torch.device("cuda", index)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.default() == torch.device("cuda", 1)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_chosen_device_is_the_default(device: str) -> None:
    devices.use(device)
    assert devices.default() == torch.device(device)
    devices.use("auto")
    assert devices.default() == torch.device("cuda", 0)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("device", ["cuda:2", "gpu", "cuda:x", "", "mps"])
def test_a_device_that_does_not_exist_is_an_error(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match="--device"):
        devices.use(device)
