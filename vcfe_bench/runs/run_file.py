"""``run.json``: the configuration of a run and the environment of its first session, with a checksum."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.files import atomically
from vcfe_bench.runs.journal import Configured, Session
from vcfe_bench.runs.journal_file import JournalFile


def write(path: Path, configuration: Configuration, environment: Mapping[str, Any]) -> None:
    """Write the file.

    Raises:
        CannotWrite: it cannot be written.
    """
    content = {"configuration": configuration.write(), "environment": environment}
    text = json.dumps({**content, "crc": _checksum(content)}, indent=2)
    atomically(path, lambda file: file.write_text(text))


def read(path: Path, journal: JournalFile) -> tuple[dict[str, Any], bool]:
    """The content of the file, and whether it is missing or damaged and the content is that of the journal.

    Raises:
        OSError, ValueError, KeyError: it is missing or damaged, and the journal does not have the configuration.
    """
    configured = journal.state.last(Configured)
    try:
        run: dict[str, Any] = json.loads(path.read_text())
        content = {name: run[name] for name in ("configuration", "environment")}
        unsigned = configured is None or journal.state.old
        if run.get("crc", None if unsigned else "missing") in (None, _checksum(content)):
            return content, False
    except (OSError, ValueError, KeyError, TypeError):
        if configured is None:
            raise
    if configured is None:
        raise ValueError(f"{path.name} is damaged")
    session = next(iter(journal.entries(Session)), Session())
    environment = {"versions": session.versions, "machine": session.machine, "revision": session.revision}
    return {"configuration": configured.configuration.write(), "environment": environment}, True


def _checksum(content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"
