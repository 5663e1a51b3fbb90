"""Plug-ins that misbehave: they fail alone, and the results of the others keep every bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from tests.torture.counts import Line
from tests.torture.server import Ended, call

METRICS = "toy_flip,toy_change"


class Hostile:
    """Runs with a hostile plug-in among others."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "run"
        assert self._run(["--methods", "steady,lucky"], in_process=True).code == 0
        self.expected = self._others()

    def _run(self, arguments: Sequence[str], in_process: bool, metrics: str = METRICS) -> Ended:
        shutil.rmtree(self.out, ignore_errors=True)
        rest = ["--limit", "3", "--metrics", metrics, "--out", str(self.out)]
        dataset = [] if "--dataset" in arguments else ["--dataset", "toy_lights"]
        process = ["--in-process"] if in_process else ["--timeout", "20"]
        return call("run", *arguments, *dataset, *rest, *process, timeout=200)

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
        return ("contained" if others.equals(self.expected) else "others changed"), case

    def answered(self, name: str, arguments: Sequence[str]) -> tuple[str, str]:
        """What comes of a run whose dataset or target is hostile: one line, or results of a mended or late fault."""
        ended = self._run(arguments, in_process=True)
        case = f"{name}: code {ended.code}: {ended.last[:200]}"
        if ended.code in (0, 1) and not ended.crashed:
            return "contained", case
        return (
            "refused" if ended.code == 2 and ended.one_line else "traceback" if ended.crashed else "other end"
        ), case


def lines(folder: Path, every: int) -> Iterator[Line]:
    """The lines of the table, with every ``every``-th case."""
    from vcfe_hostile import datasets, methods, metrics, targets

    hostile = Hostile(folder)
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
    line = Line("a dataset with an impossible size or sample", "refused in one line")
    for fault in ["size_raise", *datasets.SIZES, *datasets.SAMPLES][::every]:
        line.add(*hostile.answered(fault, ["--methods", "steady", "--dataset", f"hostile_lights[fault={fault}]"]))
    yield line
    line = Line("a target with impossible outputs, from the start or later", "refused in one line, or its records fail")
    for fault in list(targets.OUTPUTS)[::every]:
        for late in ("false", "true"):
            spec = f"hostile_conv[fault={fault},late={late}]"
            line.add(*hostile.answered(spec, ["--methods", "steady", "--target", spec]))
    yield line
    line = Line(
        "a metric that returns, raises or edits what it must not", "it has no value; those of others keep every bit"
    )
    names = [f"hostile_score[fault={fault}]" for fault in [*metrics.SCORES, *metrics.CURVES]]
    names += [f"hostile_set[fault={fault}]" for fault in [*metrics.FEATURES, *metrics.DISTANCES]]
    for name in names[::every]:
        line.add(*hostile.contained(name, ["--methods", "steady,lucky"], metrics=f"{name},{METRICS}"))
    yield line
