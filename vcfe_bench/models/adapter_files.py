"""The file of an adapter: a path, a folder that has one, or a repository of the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.text import some

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
CONFIG = "adapter_config.json"
"""File of PEFT that states the scale of an adapter."""
HUB_ID = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(/(?P<file>.+))?")


def find(path: str) -> Path:
    """The adapter file at ``path``, or the only one in a folder or in a repository of the hub.

    ``path`` is a local path or, where there is none, ``OWNER/NAME`` or ``OWNER/NAME/FILE`` on the hub. Without a
    connection, files that were downloaded before are used.

    Raises:
        UsageError: there is none, or there are several.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return place
    if place.is_dir():
        return place / _only([file.name for file in place.iterdir() if file.is_file()], path, os.sep)
    match = HUB_ID.fullmatch(path)
    if match is None:
        raise UsageError(f"there is no adapter at {path}: lora= takes a file, a folder or a hub id")
    try:
        names, fetch = _contents(match["repository"])
        file = match["file"] or _only([name for name in names if "/" not in name], path, "/")
        if file not in names:
            raise UsageError(f"{match['repository']} has no file {file}: it has {some(sorted(names)) or 'none'}")
        config = (Path(file).parent / CONFIG).as_posix()
        if config in names:
            fetch(config)
        return Path(fetch(file))
    except (OSError, HFValidationError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"there is no file or folder {path}, and as a hub id it cannot be downloaded ({type(error).__name__}: "
            f"{reason[:160]}): give a local path, or run 'hf download {match['repository']}' with a connection"
        ) from None


def _contents(repository: str) -> tuple[list[str], Callable[[str], str]]:
    """Names of the files of a repository, and how to get one; without a connection, those downloaded before."""
    try:
        listed = HfApi().model_info(repository, timeout=10).siblings or []
    except (RepositoryNotFoundError, HFValidationError):
        raise
    except Exception:  # whatever the HTTP library of this version raises without a connection
        cached = Path(snapshot_download(repository, local_files_only=True))
        names = [file.relative_to(cached).as_posix() for file in cached.rglob("*") if file.is_file()]
        return names, lambda name: str(cached / name)
    return [file.rfilename for file in listed], lambda name: hf_hub_download(repository, name)


def _only(names: Sequence[str], path: str, separator: str) -> str:
    """The only name of an adapter file.

    Raises:
        UsageError: there is none, or there are several.
    """
    files = sorted(name for name in names if name.endswith(SUFFIXES))
    if not files:
        raise UsageError(f"{path} has no adapter in it: lora= takes a file, a folder or a hub id")
    if len(files) > 1:
        example = f"{path.rstrip('/')}{separator}{files[0]}"
        raise UsageError(f"{path} has several adapters ({some(files)}): name one, such as lora={example}")
    return files[0]
