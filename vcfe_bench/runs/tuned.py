"""Preset files: the settings that ``vcfe-bench tune`` has found, and how; ``run --preset tuned`` reads them.

A file is about one dataset, target, method and budget, which its name states. ``run`` takes it from the folder
``leaderboards/tuned`` of the working directory or, if it is not there, from those that come with the package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import specs
from vcfe_bench.runs.configuration import NetworkIdentity
from vcfe_bench.runs.files import atomically

PRESET = "tuned"
FOLDER = Path("leaderboards", PRESET)
TRIALS = 24
"""Number of settings that are tried for every method."""


@dataclass(frozen=True)
class Question:
    """What settings are tuned for. ``method`` is a spec with the parameters that are not tuned."""

    dataset: str
    target: str
    method: str
    budget: float

    @property
    def file(self) -> str:
        """Name of the preset file."""
        parts = (self.dataset, self.target, self.method, f"{self.budget:g}")
        return "-".join(re.sub(r"[^\w.]+", "_", part).strip("_") for part in parts) + ".json"


@dataclass(frozen=True)
class Trial:
    """One setting that was tried: means over the requested videos, as in the tables.

    Attributes:
        parameters: values by name.
        FR: flip rate.
        transfer_FR: share of the flips that the witness predicts, too.
        LPIPS: perceptual distance.
        objective: FR · transfer_FR · (1 - LPIPS); 0 if the setting was refused.
        calls: mean cost of a video.
        refused: why the setting was not scored, for example that it exceeds the budget; empty if it was.
    """

    parameters: dict[str, Any]
    objective: float
    FR: float | None = None
    transfer_FR: float | None = None
    LPIPS: float | None = None
    calls: float | None = None
    refused: str = ""


@dataclass(frozen=True)
class Conditions:
    """What the trials of a search share.

    Attributes:
        target: the target under test, ``generator`` the generator, or None.
        code: identity of the method's code.
        witnesses: the targets by which ``transfer_FR`` was measured.
        videos: ids of the validation videos.
        metrics: version of each metric by name.
        objective: what was maximised.
    """

    target: NetworkIdentity
    generator: NetworkIdentity | None
    code: str
    witnesses: tuple[NetworkIdentity, ...]
    videos: tuple[str, ...]
    metrics: dict[str, int]
    objective: str


@dataclass(frozen=True)
class Tuned:
    """A preset file: a search, finished or not, with all its trials.

    ``parameters`` are those of the best trial; None while trials are missing, or if every trial was refused.
    """

    question: Question
    conditions: Conditions
    parameters: dict[str, Any] | None
    trials: tuple[Trial, ...]

    @property
    def finished(self) -> bool:
        return len(self.trials) >= TRIALS

    def write(self, folder: Path) -> Path:
        """Write the preset file into a folder; its path.

        Raises:
            CannotWrite: it cannot be written.
        """
        path = folder / self.question.file
        atomically(path, lambda file: file.write_bytes(_TUNED.dump_json(self, indent=2) + b"\n"))
        return path


_TUNED: TypeAdapter[Tuned] = TypeAdapter(Tuned)


def read(path: Path) -> Tuned:
    """The content of a preset file.

    Raises:
        UsageError: it cannot be read or is not a preset file.
    """
    try:
        return _TUNED.validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not a file that vcfe-bench tune has written: {error}") from None


def parameters(dataset: str, target: str, spec: str, budget: float) -> Mapping[str, Any]:
    """The tuned parameters of a method; ``spec`` names those that are not tuned.

    They are those tuned for this spec or, if there are none, for the method with its defaults. If no setting was within
    the budget, there are none.

    Raises:
        UsageError: there is no finished search for this question.
    """
    name, _ = specs.parse(spec)
    questions = [Question(dataset, target, method, budget) for method in dict.fromkeys((spec, name))]
    for question in questions:
        path = _path(question)
        if path is not None:
            found = read(path)
            if found.question != question:
                raise UsageError(f"{path} is about {asdict(found.question)}, which its name does not say")
            if not found.finished:
                done = f"{len(found.trials)} of {TRIALS} trials"
                raise UsageError(f"the search in {path} has {done}; run vcfe-bench tune again to finish it")
            return found.parameters or {}
    raise UsageError(
        f"no settings of {spec} are tuned for {target} on {dataset} with {budget:g} calls: neither {FOLDER} nor the "
        f"package has {questions[0].file}; run vcfe-bench tune, or choose another --preset"
    )


def _path(question: Question) -> Path | None:
    """The preset file of a question, or None."""
    packaged = files("vcfe_bench").joinpath(PRESET, question.file)
    places = (FOLDER / question.file, Path(str(packaged)))
    return next((path for path in places if path.is_file()), None)
