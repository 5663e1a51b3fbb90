"""One video, explained from Python."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

from tests.real_clips import CARPHONE, clip
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import registry
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.video import lossless
from vcfe_bench.workflows import explain
from vcfe_bench.workflows.explain_request import ExplainRequest, clip_shape
from vcfe_bench.workflows.one_video import OneVideo, OneVideoParams


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of 16×12, 1.5 s long; the left third of the centre square is brighter than the rest."""
    path = tmp_path_factory.mktemp("film") / "dusk.mkv"
    pixels = torch.randint(0, 100, (12, 3, 12, 16), generator=torch.Generator().manual_seed(0))
    pixels[..., 2:6] += 40
    lossless.write(path, pixels.byte(), 8)
    return path


def ask(film: Path, out: Path, **request: Any) -> explain.Explained:
    return explain.explain(
        film, **{"target": "toy_conv", "method": "toy_push", "frames": 5, "size": 12, **request}, out=out
    )


@pytest.fixture(scope="module")
def explained(film: Path, tmp_path_factory: pytest.TempPathFactory) -> explain.Explained:
    return ask(film, tmp_path_factory.mktemp("explained") / "out", to="right", method="toy_push[rate=60,steps=8]")


def test_the_prediction_is_changed_to_the_requested_class(explained: explain.Explained) -> None:
    target = registry.TARGETS.build("toy_conv")
    assert explained.met
    assert next(iter(explained.before.classes)) == "left"
    assert next(iter(explained.after.classes)) == "right"
    probabilities = target(explained.video[None])[0].detach().softmax(0)
    assert explained.after.classes["right"] == pytest.approx(float(probabilities[2]))
    assert sum(explained.after.classes.values()) == pytest.approx(1)


def test_the_folder_contains_videos_strip_and_scores(explained: explain.Explained) -> None:
    counterfactual = lossless.read(explained.folder / explain.COUNTERFACTUAL)
    original = lossless.read(explained.folder / explain.ORIGINAL)
    assert torch.equal(lossless.dequantise(counterfactual), explained.video)
    assert original.shape == counterfactual.shape == (5, 3, 12, 12)
    assert lossless.read(explained.folder / explain.SIDE_BY_SIDE).shape == (5, 3, 12, 44)
    with Image.open(explained.folder / explain.STRIP) as strip:
        assert strip.width > 1000
        assert len(strip.convert("L").getcolors()) > 50
    scores = json.loads((explained.folder / explain.SCORES).read_text(), parse_constant=pytest.fail)
    assert scores["met"] is True
    assert scores["goal"] == "right"
    assert scores["after"] == explained.after.classes
    l1 = float((counterfactual.double() - original.double()).abs().mean() / 255)
    assert scores["scores"]["L1"] == pytest.approx(l1, rel=1e-6)
    assert scores["scores"]["FR"] == 1


def test_it_is_an_ordinary_run(explained: explain.Explained) -> None:
    store = RunDirectory(explained.folder)
    record = store.table("records.parquet").iloc[0]
    assert (record["goal"], record["status"], record["met"]) == ("class=2", "ok", True)
    assert math.isnan(record["label"])
    assert torch.equal(lossless.dequantise(store.video(record["video"])), explained.video)


def test_the_same_request_again_computes_nothing(film: Path, tmp_path: Path) -> None:
    first = ask(film, tmp_path / "out", to=1)
    records = [record.id for record in RunDirectory(first.folder).entries(Record)]
    second = ask(film, tmp_path / "out", to="middle")
    assert [record.id for record in RunDirectory(first.folder).entries(Record)] == records
    assert torch.equal(first.video, second.video)
    with pytest.raises(UsageError, match="holds another run"):
        ask(film, tmp_path / "out", to="right")


def test_seeds_determine_all_randomness(film: Path, tmp_path: Path) -> None:
    videos = [ask(film, tmp_path / str(k), to="right", seed=seed).video for k, seed in enumerate((0, 0, 1))]
    assert torch.equal(videos[0], videos[1])
    assert not torch.equal(videos[0], videos[2])


def test_a_regressor_reaches_the_requested_value(film: Path, tmp_path: Path) -> None:
    explained = ask(
        film,
        tmp_path / "out",
        target="toy_meter",
        method="toy_push[noise=0,rate=0.3,steps=20]",
        value=55,
        tolerance=2.5,
    )
    assert explained.met
    assert abs(explained.after.value - 55) <= 2.5
    assert explained.after.value == pytest.approx(100 * float(explained.video.mean()), rel=1e-5)
    assert explained.scores["MAE"] == pytest.approx(abs(explained.after.value - 55), rel=1e-5)


def test_the_reconstruction_of_a_generator_is_a_row_of_its_own(film: Path, tmp_path: Path) -> None:
    explained = ask(film, tmp_path / "out", to="right", method="toy_half", generator="toy_blocks")
    table = pd.read_csv(explained.folder / "leaderboard.csv")
    assert table["method"].tolist() == ["toy_half", "reconstruction"]
    assert not explained.met


def test_a_clip_is_extended_to_what_the_generator_supports(film: Path) -> None:
    class Shy:
        clip = (6, 11, 11)
        spec = "shy"

    limits = registry.GENERATORS.build("toy_blocks")
    request = ExplainRequest(film, "shy", "toy_half", to=1)
    assert clip_shape(request, Shy(), None) == (6, 11)
    assert clip_shape(request, Shy(), limits) == (9, 12)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, r"choose the class to reach with --to; the target predicts left 0\.\d+, "),
        ({"to": "rihgt"}, r"the target has no class 'rihgt'; did you mean 'right'\?"),
        ({"to": 3}, "the target has no class '3'; there are: left, middle, right"),
        ({"to": "left"}, "the target's prediction already meets the goal: left"),
        ({"value": 3.0}, "the target predicts classes, not values"),
        ({"target": "toy_meter", "to": "left"}, "the target predicts a value, not a class"),
        ({"target": "toy_meter", "value": 55.0}, r"with --value and --tolerance; the target predicts \d"),
        ({"target": "toy_meter", "value": 55.0, "tolerance": 0.0}, "--tolerance must be positive, not 0"),
        ({"to": "right", "frames": None}, "'toy_conv' does not state the clip it needs: give --frames and --size"),
        ({"to": "right", "frames": 1}, "needs at least two frames and one pixel, not 1 frames of 12x12"),
        ({"to": "right", "method": "toy_half"}, "needs a generator: choose one with --generator"),
        ({"to": "right", "method": "toy_half", "generator": "toy_blocks", "frames": 6}, "makes 4k\\+1 frames"),
        ({"to": "right", "method": "toy_picky"}, "'toy_picky' skipped: not before dawn"),
        ({"to": "right", "method": "toy_psuh"}, "unknown method 'toy_psuh'; did you mean 'toy_push'"),
    ],
)
def test_misuse_is_reported(film: Path, tmp_path: Path, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask(film, tmp_path / "out", **request_)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read .*: No such file"), (b"", "the file is empty"), (b"no video", "cannot be used: not readable")],
)
def test_a_file_that_is_not_a_video_is_reported(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        ask(path, tmp_path / "out", to="right")


def test_a_video_needs_two_frames(tmp_path: Path) -> None:
    lossless.write(tmp_path / "one.mkv", torch.zeros(1, 3, 12, 12, dtype=torch.uint8), 8)
    with pytest.raises(UsageError, match="has only one frame"):
        OneVideo(OneVideoParams(str(tmp_path / "one.mkv")))


def test_frames_are_spread_over_the_video_and_keep_its_speed(tmp_path: Path) -> None:
    pixels = torch.arange(0, 210, 10).byte().view(21, 1, 1, 1).expand(21, 3, 8, 8)
    lossless.write(tmp_path / "ramp.mkv", pixels, 10)
    sample = OneVideo(OneVideoParams(str(tmp_path / "ramp.mkv"), 6, 8)).sample("test", 0)
    assert (255 * sample.video[:, 0, 0, 0]).round().tolist() == [0, 40, 80, 120, 160, 200]
    assert sample.fps == pytest.approx(2.5)


@pytest.mark.slow
def test_a_real_clip_flips_to_the_requested_class(tmp_path: Path) -> None:
    explained = explain.explain(clip(CARPHONE), "i3d_kinetics400", to="driving car", method="pgd", out=tmp_path / "out")
    assert next(iter(explained.before.classes)) == "shaking head"
    assert next(iter(explained.after.classes)) == "driving car"
    assert explained.met
    assert 0 < explained.scores["L1"] < 0.02
    assert explained.scores["SSIM"] > 0.8


@pytest.mark.slow
def test_bttf_explains_a_video_with_the_embedded_generator(tmp_path: Path) -> None:
    video = registry.DATASETS.build("shape_moving").sample("validation", 0)
    lossless.write(tmp_path / "shape.mkv", lossless.quantise(video.video), video.fps)
    names = registry.TARGETS.build("m_swin").classes
    explained = explain.explain(
        tmp_path / "shape.mkv",
        "m_swin",
        to=names[(int(video.label) + 1) % 4],
        method="bttf[iterations=2,steps=2]",
        generator="wan_shape_moving",
        frames=17,
        size=64,
        out=tmp_path / "out",
    )
    assert explained.video.shape == (17, 3, 64, 64)
