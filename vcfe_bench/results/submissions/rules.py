"""What a table must fulfil so that its rows can be compared: the parts of ``docs/how-to-compete.md`` that it shows."""

from __future__ import annotations

from collections.abc import Iterator

from vcfe_bench.plugins import specs
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.runs.configuration import REFERENCES

VIDEOS = 64
"""Fewest videos that are requested."""
ROWS = ("bttf", "random_draws", "nearest_draw")
"""Methods that stand in every table with a generator, besides the reference methods."""


def required(generator: bool) -> tuple[str, ...]:
    """Names of the methods that stand in every table."""
    return (*(ROWS if generator else ()), *REFERENCES)


def name(spec: str) -> str:
    """The name of a method, without its parameters."""
    return specs.parse(spec)[0]


def unmet(result: Result) -> Iterator[str]:
    """What a table lacks, in words that follow "it"; nothing if it keeps the protocol."""
    made, frame = result.about.configuration, result.frame
    present = {name(method) for method in result.about.methods}
    missing = [method for method in required(made.generator is not None) if method not in present]
    if made.split != "test":
        yield f"is about the {made.split} split, not the test split"
    if made.budget is None:
        yield "has no budget that all methods share"
    if "calls" not in frame or frame["calls"].isna().all():
        yield "does not count network calls"
    if missing:
        yield f"has no row {', '.join(missing)}"
    if made.limit < VIDEOS:
        yield f"is about {made.limit} videos, not {VIDEOS}"
