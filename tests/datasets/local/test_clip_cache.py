from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.datasets.local.replicas import H264, film, level, write_pictures, write_video
from vcfe_bench.core.errors import UsageError
from vcfe_bench.video import lossless
from vcfe_bench.video.files import VideoFile
from vcfe_bench.video.pictures import PictureFolder
from vcfe_bench.video.timeline import Timeline
from vcfe_datasets.recorded import clip_cache
from vcfe_datasets.recorded.clip_cache import ClipCache, Preparation


def levels(video: torch.Tensor) -> np.ndarray:
    """Grey level of the frames, from the right half."""
    return video[..., video.shape[-1] // 2 + 2 :].float().mean(dim=(1, 2, 3)).numpy()


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, VideoFile]:
    """Three videos by id."""
    for name in "abc":
        write_video(tmp_path / f"{name}.mp4", film(21), rate=10, **H264)
    return {name: VideoFile(tmp_path / f"{name}.mp4") for name in "abc"}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the clips that were made, in order."""
    ids: list[str] = []
    make = clip_cache.make

    def noted(job: clip_cache.Job) -> clip_cache.Entry:
        ids.append(job.id)
        return make(job)

    monkeypatch.setattr(clip_cache, "make", noted)
    return ids


@pytest.mark.parametrize(
    ("preparation", "picked", "fps"),
    [
        (Preparation(5, 16), [0, 5, 10, 15, 20], 2.0),
        (Preparation(5, 16, fps=8.0), [0, 5, 10, 15, 20], 8.0),
        (Preparation(41, 16), sorted([*range(21), *range(20)]), 20.0),
        (Preparation(6, 16, step=3), [0, 3, 6, 9, 12, 15], 10 / 3),
        (Preparation(6, 16, step=5), [0, 5, 10, 15, 20, 20], 2.0),
    ],
)
def test_clips_have_the_requested_format(
    tmp_path: Path, videos: dict[str, VideoFile], preparation: Preparation, picked: list[int], fps: float
) -> None:
    cache = ClipCache(tmp_path / "cache", preparation)
    entry = cache.fill({"a": videos["a"]}, "", workers=1)["a"]
    assert list(entry.picked) == picked
    assert entry.fps == pytest.approx(fps)
    assert (entry.height, entry.width) == (36, 64)
    clip = lossless.read(cache.file("a"))
    assert clip.shape == (preparation.frames, 3, 16, 16)
    assert np.abs(levels(clip) - [level(frame) for frame in picked]).max() < 2


def test_existing_clips_are_not_converted_again(tmp_path: Path, videos: dict[str, VideoFile], made: list[str]) -> None:
    preparation = Preparation(4, 16)
    first = ClipCache(tmp_path / "cache", preparation).fill({"a": videos["a"]}, "", workers=1)
    second = ClipCache(tmp_path / "cache", preparation).fill(videos, "", workers=1)
    assert made == ["a", "b", "c"]
    assert second["a"] == first["a"]


def test_changed_and_missing_clips_are_converted_again(
    tmp_path: Path, videos: dict[str, VideoFile], made: list[str]
) -> None:
    cache = ClipCache(tmp_path / "cache", Preparation(4, 16))
    cache.fill(videos, "", workers=1)
    write_video(videos["b"].path, film(4), **H264)
    cache.file("c").unlink()
    entries = cache.fill(videos, "", workers=1)
    assert made == ["a", "b", "c", "b", "c"]
    assert entries["b"].picked == (0, 1, 2, 3)
    assert cache.file("c").exists()


def test_finished_clips_survive_an_interruption(
    tmp_path: Path, videos: dict[str, VideoFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, make = ClipCache(tmp_path / "cache", Preparation(4, 16)), clip_cache.make

    def interrupted(job: clip_cache.Job) -> clip_cache.Entry:
        if job.id == "b":
            raise KeyboardInterrupt
        return make(job)

    monkeypatch.setattr(clip_cache, "make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.fill(videos, "", workers=1)
    with (tmp_path / "cache" / "journal.jsonl").open("a") as journal:
        journal.write('{"id": "torn", "sta')
    converted: list[str] = []
    monkeypatch.setattr(clip_cache, "make", lambda job: converted.append(job.id) or make(job))
    entries = cache.fill(videos, "", workers=1)
    assert converted == ["b", "c"]
    assert not any(entry.problem for entry in entries.values())
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_problems_are_entries_with_a_reason(tmp_path: Path, videos: dict[str, VideoFile]) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 200)
    write_video(tmp_path / "still.mp4", film(1), **H264)
    write_pictures(tmp_path / "mixed", film(3))
    write_pictures(tmp_path / "other", film(2, 50, 40))
    (tmp_path / "other" / "00001.jpg").rename(tmp_path / "mixed" / "00004.jpg")
    sources = {name: VideoFile(tmp_path / f"{name}.mp4") for name in ("empty", "text", "still", "gone", "a")}
    cache = ClipCache(tmp_path / "cache", Preparation(4, 16))
    entries = cache.fill({**sources, "mixed": PictureFolder(tmp_path / "mixed", 25)}, "", workers=1)
    assert {id: entry.problem for id, entry in entries.items()} == {
        "empty": "the file is empty",
        "text": "not readable as a video: Invalid data found when processing input",
        "still": "has one frame only",
        "gone": "cannot be read: No such file or directory",
        "mixed": "frames of different sizes: 64x36, 40x50",
        "a": "",
    }


def test_a_cache_that_cannot_be_written(tmp_path: Path, videos: dict[str, VideoFile]) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match="set VCFE_BENCH_CACHE to another folder"):
        ClipCache(tmp_path / "taken" / "cache", Preparation(4, 16)).fill(videos, "")


def test_workers_do_not_load_torch() -> None:
    code = "import sys, vcfe_datasets.recorded.clip_cache; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@dataclass(frozen=True)
class Deadly:
    """A source that kills the process that reads it."""

    path: Path

    def timeline(self) -> Timeline:
        os._exit(1)

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        raise AssertionError


@pytest.mark.slow
def test_parallel_processes_give_the_same_clips_and_survive_a_crash(
    tmp_path: Path, videos: dict[str, VideoFile]
) -> None:
    alone = ClipCache(tmp_path / "alone", Preparation(4, 16))
    spread = ClipCache(tmp_path / "spread", Preparation(4, 16))
    expected = alone.fill(videos, "", workers=1)
    found = spread.fill({"a": videos["a"], "deadly": Deadly(videos["b"].path), **videos}, "", workers=2)
    assert found.pop("deadly").problem == "the decoder crashed on it"
    assert found == expected
    for id in videos:
        assert spread.file(id).read_bytes() == alone.file(id).read_bytes()
