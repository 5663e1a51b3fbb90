"""``submission.json``: what a submission says besides its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from vcfe_bench.core.errors import UsageError

FILE = "submission.json"
FOLDER = "submissions"
"""Of ``leaderboards``: one folder for each submission."""
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Link = Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"']+$", max_length=500)]
Stem = Annotated[str, StringConstraints(pattern=r"^[\w.-]+$", max_length=100)]


@dataclass(frozen=True)
class Command:
    """A command that made a run, and the seconds that its tasks took, added up."""

    command: Text
    seconds: float


@dataclass(frozen=True)
class Submission:
    """A submitted row.

    Attributes:
        method: its name; its rows may have other parameters in each table. ``parameters`` are the defaults, as text,
            and ``search_space`` the names of those that ``vcfe-bench tune`` may set.
        package: the distribution that has the method, and its ``version``.
        by: who ran it.
        paper: link to the paper, ``code`` to the code; ``report`` to the pages of ``vcfe-bench report``, or empty.
        own_networks: networks that the method brings along, and what they cost, which the harness cannot count.
        machine: of the runs, as in ``run.json``.
        commands: that made the runs, in order.
        tables: names of the tables without their suffix, one for each run.
    """

    method: Text
    parameters: Mapping[str, str]
    search_space: tuple[str, ...]
    package: Text
    version: Text
    by: Text
    paper: Link
    code: Link
    own_networks: Text
    machine: Mapping[str, Any]
    commands: tuple[Command, ...]
    tables: Annotated[tuple[Stem, ...], Field(min_length=1)]
    report: Link | None = field(default=None)


_SUBMISSION: TypeAdapter[Submission] = TypeAdapter(Submission)


def read(path: Path) -> Submission:
    """The content of a file.

    Raises:
        UsageError: it cannot be read, or something is missing in it or wrong.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    return validated(content, str(path))


def validated(content: Any, where: str) -> Submission:
    """The submission with these fields.

    Raises:
        UsageError: one is missing or wrong; ``where`` begins the message.
    """
    try:
        return _SUBMISSION.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}: {f'{field}: ' if field else ''}{first['msg']}, not {first['input']!r}") from None


def write(submission: Submission, path: Path) -> None:
    """Write the file."""
    path.write_bytes(_SUBMISSION.dump_json(submission, indent=2) + b"\n")
