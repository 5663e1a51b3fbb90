"""I3D as a classifier of real clips: class names have to be in the order of its outputs."""

from __future__ import annotations

import pytest
import torch

from tests.real_clips import BUNNY, CARPHONE, clip
from vcfe_bench.models.i3d import i3d
from vcfe_bench.models.i3d_kinetics400 import I3DKinetics400, I3DParams
from vcfe_bench.workflows.one_video import OneVideo, OneVideoParams


def test_pixels_are_mapped_to_the_range_of_the_network() -> None:
    target = I3DKinetics400(I3DParams(frames=9))
    video = torch.rand(1, 9, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(target(video), i3d()(2 * video.transpose(1, 2) - 1))
    assert target.clip == (9, 224, 224)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "frames", "expected"),
    [(CARPHONE, 16, "shaking head"), (BUNNY, 32, "feeding birds")],
)
def test_the_predicted_class_fits_the_clip(name, frames, expected) -> None:
    target = I3DKinetics400(I3DParams(frames=frames))
    video = OneVideo(OneVideoParams(str(clip(name)), *target.clip[:2])).sample("test", 0).video
    with torch.no_grad():
        assert target.classes[int(target(video[None])[0].argmax())] == expected


@pytest.mark.parametrize(
    ("index", "name"),
    [(5, "archery"), (19, "bench pressing"), (148, "hammer throw"), (253, "pole vault"), (378, "walking the dog")],
)
def test_class_indices_are_those_of_the_published_label_map(index: int, name: str) -> None:
    """A few lines of the label map of Kinetics-400 that was published with the network."""
    assert I3DKinetics400().classes[index] == name


def test_class_names_are_four_hundred_in_alphabetical_order() -> None:
    classes = I3DKinetics400().classes
    assert len(set(classes)) == 400
    assert list(classes) == sorted(classes, key=str.lower)
