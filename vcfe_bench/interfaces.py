"""The five things a plug-in may be, and the data that passes between them.

Videos are float32 tensors ``[T, 3, H, W]`` (or ``[B, T, 3, H, W]``) with values in [0, 1]; what a
dataset yields and what a store returns lies on the 8-bit grid ``k / 255``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from vcfe_bench.goals import Goal

Split = Literal["train", "test"]
T = TypeVar("T")


@validated(frozen=True, config={"extra": "forbid"})
class NoParams:
    """For a plug-in without parameters."""


class Plugin:
    """Anything the registry builds from a spec such as ``bttf[style=false]``.

    ``Params`` is a frozen pydantic dataclass with a default for every field; the registry fills it from
    the spec, passes it to the constructor and sets ``spec`` to the canonical spelling (parameters that
    differ from the defaults, sorted by name), which is the instance's name in every table.
    """

    Params: ClassVar[type] = NoParams
    spec: str = ""

    def __init__(self, params: Any = None) -> None:
        self.params = self.Params() if params is None else params


class Remembers:
    """Keeps what was found out about it as long as it lives, so that nothing is computed twice."""

    @cached_property
    def _found(self) -> dict[Hashable, Any]:
        return {}

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """What ``find`` returned when it was first asked for under ``key``."""
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]

    def shared(self, part: Callable[[Self], T]) -> T:
        """``part`` of this, computed once for all who ask for it."""
        return self.once(part, lambda: part(self))


@dataclass(frozen=True)
class Sample(Remembers):
    """One video of a dataset.

    Attributes:
        id: unique within the dataset and stable for ever.
        video: ``[T, 3, H, W]``, float32 in [0, 1] on the 8-bit grid.
        label: class index, or value in the dataset's unit.
        fps: frames per second.
        attributes: what the dataset knows about the video; JSON-serialisable.
    """

    id: str
    video: Tensor
    label: int | float
    fps: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Query:
    """One question to a method: change ``sample`` so that the target meets ``goal``.

    ``seed`` is derived from the run's base seed, the sample and the method; a method draws all its
    randomness from ``generator(component)``.
    """

    sample: Sample
    goal: Goal
    seed: int

    def generator(self, component: str = "") -> torch.Generator:
        """A fresh CPU generator for one component of the method (``"noise"``, ``"start"``, …)."""
        from vcfe_bench.seeds import derive

        return torch.Generator().manual_seed(derive(self.seed, component))


@dataclass(frozen=True)
class Explanation:
    """What a method returns for one query.

    Attributes:
        video: the counterfactual, ``[T, 3, H, W]``; values outside [0, 1] are clamped by the harness.
        trace: per-iteration series by name (losses, probabilities, norms), all of one length.
        artefacts: named arrays beside the video (masks, tubes), stored and hashed like it.
        evaluations: calls by network, e.g. ``{"target": 10, "generator": 120}`` per video.
    """

    video: Tensor
    trace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    artefacts: Mapping[str, np.ndarray] = field(default_factory=dict)
    evaluations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """The values of a regression dataset, in ``unit``: they lie in ``[low, high]``.

    A run asks for values at least ``change`` from what the target says, to be met within ``tolerance``.
    """

    low: float
    high: float
    change: float
    tolerance: float
    unit: str


@dataclass(frozen=True)
class Track:
    """Where a dataset's tracker sees the object of a video; rows of frames in which it sees none are NaN.

    Attributes:
        path: centroid ``[T, 2]`` as (x, y), in pixels.
        area: ``[T]``, in pixels.
        boxes: ``[T, 4]`` (left, top, right, bottom), in pixels.
    """

    path: np.ndarray
    area: np.ndarray
    boxes: np.ndarray


AttributeValue = str | bool | float | None
"""A category, whether something is there, a measured number, or None for what cannot be told."""


class Dataset(Plugin, ABC):
    """A set of labelled videos with two splits, addressed by position."""

    classes: tuple[str, ...] = ()
    """Class names in label order; empty for a regression dataset."""
    values: Values | None = None
    """What a regression dataset's labels are; None for classes."""
    shape: tuple[int, int, int]
    """``(T, H, W)`` of every video."""
    attributes: tuple[str, ...] = ()
    """Names of attributes that tell the classes apart; empty where a video has none.

    ``Sample.attributes`` then holds ``attributes``, the names of those present, one or more. Where places are known, it
    also holds ``objects``: for each its ``attributes`` and ``boxes``, ``[T, 4]`` (left, top, right, bottom) in pixels.
    """
    target: str = ""
    """Spec of the target that goes with the dataset when the user names none."""
    generator: str = ""
    """Spec of the generator that goes with the dataset when the user names none."""
    faults: tuple[str, ...] = ()
    """Names of what ``faulty_edit`` can do wrong."""
    cause: tuple[str, ...] = ()
    """Which of ``attributes_of`` make the label."""
    identity: tuple[str, ...] = ()
    """Which of ``attributes_of`` make the object that object: no goal asks for another one."""
    shortcut: tuple[str, ...] = ()
    """Which of ``attributes_of`` go with the label in training without making it."""
    others: tuple[str, ...] = ()
    """Specs of targets of other architectures than ``target``'s, trained independently of it."""

    @abstractmethod
    def size(self, split: Split) -> int:
        """Number of videos in the split."""

    @abstractmethod
    def sample(self, split: Split, index: int) -> Sample:
        """The video at ``index`` of the split, the same on every call and machine."""

    def training_clip(self, index: int, rng: np.random.Generator) -> tuple[Tensor, int | float]:
        """Video and label that a target is trained on at ``index`` of the training split, augmented where due."""
        sample = self.sample("train", index)
        return sample.video, sample.label

    def controls(self, target: Target, limit: int) -> Mapping[str, float]:
        """What else than accuracy should be measured of a target, by name, on ``limit`` test videos."""
        return {}

    def card(self) -> str:
        """What a user should know of the dataset, as Markdown."""
        return (type(self).__doc__ or "").strip()

    def oracle(self, sample: Sample, video: Tensor) -> int | float | None:
        """The label that the *content* of ``video`` has, measured without any classifier.

        ``video`` is an edit of ``sample.video`` with the same shape. None where the content shows no
        label, for instance because the object fell apart.

        Raises:
            NotImplementedError: the dataset has no oracle.
        """
        raise NotImplementedError

    def true_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The same scene with the goal's label, ``[T, 3, H, W]``: the ceiling of every method.

        Raises:
            NotImplementedError: the dataset cannot render its scenes anew.
        """
        raise NotImplementedError

    def track(self, sample: Sample, video: Tensor) -> Track | None:
        """Where the object of ``sample`` is in ``video``, an edit of ``sample.video``; None where no frame shows it.

        Frames are looked at one by one: unlike ``oracle``, a track does not judge how the object moves.

        Raises:
            NotImplementedError: the dataset has no object to track.
        """
        raise NotImplementedError

    def attributes_of(self, sample: Sample, video: Tensor) -> Mapping[str, AttributeValue] | None:
        """What the content of ``video``, an edit of ``sample.video``, is like; None where there is nothing to measure.

        The names are the same for all videos. A number is in units of the least difference that counts as a change;
        None stands for what cannot be told.

        Raises:
            NotImplementedError: the dataset cannot measure attributes.
        """
        raise NotImplementedError

    def shortcut_edit(self, sample: Sample, goal: Goal) -> Tensor:
        """The sample with the shortcut that goes with the goal, and the cause as it was, ``[T, 3, H, W]``.

        Raises:
            NotImplementedError: the dataset has no shortcut, or cannot render its scenes anew.
        """
        raise NotImplementedError

    def faulty_edit(self, sample: Sample, goal: Goal, fault: str) -> Tensor:
        """The true edit with one known fault, ``[T, 3, H, W]``: what a good metric should rank below the true edit.

        ``fault`` is one of ``faults``.

        Raises:
            NotImplementedError: the dataset cannot render its scenes anew.
        """
        raise NotImplementedError


class Target(Plugin, nn.Module, ABC):
    """The classifier or regressor to be explained; frozen and in evaluation mode.

    ``forward`` takes ``[B, T, 3, H, W]`` in [0, 1] and returns raw outputs ``[B, K]`` (logits, or K = 1 for a value),
    differentiable with respect to the video. Normalisation and the choice of frames happen inside. Call the target
    itself: it takes a video to its own device and brings the output back.
    """

    classes: tuple[str, ...] = ()
    clip: tuple[int, int, int] | None = None
    """``(T, H, W)`` of the videos that the target is made for; None where any will do."""

    def __init__(self, params: Any = None) -> None:
        nn.Module.__init__(self)
        Plugin.__init__(self, params)

    @abstractmethod
    def forward(self, video: Tensor) -> Tensor: ...

    def __call__(self, video: Tensor) -> Tensor:
        """``forward`` on the target's device; the output lies where ``video`` does."""
        return super().__call__(video.to(self.device)).to(video.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((tensor.device for tensor in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the weights and of the preprocessing, part of every record's identity."""


@dataclass(frozen=True)
class Features:
    """What a target computes of a batch of videos on its way to the output.

    Attributes:
        scales: mid-level features ``[B, d, t, h, w]``, the finest grid first; all have the same t. Cell (i, j) stands
            for the pixels of rows ``i H / h`` to ``(i + 1) H / h`` and of columns ``j W / w`` to ``(j + 1) W / w``.
        steps: which of the t steps stands for each frame of the video, ``[T]``.
        output: raw outputs ``[B, K]``, those of ``forward``.
    """

    scales: tuple[Tensor, ...]
    steps: Tensor
    output: Tensor

    def to(self, device: torch.device) -> Features:
        """The same on another device."""
        return Features(tuple(scale.to(device) for scale in self.scales), self.steps.to(device), self.output.to(device))


class FeatureTarget(Target):
    """A target that shows its mid-level features to methods that explain by place."""

    @abstractmethod
    def features(self, video: Tensor) -> Features:
        """Features and output of ``[B, T, 3, H, W]`` in [0, 1], differentiable with respect to the video."""

    def shown(self, video: Tensor) -> Features:
        """``features`` on the target's device; they lie where ``video`` does."""
        return self.features(video.to(self.device)).to(video.device)


@dataclass(frozen=True)
class Constraints:
    """Which clips a generator can make: ``frames % frame_step == 1 % frame_step``, sides multiples of ``side_step``."""

    frame_step: int
    side_step: int

    def violation(self, shape: tuple[int, int, int]) -> str | None:
        """Why a clip of ``(T, H, W)`` does not fit, or None."""
        frames, height, width = shape
        if frames % self.frame_step != 1 % self.frame_step:
            return f"the generator makes {self.frame_step}k+1 frames, the dataset's videos have {frames}"
        if height % self.side_step or width % self.side_step:
            return (
                f"the generator needs sides that are multiples of {self.side_step}, "
                f"the dataset's videos are {height}x{width}"
            )
        return None


class Generator(Plugin, ABC):
    """An image-to-video flow-matching model in a latent space; frozen.

    The flow runs from data (s = 0) to noise (s = 1): ``z_s = (1 - s) z_0 + s ε``, and ``velocity`` estimates
    ``ε - z_0``. Latents are float32 ``[B, C, t, h, w]``, normalised to about zero mean and unit variance.
    """

    constraints: Constraints

    @abstractmethod
    def encode(self, video: Tensor) -> Tensor:
        """Latent of ``[B, T, 3, H, W]`` videos in [0, 1]: the mode of the encoder, normalised."""

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Videos ``[B, T, 3, H, W]`` of latents, on the [0, 1] scale but *not* clamped; differentiable."""

    @abstractmethod
    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> Any:
        """What the model is told: the first frame ``[B, 3, H, W]`` (None: nothing) of a clip of ``(T, H, W)``."""

    @abstractmethod
    def velocity(self, latent: Tensor, sigma: float, condition: Any) -> Tensor:
        """Estimate of ``ε - z_0`` at noise level ``sigma`` in [0, 1]; differentiable in ``latent``."""

    def constrain(self, latent: Tensor, condition: Any) -> Tensor:
        """Impose on a latent what the condition fixes; the identity unless the model's family says otherwise."""
        return latent

    @abstractmethod
    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        """Noise levels of ``steps`` Euler steps: ``steps + 1`` falling values from ``start`` in (0, 1] to 0."""

    @abstractmethod
    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """``(C, t, h, w)`` of the latent of a clip of ``(T, H, W)``."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the weights and settings, part of every record's identity."""


@dataclass(frozen=True)
class Progress:
    """One tick of a method at work, for the progress display."""

    iteration: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class Context:
    """What a method may use to answer a query."""

    dataset: Dataset
    target: Target
    generator: Generator | None = None
    report: Callable[[Progress], None] = lambda progress: None


class Method(Plugin, ABC):
    """A way to make counterfactuals. Authors write ``run``; the harness decides success on the stored result."""

    width: int = 1
    """Micro-batch width: ``run`` always gets exactly this many queries (short batches are padded with repetitions). A
    parameter of the same name, where a method has one, decides."""
    needs_generator: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named parameter sets, chosen with ``--preset``; inline parameters win over them."""
    fingerprint: str = ""
    """Hash of what the method has learned (weights it carries), part of every record's identity."""

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.width = getattr(self.params, "width", self.width)

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        """None when the combination works, otherwise the reason, which becomes a "skipped" row."""
        if self.needs_generator and generator is None:
            return "needs a generator"
        return None

    def fit(
        self, dataset: Dataset, target: Target, folder: Path, steps: int, log: Callable[[str], None] = print
    ) -> dict[str, Tensor]:
        """Train what the method carries for a dataset and a frozen target, in ``steps`` updates.

        An interrupted training goes on from ``folder``. Returns the weights by name, for a file that the method reads.

        Raises:
            NotImplementedError: the method learns nothing.
            UsageError: it cannot explain this target on this dataset.
        """
        raise NotImplementedError(f"method '{self.spec}' has nothing to train")

    @abstractmethod
    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        """One explanation per query, in order. Result ``i`` depends on query ``i`` alone."""

    def answer(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        """One explanation per query, however many: ``run`` in micro-batches, the last padded with repetitions."""
        explanations: list[Explanation] = []
        for first in range(0, len(queries), self.width):
            part = list(queries[first : first + self.width])
            explanations += self.run((part * self.width)[: self.width], context)[: len(part)]
        return explanations


Criterion = Literal["validity", "proximity", "actionability", "realism", "spatiotemporal consistency", "cost"]


@dataclass(frozen=True)
class Card:
    """What a reader has to know about a metric before trusting its number.

    ``direction`` is None where neither more nor less is better. ``version`` is bumped whenever numbers change.
    """

    name: str
    question: str
    criterion: Criterion
    direction: Literal["higher", "lower"] | None
    unit: str
    range: tuple[float, float]
    source: str
    failure_modes: str
    version: int = 1
    min_samples: int = 1


@dataclass(frozen=True)
class Footage(Remembers):
    """A video of what ``sample`` shows, as it is or edited."""

    dataset: Dataset
    sample: Sample
    video: Tensor


@dataclass(frozen=True)
class Case(Remembers):
    """Everything a sample metric may look at: an original, its stored counterfactual, and what the target said of both.

    ``before`` and ``after`` are raw outputs ``[K]`` of the target; ``artefacts`` are what the method gave beside the
    video. ``target`` and ``generator`` are there for metrics that declare ``needs_target`` and ``needs_generator``,
    ``others`` holds the targets that a metric names in ``other_targets``, by spec.
    """

    dataset: Dataset
    sample: Sample
    goal: Goal
    counterfactual: Tensor
    before: Tensor
    after: Tensor
    artefacts: Mapping[str, np.ndarray] = field(default_factory=dict)
    target: Target | None = None
    generator: Generator | None = None
    others: Mapping[str, Target] = field(default_factory=dict)

    @cached_property
    def edited(self) -> Footage:
        """The counterfactual."""
        return Footage(self.dataset, self.sample, self.counterfactual)

    @property
    def original(self) -> Footage:
        """The sample's own video, the same object for all counterfactuals of the sample."""
        return self.sample.once(
            ("original", self.dataset), lambda: Footage(self.dataset, self.sample, self.sample.video)
        )

    @property
    def ideal(self) -> Footage:
        """The true edit, the same object for all counterfactuals of the sample with this goal.

        Raises:
            NotImplementedError: the dataset cannot render its scenes anew.
        """
        return self.sample.once(
            ("ideal", self.dataset, str(self.goal)),
            lambda: Footage(self.dataset, self.sample, self.dataset.true_edit(self.sample, self.goal)),
        )


class SampleMetric(Plugin, ABC):
    """A number per counterfactual, averaged over videos with a bootstrap interval."""

    card: Card
    needs_target: ClassVar[bool] = False
    """Whether ``score`` asks ``case.target`` again."""
    needs_generator: ClassVar[bool] = False
    """Whether ``score`` asks ``case.generator``."""

    def other_targets(self, dataset: Dataset) -> Sequence[str]:
        """Specs of the targets beside the run's that ``score`` asks."""
        return ()

    def curves(self, case: Case) -> Mapping[str, np.ndarray]:
        """The curves ``[n]`` behind the value, by name, to be kept beside it."""
        return {}

    def unavailable(self, dataset: Dataset) -> str | None:
        """Why the metric cannot be computed here (missing weights, no oracle), or None."""
        return None

    @abstractmethod
    def score(self, case: Case) -> float:
        """The value for one counterfactual; NaN where it is undefined. May be called from several threads at once."""


class SetMetric(Plugin, ABC):
    """A distance between two sets of videos, computed from features kept per video."""

    card: Card

    def unavailable(self, dataset: Dataset) -> str | None:
        """Why the metric cannot be computed here (missing weights, clip too short), or None."""
        return None

    @property
    @abstractmethod
    def network(self) -> str:
        """Name of the feature network and its preprocessing; metrics of one network share one pass."""

    def features_of(self, footage: Footage) -> np.ndarray:
        """Features ``[n, D]`` of a video of a dataset: ``features``, unless the metric needs to know what is filmed."""
        return self.features(footage.video)

    def features(self, video: Tensor) -> np.ndarray:
        """Features ``[n, D]`` of one ``[T, 3, H, W]`` video (n = 1, or one row per frame).

        May be called from several threads at once.

        Raises:
            NotImplementedError: the metric needs to know what is filmed.
        """
        raise NotImplementedError

    @abstractmethod
    def distance(
        self, originals: Sequence[np.ndarray], counterfactuals: Sequence[np.ndarray], sources: Sequence[str]
    ) -> float:
        """The distance between two sets, each a sequence of per-video features.

        ``counterfactuals[i]`` was made from ``originals[i]``, and ``sources[i]`` names that video: several
        counterfactuals of one video have the same source.
        """


class PairMetric(Plugin, ABC):
    """How well a regressor's values follow those that were asked, over a whole set: no mean of numbers per video."""

    card: Card

    def unavailable(self, dataset: Dataset) -> str | None:
        """Why the metric cannot be computed here (labels are classes), or None."""
        return None

    @abstractmethod
    def value(self, asked: np.ndarray, reached: np.ndarray) -> float:
        """The value for goals that asked for ``asked [n]`` where the target says ``reached [n]``, n ≥ 1.

        Both are float64, finite and in the target's unit. NaN where the metric is undefined.
        """


Metric = SampleMetric | SetMetric | PairMetric
