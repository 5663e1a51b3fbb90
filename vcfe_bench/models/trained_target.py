"""Targets whose weights file describes the network, its videos and its classes in its metadata."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import ZOO, WeightsUnavailable
from vcfe_bench.plugins.target import Features, FeatureTarget


class NetworkConfig:
    """Everything about a trained network apart from its weights; subclasses are validated dataclasses.

    ``clip`` is (T, H, W) of the training videos. A regressor has no ``classes``.
    """

    kind: ClassVar[str]
    """Key in the metadata of a weights file, and name of the target that reads such files."""
    command: ClassVar[str]
    """The command that writes such files."""
    clip: tuple[int, int, int]
    classes: tuple[str, ...]

    def network(self) -> Any:
        """The network, untrained; it has a method ``features``."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The configuration as JSON; part of the fingerprint of a target."""
        return TypeAdapter(type(self)).dump_json(self).decode()

    def write(self, model: nn.Module, path: Path) -> None:
        """Write weights and configuration to a safetensors file that ``read`` accepts."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(state, path, metadata={self.kind: self.to_json()})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The configuration in the metadata of a weights file.

        Raises:
            UsageError: there is no such file, or its metadata does not describe a network of this kind.
        """
        try:
            with safe_open(path, framework="pt") as file:
                return TypeAdapter(cls).validate_json((file.metadata() or {})[cls.kind])
        except FileNotFoundError:
            raise WeightsUnavailable(f"{path} is missing: '{cls.command}' writes such a file") from None
        except (OSError, SafetensorError) as error:
            raise UsageError(f"cannot read {path} ({error}): give a file that '{cls.command}' wrote") from None
        except (KeyError, ValidationError):
            raise UsageError(
                f"{path} does not say which network it is for: give a file that '{cls.command}' wrote"
            ) from None


class NetworkTarget(FeatureTarget):
    """A network with mid-level features, as a target."""

    model: Any

    def forward(self, video: Tensor) -> Tensor:
        return self.model(video)

    def features(self, video: Tensor) -> Features:
        return self.model.features(video)

    def fill(self, model: nn.Module, path: Path) -> None:
        """Use ``model`` with the weights of a file, frozen."""
        self.model = model
        weights.fill(model, weights.read(path), str(path))
        self.requires_grad_(False).eval()


class ConfiguredTarget(NetworkTarget):
    """The network that a weights file describes."""

    config_type: ClassVar[type[NetworkConfig]]
    config: NetworkConfig

    def load(self, path: Path) -> None:
        """Load the network of a file that ``NetworkConfig.write`` wrote."""
        self.config = self.config_type.read(path)
        self.classes, self.clip = self.config.classes, self.config.clip
        self.fill(self.config.network(), path)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.config.to_json().encode()).hexdigest()
        return f"{weights.fingerprint(self.model)}-{digest[:16]}"


@validated(frozen=True, config={"extra": "forbid"})
class FileParams:
    """``weights``: a file written by the training command."""

    weights: str = ""


class FileTarget(ConfiguredTarget):
    """The network of a weights file given by the user; the file describes the rest."""

    Params = FileParams
    params: FileParams

    def __init__(self, params: FileParams | None = None) -> None:
        super().__init__(params)
        if not self.params.weights:
            config = self.config_type
            raise UsageError(f"give a file that '{config.command}' wrote: {config.kind}[weights=FILE]")
        self.load(Path(self.params.weights))


class ShippedTarget(ConfiguredTarget):
    """The network of a weights file in the package."""

    file: ClassVar[str]

    def __init__(self, params: None = None) -> None:
        super().__init__(params)
        self.load(ZOO / self.file)
