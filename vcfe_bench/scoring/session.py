"""Scores the stored counterfactuals of a run and enters the scores into its journal.

What is stored already in the current version of a metric is not computed again. A counterfactual is read once for all
sample metrics, and goes once through each feature network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from vcfe_bench import goals
from vcfe_bench.core import process_state
from vcfe_bench.core.errors import describe
from vcfe_bench.executors import parallel
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Case, Footage, PairMetric, SampleMetric, SetMetric
from vcfe_bench.plugins.read_only import read_only
from vcfe_bench.runs import damage, tables
from vcfe_bench.runs.files import CannotWrite, DamagedFile
from vcfe_bench.runs.journal import NAMES, RealVideos, Scored, Scores, SetRow
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import CURVES, RunDirectory
from vcfe_bench.scoring import cards
from vcfe_bench.scoring.features import FeatureStore, extract_features
from vcfe_bench.scoring.networks import Networks, load_networks
from vcfe_bench.scoring.pairs import score_pairs
from vcfe_bench.scoring.reader import Reader
from vcfe_bench.scoring.samples import CaseScores, score_case
from vcfe_bench.scoring.sets import Floor, SetFeatures, score_floor, score_set, set_row


def score_run(
    store: RunDirectory, dataset: Dataset, specs: Sequence[str] | None, observer: Observer, fresh: bool = False
) -> None:
    """Compute the metrics of ``specs`` (default: all that are registered) for a run that is open for writing.

    With ``fresh``, values that are stored already are computed again; features of videos never are.

    Raises:
        UsageError: a metric of ``specs`` is unknown or needs a network that is not available or has changed, or the
            videos of the dataset or the stored counterfactuals are no longer those of the run.
    """
    names = list(specs or registry.METRICS.names())
    damaged = damage.find(store, scores_only=True)
    if not fresh and not damaged.of_scores and _up_to_date(store, names):
        return
    must_work = specs is not None
    requested = cards.build(names, dataset, must_work)
    metrics = [entry.metric for entry in requested if entry.metric is not None]
    networks, unavailable = load_networks(
        store.configuration, dataset, [metric for metric in metrics if isinstance(metric, SampleMetric)], must_work
    )
    session = _Session(store, Reader(store, dataset), observer, networks, frozenset(damaged.curves))
    session.score_samples([m for m in metrics if isinstance(m, SampleMetric) and m.card.name not in unavailable], fresh)
    unavailable |= session.score_sets([m for m in metrics if isinstance(m, SetMetric)])
    session.score_pairs([m for m in metrics if isinstance(m, PairMetric)])
    problems = cards.problems(tables.errors(store))
    computed = [
        replace(
            entry.card,
            unavailable=unavailable.get(entry.card.name, entry.card.unavailable),
            problems=problems.get(entry.card.name),
        )
        for entry in requested
    ]
    specs_computed = {card.spec for card in computed}
    others = [card for card in store.cards() if card.spec not in specs_computed]
    store.append(Scored((*others, *computed), tuple(card.spec for card in computed)))


def _up_to_date(store: RunDirectory, names: Sequence[str]) -> bool:
    """Whether these metrics were scored, in the versions installed, after the last change of results."""
    state = store.journal.state
    if state.last_kind != NAMES[Scored] or not all(
        name in state.scored and state.scored[name] == cards.installed_version(name) for name in names
    ):
        return False
    known = [card for card in store.cards() if card.spec in names]
    sets = {card.name for card in known if card.level in ("set", "pair")}
    failed = {name for _, task in state.of_plan() for name in task.failed}
    return (
        failed.isdisjoint(card.name for card in known)
        and not any(row.reason for row in store.set_rows().values() if row.metric in sets)
        and not any(card.unavailable for card in known if card.level == "set")
    )


class _Session:
    """One scoring of a run: appends results to its journal and reports progress to the observer."""

    def __init__(
        self, store: RunDirectory, reader: Reader, observer: Observer, networks: Networks, lost_curves: frozenset[str]
    ) -> None:
        self.store, self.reader, self.observer, self.networks = store, reader, observer, networks
        self.settings = process_state.settings()
        del self.settings["number of threads"]  # of this thread; metrics run in others
        self.lost_curves = lost_curves
        done = [record for record in store.records().values() if record.status == "ok"]
        plan = store.planned()
        places = {id: place for place, id in enumerate(plan.tasks)} if plan else {}
        self.records = sorted(done, key=lambda record: (record.index, places.get(record.id, 0)))
        by_method: dict[str, list[Record]] = {method: [] for method in store.configuration.methods}
        for record in self.records:
            by_method.setdefault(record.method, []).append(record)
        self.by_method = {method: records for method, records in by_method.items() if records}

    def score_samples(self, metrics: Sequence[SampleMetric], fresh: bool) -> None:
        """Score each counterfactual with the metrics that it has no value of in their current version."""
        tasks, lost = self.store.journal.state.tasks, self.lost_curves
        work = []
        for record in self.records:
            known = {} if fresh or record.id in lost else tasks[record.id].versions
            due = [metric for metric in metrics if known.get(metric.card.name) != metric.card.version]
            if due:
                work.append((record, due))
        for count, (record, scores) in enumerate(parallel.execute(self._score_case, work), 1):
            if scores.curves:
                stored = {} if record.id in lost else self.store.arrays(CURVES, record.id) or {}
                self.store.put_arrays(CURVES, record.id, {**stored, **scores.curves})
            self.store.append(
                Scores(record.id, scores.values, scores.versions, scores.errors, curves=bool(scores.curves))
            )
            self.observer.scored(count, len(work), "videos scored")

    def _score_case(self, work: tuple[Record, list[SampleMetric]]) -> tuple[Record, CaseScores]:
        record, metrics = work
        artefacts = self.reader.artefacts(record)
        case = Case(
            dataset=self.reader.dataset,
            sample=self.reader.sample(record.index),
            goal=goals.parse(record.goal),
            counterfactual=self.reader.counterfactual(record),
            before=read_only(torch.tensor(record.before)),
            after=read_only(torch.tensor(record.after)),
            artefacts={name: _locked(array) for name, array in artefacts.items()},
            target=self.networks.target,
            generator=self.networks.generator,
            others=self.networks.others,
        )
        return record, score_case(case, metrics, self.settings)

    def score_sets(self, metrics: Sequence[SetMetric]) -> dict[str, str]:
        """Score each method with each metric; why some could not be computed, by metric name."""
        if not metrics:
            return {}
        plan = self.store.planned()
        reference = plan.others if plan else ()
        hashes = tuple(map(self.reader.hash, reference))
        if hashes and hashes != self.store.real_videos():
            self.store.append(RealVideos(hashes))
        videos = self._videos(reference)
        unavailable = {}
        for metric in metrics:
            kept = FeatureStore(self.store, metric.network, metric.card.version)
            try:
                features = extract_features(metric, videos, kept, partial(self._report_features, metric.network))
            except (CannotWrite, DamagedFile):
                raise
            except (Exception, SystemExit) as error:
                unavailable[metric.card.name] = describe(error)
                continue
            for row in self._set_rows(metric, features, hashes):
                self.store.append(row)
        return unavailable

    def _videos(self, reference: Sequence[int]) -> dict[str, Callable[[], Footage]]:
        """All videos that feature networks run on, by content hash: counterfactuals, originals, reference videos."""
        videos: dict[str, Callable[[], Footage]] = {}
        for record in self.records:
            assert record.video_sha256 is not None
            videos[record.video_sha256] = partial(self.reader.edited, record)
            videos[self.reader.hash(record.index)] = partial(self.reader.original, record.index)
        for index in reference:
            videos[self.reader.hash(index)] = partial(self.reader.original, index)
        return videos

    def _report_features(self, network: str, count: int, total: int) -> None:
        self.observer.scored(count, total, f"videos through {network}")

    def _set_rows(
        self, metric: SetMetric, features: Mapping[str, np.ndarray], reference: Sequence[str]
    ) -> Iterator[SetRow]:
        """The metric's value for each method; methods with the same originals share a floor."""
        floors: dict[tuple[str, ...], Floor] = {}
        for method, records in self.by_method.items():
            originals = [self.reader.hash(record.index) for record in records]
            distinct = tuple(dict.fromkeys(originals))
            if distinct not in floors:
                real, others = ({sha256: features[sha256] for sha256 in part} for part in (distinct, reference))
                floors[distinct] = score_floor(real, others, metric)
            sets = SetFeatures(
                [features[sha256] for sha256 in originals],
                [features[record.video_sha256 or ""] for record in records],
                [record.sample for record in records],
            )
            score = score_set(sets, metric)
            yield set_row(method, metric.card.name, metric.card.version, score, floors[distinct])

    def score_pairs(self, metrics: Sequence[PairMetric]) -> None:
        """Score each method with each metric."""
        for metric in metrics:
            for method, records in self.by_method.items():
                score = score_pairs(records, metric)
                self.store.append(set_row(method, metric.card.name, metric.card.version, score, Floor()))


def _locked(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
