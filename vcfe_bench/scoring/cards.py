"""The metrics that were requested, and a card for each of them, whether it can be computed or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.core.text import printable
from vcfe_bench.plugins import apart, registry
from vcfe_bench.plugins.contract.errors import ContractError, type_name
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Metric, PairMetric, SampleMetric, SetMetric
from vcfe_bench.runs.records import Level, ScoredCard

LEVELS: tuple[tuple[type, Level], ...] = ((SampleMetric, "sample"), (SetMetric, "set"), (PairMetric, "pair"))
_SHARED = {field.name for field in fields(Card)} & {field.name for field in fields(ScoredCard)}


@dataclass(frozen=True)
class Requested:
    """A metric that was requested; ``metric`` is None where it cannot be computed, and ``card`` says why."""

    card: ScoredCard
    metric: Metric | None


def build(specs: Sequence[str], dataset: Dataset, must_work: bool) -> list[Requested]:
    """The metrics of ``specs`` for a dataset.

    Raises:
        UsageError: two metrics have the same name, or, with ``must_work``, one cannot be built.
    """
    requested: list[Requested] = []
    for spec in specs:
        try:
            metric = registry.METRICS.build(spec)
            card = _card(metric, unavailable(metric, dataset))
        except UsageError as error:
            if must_work:
                raise
            requested.append(Requested(ScoredCard(spec, spec, unavailable=str(error)), None))
            continue
        except (Exception, SystemExit) as error:  # of a metric without a card, for instance
            requested.append(Requested(ScoredCard(spec, spec, unavailable=describe(error)), None))
            continue
        if any(other.card.name == card.name for other in requested):
            raise UsageError(f"two metrics are called '{card.name}'")
        requested.append(Requested(card, metric if card.unavailable is None else None))
    return requested


def installed_version(spec: str) -> int | None:
    """The version of a metric as it is installed; None if it cannot be built, as on its card."""
    try:
        return registry.METRICS.build(spec).card.version
    except (Exception, SystemExit):
        return None


def problems(errors: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """For each metric that failed on records, by name: on how many, and the first of the ``errors``.

    These are by record id and metric name.
    """
    by_metric: dict[str, list[str]] = {}
    for (_, name), error in errors.items():
        by_metric.setdefault(name, []).append(error)
    return {name: f"failed on {len(texts)} videos: {texts[0]}" for name, texts in by_metric.items()}


def unavailable(metric: Metric, dataset: Dataset) -> str | None:
    """Why a metric cannot be computed for a dataset; also if it fails to say so."""
    try:
        reason: object = apart.call(metric, metric.unavailable, dataset)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        return describe(error)
    return None if reason is None else printable(str(reason))


def _card(metric: Metric, unavailable: str | None) -> ScoredCard:
    if not isinstance(metric.card, Card):
        raise ContractError(f"its card is {type_name(metric.card)}, not a Card")
    return ScoredCard(
        spec=metric.spec,
        level=next(level for kind, level in LEVELS if isinstance(metric, kind)),
        network=metric.network if isinstance(metric, SetMetric) else None,
        unavailable=unavailable,
        **{name: getattr(metric.card, name) for name in _SHARED},
    )
