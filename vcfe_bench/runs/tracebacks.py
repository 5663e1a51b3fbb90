"""Tracebacks of plug-ins: the frames of their author on the screen, all of it in a file."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

from vcfe_bench.runs.records import Record

FOLDER = "tracebacks"
_FRAME = re.compile(r'  File "(?P<file>[^"]+)", line \d+, in .*\n(?:    .*\n)*')
_HARNESS = str(Path(__file__).parents[1])
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def author_frames(traceback: str) -> str:
    """The traceback without frames of the harness, and without those of libraries below the author's own.

    Frames of the harness and of installed libraries are left out. If nothing is left, as for a plug-in that is
    installed, the frames below the last one of the harness are kept.
    """
    frames = [(match["file"], match[0]) for match in _FRAME.finditer(traceback)]
    own = [text for file, text in frames if not _is_harness(file) and not file.startswith(_INSTALLED)]
    if not own:
        last = max((place for place, (file, _) in enumerate(frames) if _is_harness(file)), default=-1)
        own = [text for _, text in frames[last + 1 :]]
    end = _FRAME.split(traceback)[-1].strip("\n") if frames else traceback.strip("\n")
    return "".join(own) + end


def _is_harness(file: str) -> bool:
    return Path(file).is_relative_to(_HARNESS)


def write(directory: Path, record: Record) -> Path:
    """Write the whole traceback of a record into the run directory; the file."""
    file = directory / FOLDER / f"{record.id}.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{record.method}, video {record.sample}, goal {record.goal}\n\n{record.traceback}", "utf-8")
    return file
