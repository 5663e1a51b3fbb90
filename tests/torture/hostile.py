"""Plug-ins that misbehave: they fail alone, and the results of the others keep every bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from tests.torture.counts import Line
from tests.torture.server import Ended, call

METRICS = "toy_flip,toy_change"
LIMITS = ("--executor", "pool", "--timeout", "30", "--memory", "1.5")
"""Of worker processes."""


class Hostile:
    """Runs with a hostile plug-in among others."""

    def __init__(self, folder: Path, dataset: str = "toy_lights") -> None:
        self.dataset, self.out = dataset, folder / f"run-{dataset}"
        assert self._run(["--methods", "steady,lucky"], in_process=True).code == 0
        self.expected = self._others()

    def _run(self, arguments: Sequence[str], in_process: bool, metrics: str = METRICS) -> Ended:
        shutil.rmtree(self.out, ignore_errors=True)
        rest = ["--limit", "3", "--metrics", metrics, "--out", str(self.out)]
        dataset = [] if "--dataset" in arguments else ["--dataset", self.dataset]
        process = ["--in-process"] if in_process else LIMITS
        return call("run", *arguments, *dataset, *rest, *process, timeout=400)

    def _others(self) -> pd.DataFrame:
        """The videos and scores of the other methods."""
        records = pd.read_parquet(self.out / "records.parquet")
        kept = records[~records["method"].str.startswith("hostile")]
        return kept.set_index("id")[["status", "video_sha256", "met", "toy_FR", "change"]].astype(str).sort_index()

    def contained(
        self, name: str, arguments: Sequence[str], in_process: bool = True, metrics: str = METRICS
    ) -> tuple[str, str]:
        """What comes of a run whose other rows have to be there and the same."""
        ended = self._run(arguments, in_process, metrics)
        case = f"{name}: code {ended.code}: {ended.last[:200]}"
        if ended.crashed:
            return "traceback", case
        if ended.code not in (0, 1):
            return "others lost", case
        try:
            others = self._others()
        except Exception as error:
            return "others lost", f"{case} {error}"
        if others.equals(self.expected):
            return "contained", case
        different = pd.concat([others, self.expected]).drop_duplicates(keep=False)
        return "others changed", f"{case} {different.head(2).to_dict('records')}"

    def answered(self, name: str, arguments: Sequence[str], in_process: bool = True) -> tuple[str, str]:
        """What comes of a run whose dataset or target is hostile: one line, or results of a mended or late fault."""
        ended = self._run(arguments, in_process)
        case = f"{name}: code {ended.code}: {ended.last[:200]}"
        if ended.code in (0, 1) and not ended.crashed:
            return "contained", case
        return (
            "refused" if ended.code == 2 and ended.one_line else "traceback" if ended.crashed else "other end"
        ), case


def lines(folder: Path, every: int) -> Iterator[Line]:
    """The lines of the table, with every ``every``-th case."""
    hostile = Hostile(folder)
    yield from _methods(hostile, every)
    yield from _datasets(hostile, every)
    yield _targets(hostile, every)
    yield from _metrics(hostile, Hostile(folder, "toy_dimmer"), every)


def _methods(hostile: Hostile, every: int) -> Iterator[Line]:
    from vcfe_hostile import methods

    line = Line(
        "a method that returns, raises or changes what it must not", "its records fail; those of others keep every bit"
    )
    faults = ["supports_raises", "supports_exits", "supports_false", *methods.RETURNS, *methods.DEEDS]
    left = ("fork", "close_stdout", "close_stderr", "signal_handler", "thread_left", *methods.ENDS)
    for fault in [fault for fault in faults if fault not in left][::every]:
        line.add(*hostile.contained(fault, ["--methods", f"hostile[fault={fault}],steady,lucky"]))
    yield line
    line = Line(
        "a method that ends its process, blocks it, or leaves something behind",
        "its record fails; those of others keep every bit",
    )
    for fault in left[::-every]:
        line.add(*hostile.contained(fault, ["--methods", f"hostile[fault={fault}],steady,lucky"], in_process=False))
    yield line


def _datasets(hostile: Hostile, every: int) -> Iterator[Line]:
    from vcfe_hostile import datasets

    line = Line("a dataset with an impossible size or sample", "refused in one line")
    for fault in ["size_raise", *datasets.SIZES, *datasets.SAMPLES][::every]:
        line.add(*hostile.answered(fault, ["--methods", "steady", "--dataset", f"hostile_lights[fault={fault}]"]))
    yield line
    line = Line(
        "a dataset that ends the process, blocks it or fills it",
        "refused in one line, or the record that needed it fails",
    )
    for fault in list(datasets.APART)[::every]:
        chosen = ["--methods", "steady", "--dataset", f"hostile_lights[fault={fault}]"]
        line.add(*hostile.answered(fault, chosen, in_process=False))
    yield line


def _targets(hostile: Hostile, every: int) -> Line:
    from vcfe_hostile import targets

    line = Line("a target with impossible outputs, from the start or later", "refused in one line, or its records fail")
    for fault in list(targets.OUTPUTS)[::every]:
        for late in ("false", "true"):
            spec = f"hostile_conv[fault={fault},late={late}]"
            line.add(*hostile.answered(spec, ["--methods", "steady", "--target", spec]))
    return line


def _metrics(lights: Hostile, dimmer: Hostile, every: int) -> Iterator[Line]:
    from vcfe_hostile import ends, metrics

    apart = {*ends.ENDS, *metrics.APART, "unavailable_quit", *(f"distance_{name}" for name in ends.ENDS)}
    scores = [*metrics.SCORES, *metrics.APART, *metrics.CURVES, *metrics.UNAVAILABLE, *metrics.TARGETS, "card_none"]
    cases = [("hostile_score", fault) for fault in scores]
    cases += [("hostile_set", fault) for fault in ["network_raise", *metrics.FEATURES, *metrics.DISTANCES]]
    cases += [("hostile_pair", fault) for fault in metrics.VALUES]
    kinds = {
        "a metric that returns, raises or edits what it must not": [case for case in cases if case[1] not in apart],
        "a metric that ends the process, blocks it, fills it, or changes it": [c for c in cases if c[1] in apart],
    }
    for what, chosen in kinds.items():
        line = Line(what, "it has no value; those of others keep every bit")
        for metric, fault in chosen[::every]:
            name = f"{metric}[fault={fault}]"
            hostile = dimmer if metric == "hostile_pair" else lights
            methods, alone = ["--methods", "steady,lucky"], fault not in apart
            line.add(*hostile.contained(name, methods, in_process=alone, metrics=f"{name},{METRICS}"))
        yield line
