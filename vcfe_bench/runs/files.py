"""Writing the files of a run: complete or not at all, and one line about what went wrong."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vcfe_bench.core.errors import UsageError

AGAIN = "run the command that made the run once more, it makes this file again"


class CannotWrite(UsageError):
    """A file of a run cannot be written, for example because the disk is full."""


class DamagedFile(UsageError):
    """A file of a run is missing or is not what was written."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns errors of the file system into one line.

    Raises:
        CannotWrite: ``path`` could not be written.
    """
    try:
        yield
    except OSError as error:
        after = "; make room and run the same command again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise CannotWrite(f"cannot write to {path}: {error.strerror or error}{after}") from None


def atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a hidden file beside ``path``, then put it in its place.

    Raises:
        CannotWrite: it cannot be written; what ``path`` held before is still there.
    """
    temporary = path.with_name(f".{path.name}")
    with writing(path.parent):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def delete(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def acquire(lock: FileLock, path: Path) -> None:
    """Become the only writer of ``path``.

    Raises:
        UsageError: another process is, or the lock cannot be written.
    """
    with writing(path):
        try:
            lock.acquire()
        except Timeout:
            raise UsageError(f"{path} is in use by another process") from None
        except NotImplementedError:
            raise UsageError(
                f"the file system of {path} has no locks: choose another place, or mount it with locks (flock)"
            ) from None


@contextmanager
def held(lock: FileLock, path: Path) -> Iterator[None]:
    """``acquire`` for a block."""
    acquire(lock, path)
    try:
        yield
    finally:
        lock.release()
