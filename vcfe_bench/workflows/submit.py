"""From finished runs to the folder of a submission."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vcfe_bench.core.errors import UsageError
from vcfe_bench.figures import strips
from vcfe_bench.plugins.registry import METHODS
from vcfe_bench.results import curves
from vcfe_bench.results.gate import baseline, files
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.submissions import comparisons, description, folder, rules
from vcfe_bench.results.submissions.description import Command, Submission
from vcfe_bench.results.writers.curve_figure import figure
from vcfe_bench.runs import tables, tuned, verification
from vcfe_bench.runs.command import command
from vcfe_bench.runs.configuration import Configuration
from vcfe_bench.runs.files import writing
from vcfe_bench.runs.run_directory import RunDirectory


@dataclass(frozen=True)
class Author:
    """What a run does not know about a submission; see ``description.Submission``."""

    by: str
    paper: str
    code: str
    own_networks: str
    report: str | None = None


def submit(runs: Sequence[Path], leaderboards: Path, author: Author, method: str | None = None) -> Path:
    """Check runs and write the folder of a submission, below ``leaderboards/submissions``; its path.

    Args:
        runs: directories, one for each budget and seed.
        leaderboards: the folder with the committed tables and, in ``tuned``, preset files.
        author: what the runs do not know.
        method: name of the submitted method; by default the only one that is not required.

    Raises:
        UsageError: a run is damaged, unfinished, or not by the rules; the folder has other contents; it cannot be
            written.
    """
    runs = list(dict.fromkeys(runs))
    for run in runs:
        if damaged := verification.verify(run):
            more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
            raise UsageError(f"{run}: {damaged[0]}{more}: run the command that made it again")
    by_path = {run: baseline.of_run(run) for run in runs}
    results = {_table(result.about.configuration): result for result in by_path.values()}
    if len(results) < len(runs):
        raise UsageError("two runs have the same budget and seed: name one run for each")
    chosen = _chosen(method, list(results.values()))
    space = tuple(METHODS.load(chosen).search_space)
    made = next(iter(results.values())).about.configuration
    found = [*rules.problems(results, chosen), *rules.against(results, folder.committed(leaderboards, made))]
    for result in results.values():
        found += folder.untuned(leaderboards / tuned.PRESET, space, result, chosen)
    if found:
        raise UsageError(f"{chosen} cannot be submitted: {'; '.join(found)}")
    about = _about(chosen, author, by_path)
    out = leaderboards / description.FOLDER / folder.name(made, chosen)
    with writing(out):
        _write(out, about, by_path, leaderboards / tuned.PRESET)
    folder.check(out)
    return out


def _table(made: Configuration) -> str:
    return f"{made.budget or 0:g}-seed{made.seed}"


def _chosen(method: str | None, results: Sequence[Result]) -> str:
    """The name of the submitted method."""
    present = dict.fromkeys(rules.name(spec) for result in results for spec in result.about.methods)
    others = [name for name in present if name not in rules.required(generator=True)]
    if method is not None and rules.name(method) in present:
        return rules.name(method)
    if method is None and len(others) == 1:
        return others[0]
    if method is None and others:
        raise UsageError(f"the runs have the methods {', '.join(others)}: name one with --method")
    raise UsageError(f"the runs have no row {method}" if method else "the runs have the required rows only")


def _about(method: str, author: Author, runs: Mapping[Path, Result]) -> Submission:
    listing = next(listing for listing in METHODS.listings() if listing.name == method)
    store = RunDirectory(next(iter(runs)))
    content = {
        "method": method,
        "parameters": dict(listing.parameters),
        "search_space": tuple(METHODS.load(method).search_space),
        "package": listing.distribution,
        "version": listing.version,
        "by": author.by,
        "paper": author.paper,
        "code": author.code,
        "report": author.report,
        "own_networks": author.own_networks,
        "machine": store.run["environment"].get("machine", {}),
        "commands": tuple(_command(result) for result in runs.values()),
        "tables": tuple(_table(result.about.configuration) for result in runs.values()),
    }
    return description.validated(content, "the submission")


def _command(result: Result) -> Command:
    assert result.records is not None
    return Command(command(result.about.configuration), round(float(result.records["seconds"].sum()), 1))


def _write(out: Path, about: Submission, runs: Mapping[Path, Result], presets: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / description.FILE).exists():
        raise UsageError(f"{out} is not empty and not a submission: choose another --leaderboards")
    description.write(about, out / description.FILE)
    for result in runs.values():
        made = result.about.configuration
        files.write(result, out / f"{_table(made)}.csv")
        for spec in folder.rows(result, about.method):
            if path := folder.preset(presets, made, spec, about.search_space):
                (out / tuned.PRESET).mkdir(exist_ok=True)
                shutil.copyfile(path, out / tuned.PRESET / path.name)
    written = [files.read(out / f"{table}.csv") for table in about.tables]
    comparisons.table(written, about.method).to_csv(out / folder.COMPARISONS, index=False)
    records = curves.records_of([RunDirectory(run) for run in runs])
    curves.table(records).to_csv(out / folder.CURVES, index=False)
    drawn = {measure: found for measure in curves.MEASURES if (found := curves.curves(records, measure))}
    figure(drawn).savefig(out / folder.FIGURE)
    _strip(RunDirectory(next(iter(runs))), about.method, out / folder.STRIP)


def _strip(store: RunDirectory, method: str, path: Path) -> None:
    """A picture of the first counterfactual that meets its goal, or of the first one; none if there is none."""
    records = tables.read_records(store)
    own = records[(records["method"].map(rules.name) == method) & (records["status"] == "ok")]
    first = own.sort_values("met", ascending=False, kind="stable").head(1)
    if len(first):
        strips.figure(store, first["id"].tolist()).savefig(path, dpi=100)
