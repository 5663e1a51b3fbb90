from __future__ import annotations

from pathlib import Path

import av
import pytest
import torch

from vcfe_bench.figures.side_by_side import GAP, side_by_side, write_mp4
from vcfe_bench.video import lossless


def test_original_counterfactual_and_difference_are_side_by_side() -> None:
    original = torch.randint(0, 200, (3, 3, 8, 10), generator=torch.Generator().manual_seed(0)).byte()
    counterfactual = original.clone()
    counterfactual[1, :, 2, 3] += torch.tensor([20, 0, 0]).byte()
    counterfactual[2, :, 5, 6] -= torch.minimum(counterfactual[2, :, 5, 6], torch.tensor([0, 5, 5]).byte())
    joined = side_by_side(original, counterfactual)
    assert joined.shape == (3, 3, 8, 3 * 10 + 2 * GAP)
    assert torch.equal(joined[..., :10], original)
    assert torch.equal(joined[..., 10 + GAP : 20 + GAP], counterfactual)
    difference = joined[..., 20 + 2 * GAP :]
    assert difference.nonzero()[:, [0, 2, 3]].unique(dim=0).tolist() == [[1, 2, 3], [2, 5, 6]]
    assert difference[1, :, 2, 3].tolist() == [255] * 3
    assert difference[2, :, 5, 6].unique().numel() == 1


def test_videos_that_are_equal_have_a_black_difference() -> None:
    video = torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)
    assert side_by_side(video, video)[..., 8 + 2 * GAP :].max() == 0


@pytest.mark.parametrize("width", [48, 47])
def test_players_read_the_video(tmp_path: Path, width: int) -> None:
    ramp = torch.linspace(0, 255, width).byte().expand(5, 3, 33, width)
    path = tmp_path / "video.mp4"
    write_mp4(path, ramp, 3.75)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == 3.75
    shown = lossless.read(path)
    assert shown.shape == (5, 3, 34, 48)
    assert (shown[:, :, :33, :width].int() - ramp.int()).abs().max() < 12
