"""Studies: what ``run --config`` reads, and the file that every run writes to be repeated.

A study is a YAML file such as ::

    methods: [bttf_restarts, "pgd[epsilon=0.02]"]
    datasets: [shape_moving, shape_shortcut]
    seeds: [0, 1, 2]
    limit: 64

There is one run for each combination of dataset, target, generator and seed. The ``run.json`` of a run is a study, too.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.plugins import specs
from vcfe_bench.runs.configuration import NONE, REFERENCES, Configuration
from vcfe_bench.runs.files import atomically
from vcfe_bench.runs.request import Request

FILE = "study.yaml"
"""Name of the study that repeats a run, in its directory."""


def _listed(value: object) -> object:
    """A single value as a list of one, and text as the specs that commas separate."""
    if isinstance(value, str):
        return specs.split(value)
    return [value] if value is None or isinstance(value, int | float) else value


def _plural(name: str) -> Any:
    return Field(validation_alias=AliasChoices(name, name.removesuffix("s")))


Specs = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Choices = Annotated[tuple[str | None, ...], BeforeValidator(_listed)]
Seeds = Annotated[tuple[int, ...], BeforeValidator(_listed)]


class Study(BaseModel):
    """What to run. Fields are those of ``Request``; ``datasets``, ``targets``, ``generators`` and ``seeds`` are lists.

    Attributes:
        metrics: names, specs or families of metrics; None for all that are registered.
        columns: of the summary; empty for the usual ones.
        hooks: names of hooks that follow each run.
        out: the run's directory, or the folder of the directories of several runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    methods: Annotated[Specs, _plural("methods")] = ()
    datasets: Annotated[Specs, _plural("datasets")] = ()
    targets: Annotated[Choices, _plural("targets")] = (None,)
    generators: Annotated[Choices, _plural("generators")] = (None,)
    seeds: Annotated[Seeds, _plural("seeds")] = (0,)
    split: str = "test"
    limit: int = 8
    goals: str = "one"
    preset: str | None = None
    budget: float | None = None
    metrics: Specs | None = None
    columns: Specs = ()
    hooks: Specs = ()
    out: Path | None = None

    def requests(self) -> list[Request]:
        """One request for each combination of dataset, target, generator and seed.

        Raises:
            UsageError: there is no method or no dataset.
        """
        for name in ("methods", "datasets"):
            if not getattr(self, name):
                raise UsageError(f"no {name[:-1]} is given: name one with --{name.replace('datasets', 'dataset')}")
        return list(self._combinations())

    def _combinations(self) -> Iterator[Request]:
        for dataset, target, generator, seed in itertools.product(
            self.datasets, self.targets, self.generators, self.seeds
        ):
            yield Request(
                self.methods,
                dataset,
                self.split,  # type: ignore[arg-type]  # `resolve` checks it
                self.limit,
                self.goals,
                target,
                generator,
                self.preset,
                seed,
                self.budget,
            )

    def changed(self, values: Mapping[str, object]) -> Study:
        """The study with some fields replaced.

        Raises:
            UsageError: a value is invalid.
        """
        return _validated({**self.model_dump(exclude_unset=True), **values}, "the options")


def read(path: Path) -> Study:
    """The study in a YAML file or in the ``run.json`` of a run.

    Raises:
        UsageError: it cannot be read, or a field is unknown or invalid.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a study: it has to be a list of 'name: value'")
    if "configuration" in content:
        try:
            return of_configuration(Configuration.read(content["configuration"]))
        except ValueError as error:
            raise UsageError(f"{path} is not the run.json of a run: {' '.join(str(error).split())[:200]}") from None
    return _validated(content, str(path))


def of_configuration(made: Configuration, metrics: tuple[str, ...] | None = None) -> Study:
    """The study that repeats a run: its methods with all parameters, so that no preset is needed."""
    return Study(
        methods=tuple(method for method in made.methods if method not in REFERENCES),
        datasets=(made.dataset,),
        targets=(made.target.spec,),
        generators=(made.generator.spec if made.generator else NONE,),
        seeds=(made.seed,),
        split=made.split,
        limit=made.limit,
        goals=made.goals,
        budget=made.budget,
        metrics=metrics,
    )


def write(path: Path, study: Study) -> None:
    """Write a study as YAML, without fields that have their defaults.

    Raises:
        CannotWrite: it cannot be written.
    """
    content = json.loads(study.model_dump_json(exclude_defaults=True))
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def _validated(content: Mapping[str, object], where: str) -> Study:
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{where}: unknown field '{field}'; {nearest(field, Study.model_fields)}") from None
        raise UsageError(f"{where}: {field}: {first['msg']}, not {first['input']!r}") from None
