"""Miniature copies of the datasets: their original layout, names and codecs, with videos of a few small frames.

Frame t of every video is grey with level ``level(t)``, with red added in the left half: the decoded frames show which
frames were selected, whether they are upright, and whether colours are preserved.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
from PIL import Image

H264: dict[str, Any] = {"codec": "libx264", "options": {"preset": "ultrafast", "qp": "4"}}
XVID: dict[str, Any] = {"codec": "mpeg4", "tag": "XVID", "options": {"qmin": "1", "qmax": "2"}}
MJPEG: dict[str, Any] = {"codec": "mjpeg", "pixels": "yuvj420p", "options": {"qmin": "1", "qmax": "2"}}
VP9: dict[str, Any] = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "crf": "10"}}
RED = 40
"""Added to the red of the left half."""


def level(frame: int) -> int:
    """Grey level of a frame."""
    return 30 + 8 * frame


def film(frames: int, height: int = 36, width: int = 64) -> np.ndarray:
    """uint8 ``[T, H, W, 3]``."""
    video = np.empty((frames, height, width, 3), np.uint8)
    video[:] = np.array([level(frame) for frame in range(frames)])[:, None, None, None]
    video[:, :, : width // 2, 0] += RED
    return video


def write_video(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str,
    rate: float = 30,
    pixels: str = "yuv420p",
    tag: str | None = None,
    options: Mapping[str, str] | None = None,
    rotation: float | None = None,
    ticks: Sequence[int] | None = None,
) -> None:
    """Encode ``[T, H, W, 3]``; ``ticks`` are the times of the frames in units of a thousandth of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        speed = Fraction(rate).limit_denominator(1001)
        stream = container.add_stream(codec, rate=speed, options={**(options or {}), "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        if tag:
            stream.codec_context.codec_tag = tag
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if rotation is not None:
        _turn(path, rotation)


def _turn(path: Path, rotation: float) -> None:
    """Set the display matrix of an MP4 with one track: a rotation counterclockwise, in degrees.

    The bytes are written here because PyAV before 17.1 cannot set the matrix.
    """
    cosine, sine = (round(function(math.radians(rotation)) * 2**16) for function in (math.cos, math.sin))
    data = bytearray(path.read_bytes())
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, cosine, -sine, 0, sine, cosine, 0, 0, 0, 2**30)
    path.write_bytes(data)


def jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_pictures(folder: Path, frames: np.ndarray) -> None:
    """``00001.jpg``, ``00002.jpg``, …"""
    folder.mkdir(parents=True)
    for number, picture in enumerate(frames, 1):
        (folder / f"{number:05d}.jpg").write_bytes(jpeg(picture))


def write_seq(path: Path, frames: np.ndarray, rate: float = 25.0, trailer: int = 8) -> None:
    """A Norpix sequence of JPEG pictures with ``trailer`` bytes of time stamp after each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames.shape[1:3]
    header = struct.pack("<4s24sii512s", b"\xed\xfe\0\0", "Norpix seq".encode("utf-16-le"), 3, 1024, b"")
    header += struct.pack("<9id", width, height, 24, 8, 3 * height * width, 102, len(frames), 0, 0, rate)
    body = b""
    for number, picture in enumerate(frames):
        data = jpeg(picture)
        body += struct.pack("<I", len(data) + 4) + data + struct.pack("<IHH", 10**9 + number, 0, 0)
        body += bytes(trailer - 8)
    path.write_bytes(header.ljust(1024, b"\0") + body)


class Python2Pickler(pickle._Pickler):
    """Writes byte strings and text as Python 2 writes its ``str``."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def _string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    dispatch[str] = dispatch[bytes] = _string


def python2_pickle(content: Any) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(content)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def mead(root: Path, actors: Sequence[str] = ("M003", "M009", "W011")) -> Path:
    """Two emotions, two takes an actor, from the front; one video from the left."""
    for actor in actors:
        for emotion in ("angry", "neutral"):
            for take in ("001", "002"):
                path = root / actor / "video" / "front" / emotion / "level_1" / f"{take}.mp4"
                write_video(path, film(20), **H264)
        (root / actor / "audio" / "angry" / "level_1").mkdir(parents=True)
        (root / actor / "audio" / "angry" / "level_1" / "001.m4a").write_bytes(b"sound")
    write_video(root / actors[0] / "video" / "left_30" / "angry" / "level_1" / "001.mp4", film(20), **H264)
    return root


def ntu_rgbd(root: Path) -> Path:
    """Persons 1 (training) and 3 (test), cameras 1 and 2, actions 1, 51 and 60."""
    for person in (1, 3):
        for camera in (1, 2):
            for action in (1, 51, 60):
                name = f"S001C{camera:03d}P{person:03d}R001A{action:03d}_rgb.avi"
                write_video(root / "nturgb+d_rgb" / name, film(20), **XVID)
    return root


EJECTION = {"0X1": ("TRAIN", 61.5), "0X2": ("TRAIN", 35.25), "0X3": ("VAL", 50.0), "0X4": ("TEST", 70.0)}


def echonet_dynamic(root: Path, parts: Mapping[str, tuple[str, float]] | None = None) -> Path:
    """Grey Motion JPEG of 24 frames at 50 frames per second."""
    lines = ["FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split"]
    for name, (part, value) in (parts or EJECTION).items():
        grey = film(24, 32, 32)
        grey[:] = grey[..., 2:]
        write_video(root / "Videos" / f"{name}.avi", grey, rate=50, **MJPEG)
        lines.append(f"{name},{value},{100 - value},100.0,32,32,50,24,{part}")
    (root / "FileList.csv").write_text("\n".join(lines) + "\n")
    (root / "VolumeTracings.csv").write_text("FileName,X1,Y1,X2,Y2,Frame\n0X1.avi,1,2,3,4,5\n")
    return root


def ferv39k(root: Path) -> Path:
    """Two scenes; clips are folders of pictures, but for one, which is a video."""
    clips = root / "2_ClipsforFaceCrop"
    for name in ("Action/Happy/0267", "Action/Fear/0001", "Daily/Sad/0042"):
        write_pictures(clips / name, film(12, 40, 40))
    write_video(clips / "Daily" / "Happy" / "0003.mp4", film(12, 40, 40), **H264)
    lists = root / "4_setups" / "All_scenes"
    lists.mkdir(parents=True)
    (lists / "train_All.csv").write_text("Action/Happy/0267 Happy\nAction/Fear/0001 Fear\n")
    (lists / "test_All.csv").write_text("Daily/Sad/0042 Sad\nDaily/Happy/0003 Happy\n")
    return root


TEMPLATES = {"Holding something": "1", "Pushing something from left to right": "0"}


def something_something_v2(root: Path, prefix: str = "", labels: str = "labels") -> Path:
    """Two training videos, one of validation, one of test, VP9 at 12 frames per second."""
    for id in ("78687", "42326", "74225", "10"):
        write_video(root / "20bn-something-something-v2" / f"{id}.webm", film(14), rate=12, **VP9)
    pushing, holding = "Pushing [something] from left to right", "Holding [something]"
    lists: dict[str, Any] = {
        "labels": TEMPLATES,
        "train": [_entry("78687", pushing), _entry("42326", holding)],
        "validation": [_entry("74225", holding)],
        "test": [{"id": "10"}],
    }
    folder = root / labels
    folder.mkdir(exist_ok=True)
    for name, content in lists.items():
        (folder / f"{prefix}{name}.json").write_text(json.dumps(content))
    (folder / f"{prefix}test-answers.csv").write_text("10;Pushing something from left to right\n")
    return root


def _entry(id: str, template: str) -> dict[str, Any]:
    label = template.replace("[something]", "a cup").lower()
    return {"id": id, "label": label, "template": template, "placeholders": ["a cup"]}


BOX = (8.0, 6.0, 40.0, 30.0)
"""Left, top, right, bottom of the actor in all UCF101-24 videos, in frames 3 to 10 (from 1)."""


def ucf101_24(root: Path, videos: bool = False) -> Path:
    """Three videos of 48×64 pixels, as folders of pictures or as XviD files, with the annotation of Python 2."""
    names = {"Basketball/v_Basketball_g08_c01": 0, "Surfing/v_Surfing_g01_c02": 19, "Surfing/v_Surfing_g09_c01": 19}
    for name in names:
        if videos:
            write_video(root / "UCF-101" / f"{name}.avi", film(20, 48, 64), rate=25, **XVID)
        else:
            write_pictures(root / "rgb-images" / name, film(20, 48, 64))
    tube = np.array([(frame, *BOX) for frame in range(3, 11)], dtype=np.float32)
    train, test = [name for name in names if "_g01_" not in name], [name for name in names if "_g01_" in name]
    content = {
        "labels": ["Basketball", "Surfing"],
        "gttubes": {name: {label: [tube]} for name, label in names.items()},
        "nframes": dict.fromkeys(names, 20),
        "train_videos": [train],
        "test_videos": [test],
        "resolution": dict.fromkeys(names, (48, 64)),
    }
    (root / "UCF101v2-GT.pkl").write_bytes(python2_pickle(content))
    return root


def olympic_sports(root: Path) -> Path:
    """Three sequences, one in the folder whose name is misspelt, one with longer time stamps."""
    write_seq(root / "bowling" / "6fHdmzXVAXo_00050_00120.seq", film(20, 48, 64))
    write_seq(root / "bowling" / "7sJkmzXVAXo_00010_00090.seq", film(20, 48, 64), trailer=16)
    write_seq(root / "diving_platfrom_10m" / "1aBcmzXVAXo_00000_00100.seq", film(20, 48, 64))
    for part, sport, names in (
        ("train", "bowling", ["6fHdmzXVAXo_00050_00120"]),
        ("test", "bowling", ["7sJkmzXVAXo_00010_00090"]),
        ("test", "diving_platform_10m", ["1aBcmzXVAXo_00000_00100"]),
    ):
        path = root / "train_test_split" / part / f"{sport}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names))
    return root


def celebv_text(root: Path) -> Path:
    """Two clips of one YouTube video, one of another, texts for the first."""
    for stem in ("88e6FikYYGc_8_0", "88e6FikYYGc_9_0", "_-Ab3FikYYG_0_1"):
        write_video(root / "videos" / "celebvtext_6" / f"{stem}.mp4", film(20), **H264)
    for kind, text in (("emotion", "She is happy.\nThen sad."), ("light_dir", "Light from the left.")):
        folder = root / "descriptions" / kind
        folder.mkdir(parents=True)
        (folder / "88e6FikYYGc_8_0.txt").write_text(text)
    return root
