"""Base class of generators from a diffusers pipeline directory: settings, devices, loading of networks.

A method's tensors stay on the device where it created them (the CPU): a generator moves its input to its own device and
the result back. Only its conditions, which are opaque to methods, stay on the device of the networks.
"""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from accelerate import init_empty_weights
from diffusers import DiffusionPipeline
from pydantic.dataclasses import dataclass as validated
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake, unset_fake_temporarily
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from vcfe_bench.core import devices
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import fingerprint
from vcfe_bench.models import pipeline_folder
from vcfe_bench.plugins.generator import Constraints, Generator

PROMPT = "This is a synthetic video"
"""The fixed class-agnostic prompt of the BTTF paper (section 4.1)."""
PROMPT_FILE = "prompt_embeds.safetensors"
CPU = torch.device("cpu")


@validated(frozen=True, config={"extra": "forbid"})
class LatentVideoParams:
    """``path``: a diffusers pipeline directory or a hub id. ``lora``: adapter file or directory, fused before use.

    ``dtype``: of the transformer; the autoencoder and the latents are always float32. ``storage``: ``float8`` stores
    the transformer's linear weights in eight bits and casts each layer when it is called. ``activations``: how
    activations of transformer and decoder are provided to the backward pass: ``keep`` stores all of them, ``recompute``
    only the blocks' inputs, ``offload`` moves these to CPU memory. ``attention``: a diffusers attention backend
    (``flash``, ``sage``, …), empty for torch's own. ``compile``: compile the transformer's blocks. ``device``: ``auto``
    is CUDA if available.
    """

    path: str = ""
    lora: str = ""
    prompt: str = PROMPT
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    storage: Literal["same", "float8"] = "same"
    activations: Literal["keep", "recompute", "offload"] = "recompute"
    attention: str = ""
    compile: bool = False
    device: str = "auto"

    @property
    def compute_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    def chosen_device(self) -> torch.device:
        """The requested device; for ``auto`` the default one."""
        return devices.default() if self.device == "auto" else torch.device(self.device)


def kept(block: Callable[..., Any], *inputs: Any) -> Any:
    """Run a block and store all activations for the backward pass."""
    return block(*inputs)


def recomputed(block: Callable[..., Any], *inputs: Any) -> Any:
    """Run a block and store only its inputs for the backward pass."""
    return checkpoint(block, *inputs, use_reentrant=False)


def offloaded(block: Callable[..., Any], *inputs: Any) -> Any:
    """Run a block and store only its inputs for the backward pass, in CPU memory.

    Fake tensors (of a sketch) are moved to the meta device instead.
    """
    elsewhere: AbstractContextManager[Any] = save_on_cpu(pin_memory=torch.cuda.is_available())
    if is_fake(inputs[0]):
        elsewhere = saved_tensors_hooks(lambda t: (t.device, t.to("meta")), lambda saved: saved[1].to(saved[0]))
    with elsewhere:
        return recomputed(block, *inputs)


Run = Callable[..., Any]
"""One of the three functions above: calls its first argument with the others."""
RUNS: Mapping[str, Run] = {"keep": kept, "recompute": recomputed, "offload": offloaded}
"""The function for each value of ``activations``."""


def prepare(transformer: Any, params: LatentVideoParams, device: torch.device) -> None:
    """Freeze a diffusers transformer, move it to its device and apply the settings for memory and speed."""
    transformer.requires_grad_(False).eval()
    if params.storage == "float8":
        transformer.enable_layerwise_casting(torch.float8_e4m3fn, params.compute_dtype)
    transformer.to(device)
    if params.activations != "keep":
        transformer.enable_gradient_checkpointing(RUNS[params.activations])
    if params.attention:
        transformer.set_attention_backend(params.attention)
    if params.compile:
        for block in transformer.modules():
            if type(block).__name__ in transformer._no_split_modules:
                block.compile()


def pipeline_config(path: str) -> dict[str, Any]:
    """``model_index.json`` of a pipeline; empty for a directory without one."""
    if Path(path).is_dir() and not (Path(path) / "model_index.json").exists():
        return {}
    return DiffusionPipeline.load_config(path)


def architecture(path: str) -> dict[str, dict[str, Any]]:
    """Configurations of a pipeline's parts by folder, from its directory or from the list of published pipelines.

    Raises:
        UsageError: the path is neither a pipeline directory nor a published pipeline.
    """
    published = tomllib.loads((Path(__file__).parent / "published.toml").read_text())
    if path in published:
        return published[path]
    parts = {file.parent.name: json.loads(file.read_text()) for file in sorted(Path(path).glob("*/*config.json"))}
    if "transformer" not in parts:
        raise UsageError(f"'{path}' is neither a pipeline directory nor one of {', '.join(published)}")
    return parts


def sketched(cls: Any, config: Mapping[str, Any], params: LatentVideoParams) -> Any:
    """A diffusers transformer of class ``cls`` without data, with the dtypes and settings of ``prepare``.

    The dtypes are read from an empty twin, because modules of fake tensors cannot be converted as a whole.
    """
    with unset_fake_temporarily(), CPU, init_empty_weights():
        twin = cls.from_config(config)
        exact = set(twin._keep_in_fp32_modules or [])
        for name, parameter in twin.named_parameters():
            if not exact & set(name.split(".")):
                parameter.data = parameter.data.to(params.compute_dtype)
        if params.storage == "float8":
            twin.enable_layerwise_casting(torch.float8_e4m3fn, params.compute_dtype)
        types = {name: parameter.dtype for name, parameter in twin.named_parameters()}
    network = cls.from_config(config).requires_grad_(False).eval()
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(types[name])
    for module in network.modules():
        if any(parameter.dtype == torch.float8_e4m3fn for parameter in module.parameters(recurse=False)):
            _cast_when_called(module, params.compute_dtype)
    if params.activations != "keep":
        network.enable_gradient_checkpointing(offloaded if params.activations == "offload" else recomputed)
    return network


def _cast_when_called(module: nn.Module, dtype: torch.dtype) -> None:
    stored = {name: parameter for name, parameter in module._parameters.items() if parameter is not None}

    def cast(module: nn.Module, inputs: Any) -> None:
        for name, parameter in stored.items():
            module._parameters[name] = nn.Parameter(parameter.to(dtype), requires_grad=False)

    def restore(module: nn.Module, inputs: Any, output: Any) -> None:
        module._parameters.update(stored)

    module.register_forward_pre_hook(cast)
    module.register_forward_hook(restore)


def empty_prompt(path: str, tokens: int, width: int) -> Tensor:
    """A prompt of zeros for a sketch, with the shape of the stored one if there is one, else ``[1, tokens, width]``."""
    with unset_fake_temporarily():
        stored = stored_prompt(path)
    return torch.zeros(1, tokens, width) if stored is None else torch.zeros(stored.shape)


def stored_prompt(path: str) -> Tensor | None:
    """The prompt's embedding ``[1, tokens, D]``, if the directory contains it; then no text encoder is needed."""
    file = Path(path) / PROMPT_FILE
    return load_file(file)["prompt"] if file.exists() else None


class LatentVideoGenerator(Generator):
    """A frozen image-to-video pipeline behind the generator interface; ``model`` does the computation.

    The methods of ``model`` are those of a generator, on tensors of the model's own device; its output depends on its
    ``networks()`` and ``buffers()`` only.
    """

    Params: ClassVar[type] = LatentVideoParams
    params: Any
    family: ClassVar[Any]
    """The class of ``model``; ``read(params)`` loads its networks, ``sketch(params)`` builds them without weights."""
    model: Any
    constraints: Constraints

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        if not self.params.path:
            raise UsageError(f"give a pipeline: path=DIRECTORY or path=HUB_ID ({type(self).__name__})")
        pipeline_folder.check(self.params.path, PROMPT_FILE)
        self.check()
        self.model = self.family.read(self.params)
        self.model.run = RUNS[self.params.activations]
        self.constraints = self.model.constraints()

    def check(self) -> None:
        """Raise a ``UsageError`` if ``path`` belongs to another family."""

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        return self.model.encode(video.to(self.model.device)).to(video.device)

    def decode(self, latent: Tensor) -> Tensor:
        return self.model.decode(latent.to(self.model.device)).to(latent.device)

    @torch.no_grad()
    def condition(self, first_frame: Tensor | None, shape: tuple[int, int, int]) -> Any:
        return self.model.condition(first_frame, shape)

    def velocity(self, latent: Tensor, sigma: float, condition: Any) -> Tensor:
        return self.model.velocity(latent.to(self.model.device), sigma, condition).to(latent.device)

    def constrain(self, latent: Tensor, condition: Any) -> Tensor:
        return self.model.constrain(latent.to(self.model.device), condition).to(latent.device)

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        return self.model.latent_shape(shape)

    def networks(self) -> Mapping[str, nn.Module]:
        return self.model.networks()

    @functools.cached_property
    def fingerprint(self) -> str:
        networks = self.networks()
        state = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
        parts = [fingerprint({**state, **self.model.buffers()}), *self._settings()]
        return "-".join(parts)

    @classmethod
    def full(cls, params: Any) -> Any:
        """``params`` as parameters of a pipeline; shipped generators take fewer parameters."""
        return params

    @classmethod
    def sketch(cls, params: Any) -> LatentVideoGenerator:
        """The generator without weights, for cost estimates inside a ``FakeTensorMode``.

        Raises:
            UsageError: the architecture is not known.
        """
        generator = cls.__new__(cls)
        Generator.__init__(generator, cls.full(params))
        generator.model = cls.family.sketch(generator.params)
        generator.model.run = RUNS[generator.params.activations]
        generator.constraints = generator.model.constraints()
        return generator

    def _settings(self) -> list[str]:
        """Settings that also determine the output, down to the last bit; part of the fingerprint."""
        named = [self.params.attention, "compiled" if self.params.compile else ""]
        return [setting for setting in named if setting]
