"""Targets whose weights file says in its metadata which network it is for, and for which videos and classes."""

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


class Form:
    """What a trained network is beside its weights; subclasses are validated dataclasses.

    ``clip`` is (T, H, W) of the videos that it was trained on. A regressor has no ``classes``.
    """

    kind: ClassVar[str]
    """The entry of the file's metadata, and the target that reads such files."""
    command: ClassVar[str]
    """What writes such files."""
    clip: tuple[int, int, int]
    classes: tuple[str, ...]

    def network(self) -> Any:
        """The network, untrained; it has ``features``."""
        raise NotImplementedError

    def text(self) -> str:
        """As JSON."""
        return TypeAdapter(type(self)).dump_json(self).decode()

    def write(self, model: nn.Module, path: Path) -> None:
        """Write a safetensors file that ``read`` understands."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(state, path, metadata={self.kind: self.text()})

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the metadata of a weights file say of its network.

        Raises:
            UsageError: there is no such file, or it says nothing of such a network.
        """
        try:
            with safe_open(path, framework="pt") as file:
                return TypeAdapter(cls).validate_json((file.metadata() or {})[cls.kind])
        except FileNotFoundError:
            raise WeightsUnavailable(f"{path} is missing: '{cls.command}' writes such a file") from None
        except (OSError, SafetensorError) as error:
            raise UsageError(f"cannot read {path} ({error}): name a file that '{cls.command}' wrote") from None
        except (KeyError, ValidationError):
            raise UsageError(
                f"{path} does not say which network it is for: name a file that '{cls.command}' wrote"
            ) from None


class NetworkTarget(FeatureTarget):
    """A network that shows its mid-level features, as a target."""

    model: Any

    def forward(self, video: Tensor) -> Tensor:
        return self.model(video)

    def features(self, video: Tensor) -> Features:
        return self.model.features(video)

    def fill(self, model: nn.Module, path: Path) -> None:
        """Take a network with the weights of a file, frozen."""
        self.model = model
        weights.fill(model, weights.read(path), str(path))
        self.requires_grad_(False).eval()


class FormedTarget(NetworkTarget):
    """The network that a file's form describes."""

    form_type: ClassVar[type[Form]]
    form: Form

    def take(self, path: Path) -> None:
        """Become the network of a file that ``Form.write`` wrote."""
        self.form = self.form_type.read(path)
        self.classes, self.clip = self.form.classes, self.form.clip
        self.fill(self.form.network(), path)

    @property
    def fingerprint(self) -> str:
        form = hashlib.sha256(self.form.text().encode()).hexdigest()
        return f"{weights.fingerprint(self.model)}-{form[:16]}"


@validated(frozen=True, config={"extra": "forbid"})
class FiledParams:
    """``weights``: a file that the training command wrote."""

    weights: str = ""


class FiledTarget(FormedTarget):
    """The network of a file that the user names; the file says the rest."""

    Params = FiledParams
    params: FiledParams

    def __init__(self, params: FiledParams | None = None) -> None:
        super().__init__(params)
        if not self.params.weights:
            form = self.form_type
            raise UsageError(f"name a file that '{form.command}' wrote: {form.kind}[weights=FILE]")
        self.take(Path(self.params.weights))


class ShippedTarget(FormedTarget):
    """The network of a file of the package."""

    file: ClassVar[str]

    def __init__(self, params: None = None) -> None:
        super().__init__(params)
        self.take(ZOO / self.file)
