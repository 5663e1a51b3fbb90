"""Checkpoints of a training: synced and verified before they take the place of the one before, which is kept.

``torch.save`` writes a ZIP archive with a checksum (CRC-32) of every member, which is verified here after writing and
before reading.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vcfe_bench.core.errors import UsageError, describe

DAMAGED = (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError)
"""What reading a damaged checkpoint raises."""


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; the one that was there is kept as ``before`` of it.

    Raises:
        UsageError: it cannot be written, or is not read back as it was written. What was there is still there.
    """
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        _verify(partial)
        if path.exists():
            os.replace(path, before(path))
        os.replace(partial, path)
    except DAMAGED as error:
        partial.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else describe(error)
        raise UsageError(f"cannot write the checkpoint {path}: {reason}; run the same command again to go on") from None


def read(path: Path, log: Callable[[str], None]) -> dict[str, Any] | None:
    """The checkpoint; the one before where it is damaged or missing; None if there is neither.

    Raises:
        UsageError: all that there are are damaged.
    """
    there = [file for file in (path, before(path)) if file.exists()]
    for file in there:
        try:
            _verify(file)
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except DAMAGED as error:
            log(f"{file} is damaged ({describe(error)})")
            continue
        if file != path:
            log(f"going on from the checkpoint before, {file}")
        return state
    if there:
        raise UsageError(f"the checkpoints in {path.parent} are damaged: choose another --checkpoints folder")
    return None


def before(path: Path) -> Path:
    """Where the checkpoint before the one at ``path`` is kept."""
    return path.with_suffix(".before")


def _verify(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise ValueError(f"{name} does not have its checksum")
