"""The two sides of a gate: results of a run, or a committed table with the description of where it comes from.

``x.csv`` is the leaderboard of a run, ``x.json`` next to it the description: the configuration of the run and its hash,
the methods in the order of the table, the cards of the metrics with a value, and the version and revision of the code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs.configuration import Configuration, short_hash
from vcfe_bench.runs.records import ScoredCard

SCHEME = 1
"""Version of the description's format."""


@dataclass(frozen=True)
class Description:
    """Where a table comes from.

    Attributes:
        vcfe_bench: version of the package, ``revision`` that of its repository.
        configuration: of the run.
        methods: in the order of the table.
        metrics: their cards.
    """

    scheme: int
    vcfe_bench: str | None
    revision: str | None
    configuration_hash: str
    configuration: Configuration
    methods: tuple[str, ...]
    metrics: tuple[ScoredCard, ...]


_DESCRIPTION: TypeAdapter[Description] = TypeAdapter(Description)


@dataclass(frozen=True)
class Result:
    """A leaderboard and where it comes from; ``records`` are those of a run, None for a committed table."""

    frame: pd.DataFrame
    about: Description
    records: pd.DataFrame | None = None

    @property
    def metrics(self) -> Mapping[str, ScoredCard]:
        """Cards by name."""
        return {card.name: card for card in self.about.metrics}


def of_run(path: Path) -> Result:
    """The result of a finished run.

    Raises:
        UsageError: not a run, not scored, or not finished.
    """
    from vcfe_bench.results import leaderboard  # only runs need it, not committed tables
    from vcfe_bench.runs.run_directory import RECORDS, RUN, RunDirectory

    board, store = leaderboard.load(path), RunDirectory(path)
    if board.missing:
        raise UsageError(
            f"{path} is not finished, {board.missing} planned tasks have not run: run the same command again to resume"
        )
    environment = store.json(RUN)["environment"]
    about = Description(
        scheme=SCHEME,
        vcfe_bench=environment["versions"]["vcfe-bench"],
        revision=environment["revision"],
        configuration_hash=short_hash(store.configuration.write()),
        configuration=store.configuration,
        methods=tuple(board.frame["method"]),
        metrics=board.metrics,
    )
    return Result(board.frame, about, store.table(RECORDS))


def read(path: Path) -> Result:
    """A baseline: the directory of a run, or a committed table.

    Raises:
        UsageError: neither; a file is missing or cannot be read; or the description has another format.
    """
    if path.is_dir():
        return of_run(path)
    description = _description_of(path)
    for file in (path, description):
        if not file.exists():
            raise UsageError(
                f"{file} is missing: write {path} and {description.name} with "
                f"vcfe-bench check RUN --against {path} --update"
            )
    try:
        result = Result(pd.read_csv(path, engine="pyarrow"), _read(json.loads(description.read_text())))
        if tuple(result.frame["method"]) != result.about.methods:
            raise ValueError("the methods are not those of the table")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path} with {description.name} cannot be read ({where}: {first['msg']})") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path} with {description.name} cannot be read ({type(error).__name__}: {error})"
        raise UsageError(message) from None
    return result


def write(result: Result, path: Path) -> None:
    """Write a committed table with its description.

    Raises:
        UsageError: not the name of a csv file, or it cannot be written.
    """
    if path.suffix != ".csv" or path.is_dir():
        raise UsageError(f"--update writes a .csv file, not {path}")
    present = tuple(card for card in result.about.metrics if not card.unavailable)
    about = asdict(replace(result.about, metrics=present))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        result.frame.to_csv(path, index=False)
        _description_of(path).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def _read(content: Any) -> Description:
    if content["scheme"] != SCHEME:
        raise ValueError(f"scheme {content['scheme']}, expected {SCHEME}")
    return _DESCRIPTION.validate_python(content)


def _description_of(path: Path) -> Path:
    return path.with_suffix(".json")
