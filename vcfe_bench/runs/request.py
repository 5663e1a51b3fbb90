"""What the user asks a run to do."""

from __future__ import annotations

from dataclasses import dataclass

from vcfe_bench.plugins.terms import Split


@dataclass(frozen=True)
class Request:
    """What to run, as the user specifies it.

    Attributes:
        methods: specs of the methods, without the reference methods.
        limit: number of videos, taken in the order of ``video_order``.
        goals: ``one``, ``all``, a group of the dataset, ``SRC:DST`` (class names) or a value to reach.
        target: spec of the target; None for the dataset's own, as with ``generator``.
        preset: name of a set of parameters, for all methods that define it; ``tuned`` for those in preset files.
        seed: base seed of all randomness.
        budget: what each method may spend on the network calls for a task, see ``plugins.calls``; None for no limit.
    """

    methods: tuple[str, ...]
    dataset: str
    split: Split = "test"
    limit: int = 8
    goals: str = "one"
    target: str | None = None
    generator: str | None = None
    preset: str | None = None
    seed: int = 0
    budget: float | None = None
