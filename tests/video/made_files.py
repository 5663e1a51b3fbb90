"""Small video files of many kinds, and what FFmpeg's own filters show of them.

``ffmpeg_shows`` turns and mirrors with the ``transpose``, ``hflip`` and ``vflip`` filters by the rules of the
``ffmpeg`` program and scales by the sample aspect ratio of the filter graph; the decoder of the benchmark does neither.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type

ROUNDED = "flags=bicubic+accurate_rnd+bitexact+full_chroma_int"
MATRICES = {
    "upright": (1, 0, 0, 1),
    "right": (0, 1, -1, 0),
    "over": (-1, 0, 0, -1),
    "left": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "flipped": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transversed": (0, -1, -1, 0),
}
"""The elements a, b, c, d of the display matrix."""
ASPECTS = (Fraction(1), Fraction(64, 45), Fraction(3, 4))
FAST = {"libx264": {"preset": "ultrafast", "qp": "8"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}
TAGS = {"mpeg4": "FMP4"}


@dataclass(frozen=True)
class Made:
    """How a file is made; ``size`` is width and height, ``matrix`` a name in ``MATRICES``."""

    suffix: str
    codec: str
    pixels: str = "yuv420p"
    matrix: str = "upright"
    aspect: Fraction = Fraction(1)
    full: bool | None = None
    size: tuple[int, int] = (48, 32)
    options: dict[str, str] = field(default_factory=dict)
    muxing: dict[str, str] = field(default_factory=dict)
    colours: int | None = None
    frames: int = 3

    def __str__(self) -> str:
        parts = (self.suffix[1:], self.codec, self.pixels, self.matrix, f"{float(self.aspect):.2f}", self.full)
        return "-".join(map(str, (*parts, *self.size, *self.options.values(), self.colours)))

    def write(self, folder: Path, pictures: np.ndarray | None = None) -> Path:
        """The path of the file, which shows ``pictures``, uint8 ``[T, H, W, 3 or 4]``, or else ``film``."""
        path = folder / f"video{self.suffix}"
        with av.open(str(path), "w", options=self.muxing) as container:
            options = {**FAST.get(self.codec, {}), **self.options, "threads": "1"}
            stream = container.add_stream(self.codec, rate=25, options=options)
            stream.width, stream.height = self.size
            stream.pix_fmt = self.pixels
            stream.codec_context.sample_aspect_ratio = self.aspect
            if self.full is not None:
                stream.codec_context.color_range = 2 if self.full else 1
            if self.colours is not None:
                stream.codec_context.colorspace = self.colours
            for picture in film(self.frames, *self.size) if pictures is None else pictures:
                frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
                target = {"dst_color_range": 2 if self.full else 1} if self.full is not None else {}
                container.mux(stream.encode(frame.reformat(format=self.pixels, **target)))
            container.mux(stream.encode(None))
        if self.matrix != "upright":
            orient(path, MATRICES[self.matrix])
        return path


def film(frames: int, width: int, height: int) -> np.ndarray:
    """uint8 ``[T, H, W, 3]``: a picture without symmetry, smooth but for four corners, that grows brighter."""
    y, x = np.mgrid[:height, :width]
    red, green, blue = 40 + 120 * x / width, 40 + 120 * y / height, 160 - 60 * x / width - 60 * y / height
    picture = np.stack([red, green, blue], axis=-1)
    picture[: height // 4, : width // 4] = 200, 30, 30
    picture[: height // 4, -(width // 4) :] = 30, 200, 30
    picture[-(height // 4) :, : width // 4] = 30, 30, 200
    return np.stack([picture + (60 // frames) * number for number in range(frames)]).clip(0, 255).astype(np.uint8)


def orient(path: Path, elements: tuple[float, float, float, float]) -> None:
    """Set the display matrix of an MP4 file with one track; PyAV before 17.1 cannot."""
    a, b, c, d = (round(element * 2**16) for element in elements)
    data = bytearray(path.read_bytes())
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(data)


def grid() -> Iterator[Made]:
    """All combinations that a container can express."""
    for matrix, aspect, full in product(MATRICES, ASPECTS, (False, True)):
        yield Made(".mp4", "libx264", "yuv420p", matrix, aspect, full)
    for matrix, aspect in product(MATRICES, ASPECTS):
        yield Made(".mov", "mpeg4", "yuv420p", matrix, aspect)
    for matrix in MATRICES:
        yield Made(".3gp", "libx264", "yuv420p", matrix)
        yield Made(".mov", "mjpeg", "yuvj422p", matrix, ASPECTS[1])
        yield Made(".mov", "qtrle", "rgb24", matrix, ASPECTS[2])
        yield Made(".mp4", "libx264", "yuv444p", matrix, ASPECTS[1], size=(47, 33))
    for suffix, aspect, full in product((".mkv", ".avi", ".ts", ".m2ts", ".flv"), ASPECTS, (False, True)):
        muxing = {"mpegts_m2ts_mode": "1"} if suffix == ".m2ts" else {}
        yield Made(suffix, "libx264", "yuv420p", aspect=aspect, full=full, muxing=muxing)
    for (suffix, codec, pixels, frames), aspect in product(CODECS, ASPECTS):
        yield Made(suffix, codec, pixels, aspect=aspect, frames=frames)
    for pixels, size in product(FORMATS, ((48, 32), (47, 33))):
        yield Made(".mkv", "ffv1", pixels, size=size)
    for codec, pixels, full in product(("ffv1", "libx264"), ("yuv420p", "yuv422p", "yuv444p"), (False, True)):
        for colours in (1, 5, 9):
            yield Made(".mkv", codec, pixels, full=full, colours=colours)
    for size in ((47, 33), (33, 47), (48, 31)):
        yield Made(".mkv", "ffv1", "yuv420p", size=size, aspect=ASPECTS[1])
        yield Made(".webm", "libvpx", "yuv420p", size=size)
    yield Made(".gif", "gif", "rgb8")
    yield Made(".mov", "prores_ks", "yuv422p10le")
    yield Made(".ts", "mpeg2video", options={"flags": "+ildct+ilme"}, frames=25)


CODECS = (
    (".webm", "libvpx", "yuv420p", 3),
    (".webm", "libvpx-vp9", "yuv420p", 3),
    (".mpg", "mpeg2video", "yuv420p", 3),
    (".ts", "mpeg2video", "yuv420p", 25),
    (".avi", "mpeg4", "yuv420p", 3),
    (".avi", "mjpeg", "yuvj420p", 3),
    (".avi", "huffyuv", "yuv422p", 3),
    (".wmv", "wmv2", "yuv420p", 3),
    (".flv", "flv", "yuv420p", 3),
    (".mkv", "mpeg2video", "yuv420p", 3),
    (".mkv", "ffv1", "yuv420p", 3),
)
"""Suffix, codec, pixel format and number of frames; FFmpeg recognises a transport stream only by its length."""
FORMATS = ("gray", "gray16le", "yuv420p10le", "yuv422p", "yuv444p16le", "bgr0", "gbrp16le", "yuv410p")


def ffmpeg_shows(path: Path) -> np.ndarray:
    """uint8 ``[T, H, W, 3]``."""
    shown = []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert stream is not None
        graph: av.filter.Graph | None = None
        for frame in container.decode(stream):
            if graph is None:
                graph = _as_ffmpeg(stream, frame)
            graph.push(frame)
            shown.append(graph.pull().to_ndarray())
    return np.stack(shown)


def _as_ffmpeg(stream: av.video.stream.VideoStream, frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    turning = [] if matrix is None else _turning(np.frombuffer(bytes(matrix), np.int32))
    context = stream.codec_context
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/25:"
        f"pixel_aspect={(stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1))}",
    )
    nodes = [
        source,
        *(graph.add(name, value) if value else graph.add(name) for name, value in turning),
        graph.add("scale", f"w=iw*sar:h=ih:{ROUNDED}"),
        graph.add("format", "pix_fmts=rgb24"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _turning(matrix: np.ndarray) -> list[tuple[str, str]]:
    """Filters of ``ffmpeg -autorotate``, from ``av_display_rotation_get`` and ``configure_input_video_filter``."""
    angle = math.degrees(math.atan2(matrix[1], matrix[0])) % 360
    if abs(angle - 90) < 1:
        return [("transpose", "cclock_flip" if matrix[3] > 0 else "clock")]
    if abs(angle - 270) < 1:
        return [("transpose", "clock_flip" if matrix[3] < 0 else "cclock")]
    if abs(angle - 180) < 1:
        return [*([("hflip", "")] if matrix[0] < 0 else []), *([("vflip", "")] if matrix[4] < 0 else [])]
    return [("vflip", "")] if matrix[4] < 0 else []
