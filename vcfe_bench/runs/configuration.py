"""What determines the results of a run, and the constants that every run shares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.terms import Split

REFERENCES = ("true_edit", "reconstruction", "no_edit")
"""Methods that run alongside all others: the upper bound and the baselines that every row is compared with."""


THREADS = 1
"""Torch threads per task. The last bits of a sum depend on how many threads share it, so the number is part of every
task's identity and does not follow the machine: a task has the same result on one core and on sixty-four. Further cores
are used by running several tasks at once."""


PROTOCOL = 2
"""Version of the rules by which results become numbers: which videos count in a denominator, what a call is and what a
budget allows, which videos a split and ``--limit`` take, what the columns of metrics mean. Whoever changes one of them
raises it and says so in ``docs/upgrading.md``. Results of two versions are never shown in one table."""
OLDEST_PROTOCOL = 1
"""The protocol of results that do not name one."""


NONE = "none"
"""As the name of a generator: use none."""


@dataclass(frozen=True)
class MethodIdentity:
    """What determines the results of a method: its code, the weights it has learned, its micro-batch width."""

    source: str
    fingerprint: str
    width: int


@dataclass(frozen=True)
class NetworkIdentity:
    """A target or generator: its spec and a hash of its weights and settings."""

    spec: str
    fingerprint: str


@dataclass(frozen=True)
class Configuration:
    """Everything that determines the results of a run.

    Attributes:
        methods: by spec, in the order of the table; the reference methods are among them.
        dataset: spec of the dataset.
        limit: requested number of videos, the first of ``split`` in the order ``choice`` that ``goals`` apply to.
        classes: the target's classes; empty for a regressor.
        budget: what each method may spend on the network calls for a task, see ``plugins.calls``; None for no limit.
        choice: ``first`` for the order of the split, as in runs of earlier versions; ``stratified`` for that of
            ``video_order``.
        protocol: version of the rules that the results are made by, see ``PROTOCOL``.
    """

    methods: Mapping[str, MethodIdentity]
    dataset: str
    split: Split
    limit: int
    goals: str
    target: NetworkIdentity
    classes: tuple[str, ...]
    generator: NetworkIdentity | None
    seed: int
    threads: int
    budget: float | None = None
    choice: Literal["first", "stratified"] = "first"
    protocol: int = OLDEST_PROTOCOL

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Configuration:
        """The configuration that ``write`` wrote.

        Raises:
            ValueError: it is not one.
        """
        return _CONFIGURATION.validate_python(dict(content))

    @property
    def name(self) -> str:
        """Short name of what was requested: a hash of all but the code and the learned weights of methods."""
        return short_hash({**self.write(), "methods": list(self.methods)})

    def other_question(self, requested: Configuration) -> str | None:
        """The first difference to a ``requested`` configuration that one directory cannot hold; None if there is none.

        Other methods can be added to a directory, and more videos: rows stay comparable.
        """
        for field in fields(self):
            stored, value = getattr(self, field.name), getattr(requested, field.name)
            more = field.name == "limit" and stored < value
            if field.name == "methods" or stored == value or more:
                continue
            if isinstance(stored, NetworkIdentity) and isinstance(value, NetworkIdentity):
                if stored.spec == value.spec:
                    return f"the weights of {field.name} {stored.spec} have changed"
                stored, value = stored.spec, value.spec
            return f"{field.name} {_shown(stored)}, not {_shown(value)}"
        return None

    def write(self) -> dict[str, Any]:
        """The configuration as JSON, without a budget where there is none and without the oldest protocol."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.budget is None:
            del content["budget"]
        if self.protocol == OLDEST_PROTOCOL:
            del content["protocol"]
        return content


def one_protocol(results: Iterable[tuple[object, int]]) -> None:
    """Refuse results of different protocols: pairs of a name, such as the directory of a run, and its protocol.

    Raises:
        UsageError: there are two protocols among them.
    """
    names = {protocol: name for name, protocol in reversed(list(results))}
    if len(names) > 1:
        (old, first), *_, (new, last) = sorted(names.items())
        raise UsageError(
            f"{first} was made by protocol {old}, {last} by protocol {new}: their numbers mean different things "
            f"(docs/upgrading.md), so they do not stand in one table; run the command that made {first} again, with "
            "another --out"
        )


def _shown(value: object) -> str:
    return value.spec if isinstance(value, NetworkIdentity) else NONE if value is None else str(value)


_CONFIGURATION: TypeAdapter[Configuration] = TypeAdapter(Configuration)


def short_hash(content: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that name a configuration or a part of one, given as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
