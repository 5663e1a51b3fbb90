"""Which reader a path needs."""

from __future__ import annotations

from pathlib import Path

from vcfe_bench.video.arrays import ArrayFile
from vcfe_bench.video.files import VideoFile
from vcfe_bench.video.pictures import AnimatedPicture, PictureFolder, is_picture
from vcfe_bench.video.timeline import Source

ANIMATED = frozenset({".webp"})
"""Suffixes of animated pictures that FFmpeg does not read."""
VIDEOS = ANIMATED | {
    *(".3g2", ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
}
"""Suffixes of video files, in lower case."""
PICTURE_RATE = 25.0
"""Frames per second of a folder of pictures or an array, which do not specify it."""


def is_video(path: Path) -> bool:
    """Whether a path is a folder of pictures or has the suffix of a video file."""
    if path.is_dir():
        return any(is_picture(file) for file in path.iterdir())
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".")


def source(path: Path, fps: float | None = None) -> Source:
    """The reader of a video. ``fps`` overrides the presentation times of a file, and ``PICTURE_RATE``."""
    if path.is_dir():
        return PictureFolder(path, fps or PICTURE_RATE)
    if path.suffix.lower() == ".npy":
        return ArrayFile(path, fps or PICTURE_RATE)
    return AnimatedPicture(path, fps) if path.suffix.lower() in ANIMATED else VideoFile(path, fps)
