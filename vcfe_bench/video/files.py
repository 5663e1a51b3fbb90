"""Videos in container files of any codec, read with FFmpeg."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vcfe_bench.video import display, structure
from vcfe_bench.video.timeline import Timeline, Undecodable, likely, regular

COMPLETE = 0.9
"""Smallest fraction of the timeline that must be covered by decodable frames."""
RESTART = 1
"""Seconds by which time goes back where recordings were joined; a frame that is less late is not shown."""
ANNOUNCED = frozenset({"mov", "avi", "matroska", "asf", "flv"})
"""Containers whose header announces a duration; FFmpeg estimates that of others."""


@dataclass(frozen=True)
class VideoFile:
    """A file that FFmpeg can read. ``fps`` (frames per second) overrides the presentation times of the file."""

    path: Path
    fps: float | None = None

    def timeline(self) -> Timeline:
        with self._open() as (container, stream):
            state = structure.state(self.path, container.format.name)
            if state == "cut":
                raise Undecodable("damaged: the end of the file is missing")
            reading = _Reading(container, stream)
            times: list[int | None] = []
            remarks: set[str] = set()
            for time, frame in reading.shown(self.fps is None):
                times.append(time)
                remarks |= display.remarks(frame, stream)
            if not times:
                raise Undecodable("no frame can be decoded")
            reading.check_coverage(announced=state == "unknown")
            said = tuple(sorted(remarks))
            ticks = np.array([time for time in times if time is not None], dtype=np.int64)
            if self.fps is not None or len(ticks) < len(times):
                return regular(len(times), self.fps or stream.average_rate or stream.guessed_rate or 25, said)
            if len(times) < reading.decoded / 2:
                raise Undecodable("the times of its frames do not increase: give it a frame rate")
            return likely(Timeline(ticks, reading.time_base, said))

    def pictures(self, indices: Collection[int]) -> Iterator[np.ndarray]:
        wanted, last = set(indices), max(indices)
        with self._open() as (container, stream):
            convert = display.Display(stream)
            for index, (_, frame) in enumerate(_Reading(container, stream).shown(self.fps is None)):
                if index in wanted:
                    yield convert(frame)
                if index == last:
                    return
        raise Undecodable(f"damaged: frame {last} is missing")

    @contextmanager
    def _open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        if not self.path.stat().st_size:
            raise Undecodable("the file is empty")
        try:
            container = av.open(str(self.path), metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise Undecodable(f"not readable as a video: {getattr(error, 'strerror', None) or error}") from None
        with container:
            stream = _best(container)
            if stream.width and stream.height:
                display.check_size(stream.width, stream.height)
            stream.codec_context.options, stream.codec_context.thread_count = {"err_detect": "explode"}, 1
            yield container, stream


class _Reading:
    """The frames of a stream with their times in ticks, in the order in which they are shown.

    FFmpeg leaves out what an edit list hides. Times are chosen from presentation and decoding times as in FFmpeg
    (``guess_correct_pts``): the presentation time, unless it goes back more often than the decoding time. Packets
    before the first key frame cannot be decoded; a stream that was cut without encoding may begin with them. FFmpeg
    marks a packet of a transport stream as corrupt where recordings were joined, too; there, only the decoder decides.

    Attributes:
        decoded: number of frames so far.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self.time_base = Fraction(stream.time_base or Fraction(1, 25))
        rate = stream.average_rate or stream.guessed_rate or 25
        self.interval = max(round(1 / (rate * self.time_base)), 1)
        self.decoded = 0
        self._faults_pts = self._faults_dts = 0
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._first: int | None = None
        self._end: int | None = None
        self._latest: int | None = None
        self._joined = False

    def shown(self, by_time: bool) -> Iterator[tuple[int | None, av.VideoFrame]]:
        """Frames with their times; with ``by_time``, without frames that are not later than the one before.

        Raises:
            Undecodable: the stream is damaged.
        """
        shift = 0
        for frame in self._decoded():
            self.decoded += 1
            time = self._guess(frame.pts, frame.dts)
            if time is not None and by_time:
                if self._end is not None and time + shift <= self._end - RESTART / self.time_base:
                    self._joined, shift = True, self._end + self.interval - time
                time += shift
                if self._end is not None and time <= self._end:
                    continue
                self._first = time if self._first is None else self._first
                self._end = time
            yield time, frame

    def _decoded(self) -> Iterator[av.VideoFrame]:
        started = False
        stream_of_packets = self._container.format.name == "mpegts"
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size and packet.dts is not None:
                    continue
                started = started or packet.is_keyframe
                if packet.is_corrupt and started and not stream_of_packets:
                    raise Undecodable("damaged: a frame is incomplete")
                if packet.pts is not None and not packet.is_discard:
                    self._latest = max(packet.pts, packet.pts if self._latest is None else self._latest)
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    if started:
                        raise
                    continue
                yield from frames
        except av.FFmpegError as error:
            raise Undecodable(f"damaged: {error.strerror}") from None

    def _guess(self, pts: int | None, dts: int | None) -> int | None:
        if dts is not None:
            self._faults_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        elif pts is not None:
            self._last_dts = pts
        if pts is not None:
            self._faults_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        elif dts is not None:
            self._last_pts = dts
        return pts if pts is not None and (self._faults_pts <= self._faults_dts or dts is None) else dts

    def check_coverage(self, announced: bool) -> None:
        """Compare the time that the frames cover with that of the packets and, if ``announced``, of the header.

        Raises:
            Undecodable: less than the fraction ``COMPLETE`` of it is covered.
        """
        if self._first is None or self._end is None or self._joined:
            return
        latest = self._end if self._latest is None else self._latest
        covered = (self._end + self.interval - self._first) * self.time_base
        expected = (latest + self.interval - self._first) * self.time_base
        if announced and not ANNOUNCED.isdisjoint(self._container.format.name.split(",")):
            expected = max(expected, self._announced())
        if covered < COMPLETE * expected:
            raise Undecodable(f"damaged: {float(covered):.1f} of {float(expected):.1f} s can be decoded")

    def _announced(self) -> Fraction:
        """Duration in the header, in seconds; that of the file counts only if there is no other stream."""
        if self._stream.duration is not None:
            return self._stream.duration * self.time_base
        alone = self._container.duration if len(self._container.streams) == 1 else None
        return Fraction(alone or 0, av.time_base)


def _best(container: InputContainer) -> VideoStream:
    """The stream that a player shows: one marked as default, or else the largest. Cover pictures do not count.

    Raises:
        Undecodable: there is no such stream.
    """
    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not moving:
        raise Undecodable("contains no video")
    marked = [stream for stream in moving if stream.disposition & Disposition.default]
    return max(marked or moving, key=lambda stream: (stream.width or 0) * (stream.height or 0))
