"""Counterfactuals that another program made, scored like those of any method.

The originals have to be videos of a dataset, pixel by pixel: then floors, oracles and other methods' rows are the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd
from torch import Tensor

from vcfe_bench import goals
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.method import Context, Explanation, Method, Query
from vcfe_bench.runs import plan
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.generate import keep, record_plan
from vcfe_bench.runs.journal import Original
from vcfe_bench.runs.micro_batch import Outcome, perform
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.plan import Plan
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.scoring import score as scoring
from vcfe_bench.video import lossless
from vcfe_bench.workflows.scored_run import scored_run


@dataclass(frozen=True)
class Given:
    """What is to be scored.

    Attributes:
        originals: directory of videos of the dataset's test split.
        counterfactuals: directory of their counterfactuals, under the same names (without suffix).
        goals: csv file with the columns ``name`` and ``goal``: a class, a value, or the text of a goal (``class=2``).
        dataset: spec of the dataset.
        method: the row's name.
        target: spec of the target; None for the dataset's own.
    """

    originals: Path
    counterfactuals: Path
    goals: Path
    dataset: str
    method: str
    target: str | None = None


class Files(Method):
    """Counterfactuals from files by sample id; ``name`` is the spec of the row."""

    def __init__(self, name: str, files: Mapping[str, Path]) -> None:
        super().__init__()
        self.spec, self.files = specs.format(*specs.parse(name)), files
        digest = hashlib.sha256()
        for sample, file in sorted(files.items()):
            digest.update(f"{sample}\0".encode() + file.read_bytes() + b"\0")
        self.fingerprint = digest.hexdigest()[:16]

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [Explanation(lossless.dequantise(self._read(query.sample.id))) for query in queries]

    def _read(self, sample: str) -> Tensor:
        if sample not in self.files:
            raise FileNotFoundError("no counterfactual was given")
        return lossless.read(self.files[sample])


def score(given: Given, out: Path, metrics: tuple[str, ...] | None = None, observer: Observer | None = None) -> Path:
    """Make a run of given counterfactuals, with the references beside them, score it, and return its directory.

    An original without a counterfactual becomes a failed record. What reading took is not kept as a cost.

    Raises:
        UsageError: anything the user has to change, such as names without a partner.
    """
    observer = observer or Observer()
    setup = resolve(Request(REFERENCES, given.dataset, target=given.target))
    originals, counterfactuals = _videos(given.originals), _videos(given.counterfactuals)
    wishes = _goals(given.goals, setup)
    _must_pair(given, originals, counterfactuals, wishes)
    indices = _indices(setup, originals, observer)
    samples = {name: setup.dataset.sample(setup.request.split, index).id for name, index in indices.items()}
    files = Files(given.method, {samples[name]: file for name, file in counterfactuals.items()})
    setup = dataclasses.replace(setup, methods=(files, *setup.methods))
    configuration = dataclasses.replace(setup.configuration(), goals="given", limit=len(originals))
    with scored_run(out, configuration) as store:
        _keep(setup, store, indices, wishes, observer)
        scoring.score(store, setup.dataset, metrics, observer)
    return out


def _videos(folder: Path) -> dict[str, Path]:
    """Files of a folder by name without suffix."""
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror or error}") from None
    found: dict[str, Path] = {}
    for file in files:
        if file.stem in found:
            raise UsageError(f"{folder} has two files called {file.stem}: {found[file.stem].name} and {file.name}")
        found[file.stem] = file
    if not found:
        raise UsageError(f"{folder} holds no videos")
    return found


def _goals(file: Path, setup: Setup) -> dict[str, Goal]:
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        rows = list(zip(table["name"], table["goal"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{file} is not a csv file with the columns name and goal: {error}") from None
    twice = table.loc[table["name"].duplicated(), "name"]
    if len(twice):
        raise UsageError(f"{file} has two goals for {twice.iloc[0]}")
    return {name: _goal(text.strip(), setup, file) for name, text in rows}


def _goal(text: str, setup: Setup, file: Path) -> Goal:
    """A class by its name, a value in the dataset's unit, or the canonical text of a goal."""
    values = setup.dataset.values
    if text in setup.classes:
        return ClassGoal(setup.classes.index(text))
    try:
        return ValueGoal(float(text), values.tolerance) if values and "=" not in text else goals.parse(text)
    except ValueError:
        hint = nearest(text, setup.classes) if setup.classes else "write a number"
        raise UsageError(f"'{text}' in {file} is no goal; {hint}") from None


def _must_pair(
    given: Given, originals: Mapping[str, Path], counterfactuals: Mapping[str, Path], wishes: Mapping[str, Goal]
) -> None:
    for what, names in (
        (f"no goal in {given.goals} for the originals", originals.keys() - wishes.keys()),
        (f"no original in {given.originals} for the goals of", wishes.keys() - originals.keys()),
        (f"no original in {given.originals} for the counterfactuals", counterfactuals.keys() - originals.keys()),
    ):
        if names:
            raise UsageError(f"{what} {', '.join(sorted(names))}")


def _indices(setup: Setup, originals: Mapping[str, Path], observer: Observer) -> dict[str, int]:
    """Where the originals stand in the split, by name, in the split's order."""
    names: dict[str, str] = {}
    for name, file in originals.items():
        try:
            names.setdefault(lossless.content_hash(lossless.read(file)), name)
        except OSError as error:
            raise UsageError(str(error)) from None
    if len(names) < len(originals):
        raise UsageError(f"the originals {', '.join(sorted(set(originals) - set(names.values())))} are there twice")
    found: dict[str, int] = {}
    split = setup.request.split
    for index in range(setup.dataset.size(split)):
        if len(found) == len(originals):
            break
        original = names.get(lossless.content_hash(lossless.quantise(setup.dataset.sample(split, index).video)))
        if original is not None:
            found[original] = index
            observer.scored(len(found), len(originals), "originals found in the dataset")
    strange = sorted(originals.keys() - found.keys())
    if strange:
        raise UsageError(
            f"{', '.join(strange)} are not videos of the {split} split of '{setup.dataset.spec}', pixel by pixel: "
            "give the originals as the dataset has them, without lossy compression"
        )
    return found


def _keep(
    setup: Setup, store: RunDirectory, indices: Mapping[str, int], wishes: Mapping[str, Goal], observer: Observer
) -> None:
    """Put the originals before the target, and keep all counterfactuals that the store lacks."""
    known = store.originals()
    survey = Originals(setup, known)
    chosen = [survey[index] for index in indices.values()]
    for original in chosen:
        if original.index not in known:
            store.append(original)
    planned = _plan(setup, chosen, [wishes[name] for name in indices])
    record_plan(planned, store)
    done = {id for id, record in store.records().items() if record.status != "failed"}
    batches = planned.batches(done)
    observer.planned(planned, batches, len(done))
    for batch in batches:
        observer.began(batch)
        outcomes = perform(setup, batch, lambda progress: None)
        if isinstance(batch.method, Files):
            outcomes = [_without_costs(outcome) for outcome in outcomes]
        observer.finished([keep(setup, store, outcome) for outcome in outcomes])


def _without_costs(outcome: Outcome) -> Outcome:
    record = dataclasses.replace(outcome.record, seconds=math.nan, peak_memory_mb=math.nan)
    return dataclasses.replace(outcome, record=record)


def _plan(setup: Setup, chosen: list[Original], wishes: list[Goal]) -> Plan:
    tasks = [
        task for method in setup.methods for task in plan.tasks_of(setup, method, chosen, [[goal] for goal in wishes])
    ]
    taken = {original.index for original in chosen}
    others = (index for index in range(setup.dataset.size(setup.request.split)) if index not in taken)
    return Plan(tuple(tasks), tuple(islice(others, len(chosen))), setup.methods)
