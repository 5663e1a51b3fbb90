from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models.clip_target import ClipTarget, centred, normalised, read_classes, spread


class Corner(ClipTarget):
    """A network that outputs the brightness of the first and the last pixel of the clip."""

    def preprocess(self, video: Tensor) -> Tensor:
        return video

    def predict(self, clip: Tensor) -> Tensor:
        return self.network(torch.stack([clip[:, 0, 0, 0, 0], clip[:, -1, -1, -1, -1]], dim=1))


def corner(classes: tuple[str, ...] = ("first", "last"), network: nn.Module | None = None, **rest: object) -> Corner:
    return Corner(None, network or nn.Identity(), (4, 8, 8), classes, **rest)


@given(st.integers(1, 60), st.integers(1, 40))
def test_frames_are_evenly_spaced_over_the_whole_video(length: int, frames: int) -> None:
    video = torch.arange(length).float().view(1, length, 1, 1, 1)
    picked = spread(video, frames).flatten().tolist()
    assert len(picked) == frames
    assert picked[0] == 0
    assert frames == 1 or picked[-1] == length - 1
    steps = [later - earlier for earlier, later in pairwise(picked)]
    assert max(steps, default=0) - min(steps, default=0) <= 1


def test_a_clip_of_the_right_shape_is_read_unchanged() -> None:
    video = torch.rand(2, 5, 3, 8, 8)
    assert torch.equal(centred(spread(video, 5), 8), video)


def test_the_centre_square_is_read_undistorted() -> None:
    """A disc stays a disc: its second moments along both sides are equal."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(90.0), indexing="ij")
    disc = (((y - 19.5) ** 2 + (x - 44.5) ** 2) < 15**2).float().expand(1, 2, 3, 40, 90)
    seen = centred(disc, 20)[0, 0, 0]
    place = torch.arange(20.0) - 9.5
    height, width = ((seen.sum(dim=side) * place**2).sum() for side in (1, 0))
    assert seen.shape == (20, 20)
    torch.testing.assert_close(height, width, rtol=0.03, atol=0)
    torch.testing.assert_close(seen.sum() * 4, disc[0, 0, 0].sum(), rtol=1e-3, atol=0)


def test_normalisation_is_per_channel_and_puts_channels_first() -> None:
    video = torch.tensor([0.4, 0.5, 0.9]).view(1, 1, 3, 1, 1).expand(2, 4, 3, 6, 6)
    clip = normalised(video, (0.4, 0.4, 0.4), (0.1, 0.1, 0.5))
    assert clip.shape == (2, 3, 4, 6, 6)
    torch.testing.assert_close(clip.mean(dim=(0, 2, 3, 4)), torch.tensor([0.0, 1.0, 1.0]))


def test_only_pixels_that_are_read_get_a_gradient() -> None:
    video = torch.rand(1, 9, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(corner()(video).sum(), video)
    assert gradient.nonzero().tolist() == [[0, 0, 0, 0, 0], [0, 8, 2, 7, 7]]


def test_outputs_of_another_shape_are_reported() -> None:
    with pytest.raises(UsageError, match=r"returned \[1\] for 1 videos: it has to return \[B, K\]"):
        corner(network=_Flat())(torch.rand(1, 4, 3, 8, 8))
    with pytest.raises(UsageError, match="returned tuple for 1 videos"):
        corner(network=_Pair())(torch.rand(1, 4, 3, 8, 8))
    with pytest.raises(UsageError, match="has 2 outputs but 3 class names"):
        corner(("a", "b", "c"))(torch.rand(1, 4, 3, 8, 8))


class _Flat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=1)


class _Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def test_the_fingerprint_depends_on_weights_classes_and_settings() -> None:
    torch.manual_seed(0)
    network, other = nn.Linear(2, 2), nn.Linear(2, 2)
    alike = corner(network=network).fingerprint
    assert alike == corner(network=network).fingerprint
    changed = [
        corner(network=other),
        corner(("last", "first"), network=network),
        corner(network=network, settings=(0.5, 0.5)),
    ]
    assert len({alike, *(target.fingerprint for target in changed)}) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read the class names"), (" \n", "contains no class names"), ("up\ndown\nup\n", "class 'up' twice")],
)
def test_bad_class_names_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_classes(str(path))


def test_class_names_keep_their_order_and_their_spaces(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("zebra crossing\n\n  élan \nant\n", encoding="utf-8")
    assert read_classes(str(path)) == ("zebra crossing", "élan", "ant")
