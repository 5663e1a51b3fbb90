"""The folder of a submission, ``leaderboards/submissions/<dataset>-<target>-<method>``.

=====================  =========================================================================================
``submission.json``    ``description.Submission``
``400-seed0.csv``      the table of the run with this budget and seed, with its ``.parquet`` and ``.json``
``comparisons.csv``    ``comparisons.table``
``curves.csv``         success against calls, and as a figure in ``curves.svg``
``tuned/``             preset files with all trials, where parameters were tuned
``strip.png``          frames of one counterfactual, where there is one
=====================  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import specs
from vcfe_bench.results.gate import files
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.submissions import comparisons, description, rules
from vcfe_bench.results.submissions.description import Submission
from vcfe_bench.runs import tuned
from vcfe_bench.runs.configuration import Configuration

COMPARISONS, CURVES, FIGURE, STRIP = "comparisons.csv", "curves.csv", "curves.svg", "strip.png"


def check(folder: Path) -> Submission:
    """The submission in a folder, if it fulfils what its files can show.

    Raises:
        UsageError: something is missing, was edited, or is not by the rules; one line with all that was found.
    """
    about = description.read(folder / description.FILE)
    results = {table: files.read(folder / f"{table}.csv") for table in about.tables}
    found = [*rules.problems(results, about.method), *_presets(folder, about, results)]
    found += [*rules.against(results, _committed(folder, results)), *_other_files(folder, about, results)]
    if found:
        raise UsageError(f"{folder}: {'; '.join(found)}")
    return about


def name(made: Configuration, method: str) -> str:
    """The name of a submission's folder."""
    return tuned.Question(made.dataset, made.target.spec, method, 0).file.removesuffix("-0.json")


def rows(result: Result, method: str) -> list[str]:
    """The specs of a method in a table."""
    return [spec for spec in result.about.methods if rules.name(spec) == method]


def preset(folder: Path, made: Configuration, spec: str, space: tuple[str, ...]) -> Path | None:
    """The preset file in a folder for a row of a run, or None."""
    method, stated = specs.parse(spec)
    fixed = specs.format(method, {key: value for key, value in stated.items() if key not in space})
    for tuned_for in dict.fromkeys((fixed, method)):
        path = folder / tuned.Question(made.dataset, made.target.spec, tuned_for, made.budget or 0.0).file
        if path.is_file():
            return path
    return None


def untuned(folder: Path, space: tuple[str, ...], result: Result, method: str) -> Iterator[str]:
    """Which rows of a method have parameters that no preset file in a folder accounts for."""
    for spec in rows(result, method):
        path = preset(folder, result.about.configuration, spec, space)
        if problem := rules.untuned(spec, space, tuned.read(path) if path else None):
            yield problem


def committed(leaderboards: Path, made: Configuration) -> list[Result]:
    """The tables of a folder ``leaderboards`` that are about the same dataset and target."""
    results = [files.read(path) for path in sorted(leaderboards.glob("*.csv")) if path.with_suffix(".json").exists()]
    worlds = [(each.about.configuration.dataset, each.about.configuration.target.spec) for each in results]
    world = (made.dataset, made.target.spec)
    return [each for each, other in zip(results, worlds, strict=True) if other == world]


def _committed(folder: Path, results: Mapping[str, Result]) -> list[Result]:
    made = next(iter(results.values())).about.configuration
    return committed(folder.resolve().parents[1], made)


def _presets(folder: Path, about: Submission, results: Mapping[str, Result]) -> Iterator[str]:
    for result in results.values():
        yield from untuned(folder / tuned.PRESET, about.search_space, result, about.method)


def _other_files(folder: Path, about: Submission, results: Mapping[str, Result]) -> Iterator[str]:
    missing = [file for file in (COMPARISONS, CURVES, FIGURE) if not (folder / file).is_file()]
    yield from (f"{file} is missing" for file in missing)
    if missing:
        return
    try:
        stated, curves = (pd.read_csv(folder / file) for file in (COMPARISONS, CURVES))
        pd.testing.assert_frame_equal(
            stated, comparisons.table(list(results.values()), about.method), check_dtype=False, rtol=1e-6
        )
        drawn = set(curves["method"].map(rules.name))
    except (ValueError, KeyError, AssertionError, UsageError):
        yield f"{COMPARISONS} is not what the tables show, or {CURVES} is not a table of curves"
        return
    if about.method not in drawn:
        yield f"{CURVES} has no row {about.method}"
