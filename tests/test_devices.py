"""Targets lie on another device than the videos; torch's fake tensors know devices without having them."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

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
