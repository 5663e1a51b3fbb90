"""A video is whole if the time for which it is shown is covered, whatever its header counts."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from tests.datasets.local.replicas import H264, MJPEG, VP9, XVID, film, level, write_video
from vcfe_bench.video.sources import source
from vcfe_bench.video.timeline import Undecodable

FRAMES = 20
SIMPLE = {"codec": "libx264", "options": {"preset": "ultrafast", "qp": "4", "bf": "0", "g": "250"}}


def levels(path: Path) -> list[int]:
    """For each frame that is shown, the frame of ``film`` with the nearest grey."""
    video = source(path)
    greys = [picture[:, 40:].mean() for picture in video.pictures(range(len(video.timeline().ticks)))]
    return [round((grey - level(0)) / (level(1) - level(0))) for grey in greys]


def patched(path: Path, name: bytes, offset: int, form: str, *values: float) -> None:
    """Write numbers at an offset from the first occurrence of ``name`` in a file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(name) + offset, *values)
    path.write_bytes(data)


def edited(path: Path, entries: Sequence[tuple[int, int]]) -> None:
    """Replace the edit list of an MP4 file; entries are durations in milliseconds, and times in ticks or -1."""
    data = bytearray(path.read_bytes())
    start = data.index(b"elst") - 4
    (size,) = struct.unpack_from(">I", data, start)
    content = struct.pack(">II", 0, len(entries)) + b"".join(struct.pack(">IiI", *entry, 1 << 16) for entry in entries)
    for parent in (b"moov", b"trak", b"edts"):
        at = data.index(parent) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(content) + 8 - size)
    data[start : start + size] = struct.pack(">I4s", len(content) + 8, b"elst") + content
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([(400, 12800 * 10 // 25)], [*range(10, 20)]),
        ([(1000, -1), (800, 0)], [*range(20)]),
        ([(200, 0), (200, 12800 * 10 // 25)], [*range(5), *range(10, 15)]),
        ([(200, 0), (200, 0)], [*range(5), *range(5)]),
    ],
    ids=["end", "delayed", "two parts", "twice"],
)
def test_edit_lists_are_followed(tmp_path: Path, entries: list[tuple[int, int]], expected: list[int]) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, film(FRAMES), rate=25, **SIMPLE)
    edited(path, entries)
    assert levels(path) == expected


def test_a_clip_that_was_cut_without_encoding_is_whole(tmp_path: Path) -> None:
    """The last quarter of a film with one key frame: the header counts all its frames, and a player shows 25."""
    with av.open(str(tmp_path / "whole.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "250", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(100):
            picture = np.full((32, 32, 3), 2 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    path = tmp_path / "cut.mp4"
    with (
        av.open(str(tmp_path / "whole.mp4")) as whole,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container,
    ):
        copied = whole.streams.video[0]
        stream = container.add_stream_from_template(copied)
        shift = int(3 / Fraction(copied.time_base or 1))
        for packet in whole.demux(copied):
            if packet.dts is not None and packet.pts is not None:
                packet.stream, packet.pts, packet.dts = stream, packet.pts - shift, packet.dts - shift
                container.mux(packet)
    video = source(path)
    timeline = video.timeline()
    assert (len(timeline.ticks), timeline.seconds) == (25, pytest.approx(0.96))
    greys = [picture.mean() for picture in video.pictures({0, 24})]
    assert greys == pytest.approx([150, 198], abs=2)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Undecodable):
        source(path).timeline()


def test_headers_that_announce_too_much(tmp_path: Path) -> None:
    for suffix, how in ((".avi", XVID), (".mkv", H264), (".mp4", H264), (".flv", H264)):
        write_video(tmp_path / f"video{suffix}", film(FRAMES), rate=25, **how)
    patched(tmp_path / "video.avi", b"avih", 24, "<I", 200)
    patched(tmp_path / "video.avi", b"strh", 40, "<I", 200)
    patched(tmp_path / "video.mkv", b"\x44\x89", 3, ">d", 9000.0)
    patched(tmp_path / "video.mp4", b"stts", 12, ">I", 200)
    patched(tmp_path / "video.flv", b"duration\0", 9, ">d", 9.0)
    for suffix in (".avi", ".mkv", ".mp4", ".flv"):
        assert levels(tmp_path / f"video{suffix}") == [*range(FRAMES)], suffix


def test_frames_that_are_repeated_have_no_packet(tmp_path: Path) -> None:
    """An AVI repeats a frame by an empty packet, which its header counts."""
    with av.open(str(tmp_path / "video.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qmin": "1", "qmax": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for number, picture in enumerate(film(5)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 4 * number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "video.avi")) as container:
        assert container.streams.video[0].frames == 17
    timeline = source(tmp_path / "video.avi").timeline()
    assert (timeline.ticks * timeline.tick * 25).tolist() == [0, 4, 8, 12, 16]
    assert levels(tmp_path / "video.avi") == [*range(5)]


def test_packets_without_a_frame(tmp_path: Path) -> None:
    """MPEG-4 marks a frame that is not coded by a packet of its own; the one before it stays on the screen."""
    not_coded = b"\0\0\1\xb6" + int("0101" + "00000" + "10" + "0" + "1111", 2).to_bytes(2, "big")
    path = tmp_path / "video.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qmin": "1", "qmax": "2", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        stream.codec_context.codec_tag = "XVID"
        for number, picture in enumerate(film(10)):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                packet.pts = packet.dts = 2 * number
                container.mux(packet)
                empty = av.Packet(not_coded)
                empty.stream, empty.time_base = stream, Fraction(1, 25)
                empty.pts = empty.dts = 2 * number + 1
                container.mux(empty)
    assert levels(path)[:10] == [*range(10)]


def test_two_frames_at_one_time(tmp_path: Path) -> None:
    path = tmp_path / "video.mkv"
    write_video(path, film(6), codec="ffv1", pixels="bgr0", ticks=[0, 40, 40, 80, 120, 160])
    assert levels(path) == [0, 1, 3, 4, 5]


def test_recordings_that_were_joined(tmp_path: Path) -> None:
    path = tmp_path / "video.ts"
    write_video(path, film(FRAMES), rate=10, **SIMPLE)
    path.write_bytes(path.read_bytes() * 2)
    assert levels(path) == [*range(FRAMES), *range(FRAMES)]
    assert source(path).timeline().seconds == pytest.approx(3.9)


def test_a_recording_that_begins_between_key_frames(tmp_path: Path) -> None:
    path = tmp_path / "video.ts"
    write_video(path, film(FRAMES), rate=25, codec="libx264", options={"preset": "ultrafast", "g": "5"})
    data = path.read_bytes()
    path.write_bytes(data[: 3 * 188] + data[12 * 188 :])
    assert levels(path) == [*range(5, FRAMES)]


def test_the_default_stream_is_read(tmp_path: Path) -> None:
    """A small preview comes first; the stream that is marked as default is shown, and a cover picture never is."""
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        streams = []
        for codec, pixels, side, disposition in (
            ("mjpeg", "yuvj420p", 200, Disposition.attached_pic),
            ("libx264", "yuv420p", 32, Disposition(0)),
            ("libx264", "yuv420p", 64, Disposition.default),
        ):
            stream = container.add_stream(codec, rate=10)
            stream.width = stream.height = side
            stream.pix_fmt, stream.disposition = pixels, disposition
            streams.append(stream)
        for number in range(10):
            for index, stream in enumerate(streams if number == 0 else streams[1:], start=number > 0):
                picture = np.zeros((stream.height, stream.width, 3), np.uint8)
                picture[..., index] = 200
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    video = source(path)
    assert len(video.timeline().ticks) == 10
    (first,) = video.pictures({0})
    assert first.shape == (64, 64, 3)
    assert first.mean(axis=(0, 1)).round().tolist() == pytest.approx([0, 0, 200], abs=4)


@pytest.mark.parametrize(("scale", "rate"), [(1, 0), (0, 25), (0, 0)])
def test_a_rate_of_zero_in_the_header(tmp_path: Path, scale: int, rate: int) -> None:
    write_video(tmp_path / "video.avi", film(FRAMES), rate=25, **XVID)
    patched(tmp_path / "video.avi", b"strh", 28, "<II", scale, rate)
    assert levels(tmp_path / "video.avi") == [*range(FRAMES)]


@pytest.mark.parametrize(("scale", "rate"), [(10**9, 1), (1, 2**32 - 1)])
def test_an_unlikely_rate_in_the_header(tmp_path: Path, scale: int, rate: int) -> None:
    write_video(tmp_path / "video.avi", film(FRAMES), rate=25, **XVID)
    patched(tmp_path / "video.avi", b"strh", 28, "<II", scale, rate)
    with pytest.raises(Undecodable, match="unlikely frame rate"):
        source(tmp_path / "video.avi").timeline()


CONTAINERS = [
    ("a.avi", XVID),
    ("a.avi", MJPEG),
    ("a.mp4", H264),
    ("a.3gp", H264),
    ("a.webm", VP9),
    ("a.mkv", H264),
    ("a.ts", H264),
    ("a.m2ts", H264),
    ("a.flv", H264),
    ("a.wmv", {"codec": "wmv2"}),
    ("a.mpg", {"codec": "mpeg2video"}),
    ("a.gif", {"codec": "gif", "pixels": "rgb8"}),
    ("a.webp", {}),
]


@pytest.mark.parametrize(("name", "how"), CONTAINERS, ids=[f"{name}-{how.get('codec')}" for name, how in CONTAINERS])
def test_files_that_were_cut_off_are_refused(tmp_path: Path, name: str, how: dict) -> None:
    frames = film(12, 48, 64) // 2 + np.random.default_rng(0).integers(0, 60, (12, 48, 64, 3), dtype=np.uint8)
    path = tmp_path / name
    if how:
        write_video(path, frames, **how)
    else:
        first, *rest = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=rest, duration=40, lossless=True)
    assert len(source(path).timeline().ticks) == 12
    data = path.read_bytes()
    for part in (0.02, 0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(Undecodable):
            list(source(path).pictures(range(len(source(path).timeline().ticks))))


def test_streams_without_an_index_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    for name, options in (("a.mp4", {"movflags": "faststart"}), ("b.mp4", FRAGMENTED), ("c.mkv", {"live": "1"})):
        path = tmp_path / name
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "5"})
            stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
            for picture in film(FRAMES):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        assert levels(path) == [*range(FRAMES)]
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(Undecodable):
            source(path).timeline()


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
