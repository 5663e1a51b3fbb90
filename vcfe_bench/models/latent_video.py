"""What generators made of a diffusers pipeline directory share: settings, devices, and the way to their networks.

Tensors that a method holds stay where it put them (the CPU): a generator takes its input to its own device and brings
the result back. Only its conditions, which a method never looks into, stay with the networks.
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
from vcfe_bench.plugins.generator import Constraints, Generator

PROMPT = "This is a synthetic video"
"""The fixed class-agnostic prompt of the BTTF paper (section 4.1)."""
PROMPT_FILE = "prompt_embeds.safetensors"
CPU = torch.device("cpu")


@validated(frozen=True, config={"extra": "forbid"})
class LatentVideoParams:
    """``path``: a diffusers pipeline directory or a hub id. ``lora``: adapter file or directory, fused before use.

    ``dtype``: of the transformer; the autoencoder and the latents stay in float32. ``storage``: ``float8`` keeps the
    transformer's linear weights in eight bits and casts each layer when it is called. ``activations``: what the
    backward pass finds of transformer and decoder: ``keep`` everything, ``recompute`` it block by block from the
    blocks' inputs, or ``offload`` these to the CPU's memory. ``attention``: a diffusers attention
    backend (``flash``, ``sage``, …), empty for torch's own. ``compile``: compile the transformer's blocks. ``device``:
    ``auto`` is CUDA where there is one.
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
        """The device that ``auto`` stands for, or the one named."""
        return devices.default() if self.device == "auto" else torch.device(self.device)


def kept(block: Callable, *inputs: Any) -> Any:
    """Run a block, keeping for the backward pass whatever it needs."""
    return block(*inputs)


def recomputed(block: Callable, *inputs: Any) -> Any:
    """Run a block, keeping for the backward pass its inputs only."""
    return checkpoint(block, *inputs, use_reentrant=False)


def offloaded(block: Callable, *inputs: Any) -> Any:
    """Run a block, keeping for the backward pass its inputs only, in the CPU's memory.

    Tensors without data (of a sketch) are taken off the only device they know.
    """
    elsewhere: AbstractContextManager = save_on_cpu(pin_memory=torch.cuda.is_available())
    if is_fake(inputs[0]):
        elsewhere = saved_tensors_hooks(lambda t: (t.device, t.to("meta")), lambda saved: saved[1].to(saved[0]))
    with elsewhere:
        return recomputed(block, *inputs)


Run = Callable[..., Any]
"""One of the three above: calls its first argument with the others."""
RUNS: Mapping[str, Run] = {"keep": kept, "recompute": recomputed, "offload": offloaded}
"""By the setting ``activations``."""


def prepare(transformer: Any, params: LatentVideoParams, device: torch.device) -> None:
    """Freeze a diffusers transformer, put it on its device and apply the settings for memory and speed."""
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


def fuse_lora(loader: Any, transformer: Any, path: str) -> None:
    """Add the adapter at ``path`` to the weights; ``loader`` is the family's diffusers LoRA mixin."""
    state, metadata = loader.lora_state_dict(path, return_lora_metadata=True)
    loader.load_lora_into_transformer(state, transformer=transformer, metadata=metadata)
    transformer.fuse_lora()
    transformer.unload_lora()


def pipeline_config(path: str) -> dict[str, Any]:
    """``model_index.json`` of a pipeline; empty for a directory that has none."""
    if Path(path).is_dir() and not (Path(path) / "model_index.json").exists():
        return {}
    return DiffusionPipeline.load_config(path)


def architecture(path: str) -> dict[str, dict[str, Any]]:
    """The configurations of a pipeline's parts by folder, read from its directory or known of a published one.

    Raises:
        UsageError: neither.
    """
    published = tomllib.loads((Path(__file__).parent / "published.toml").read_text())
    if path in published:
        return published[path]
    found = {file.parent.name: json.loads(file.read_text()) for file in sorted(Path(path).glob("*/*config.json"))}
    if "transformer" not in found:
        raise UsageError(f"'{path}' is neither a pipeline directory nor one of {', '.join(published)}")
    return found


def sketched(cls: Any, config: Mapping[str, Any], params: LatentVideoParams) -> Any:
    """A diffusers transformer of class ``cls`` without data, in the types and with the settings of ``prepare``.

    The types are learned from an empty twin, since modules of fake tensors cannot be converted as a whole.
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
    """A prompt for a sketch, as long as the stored one, by default ``[1, tokens, width]``."""
    with unset_fake_temporarily():
        stored = stored_prompt(path)
    return torch.zeros(1, tokens, width) if stored is None else torch.zeros(stored.shape)


def stored_prompt(path: str) -> Tensor | None:
    """The prompt's embedding ``[1, tokens, D]`` where the directory holds it, so that no text encoder is needed."""
    file = Path(path) / PROMPT_FILE
    return load_file(file)["prompt"] if file.exists() else None


class LatentVideoGenerator(Generator):
    """A frozen image-to-video pipeline behind the generator interface; ``model`` does the arithmetic.

    The methods of ``model`` are those of a generator on tensors of the model's own device; its ``networks()`` and
    ``buffers()`` are all that its output depends on.
    """

    Params: ClassVar[type] = LatentVideoParams
    params: Any
    family: ClassVar[Any]
    """The class of ``model``; its ``read(params)`` loads the networks, its ``sketch(params)`` does without weights."""
    model: Any
    constraints: Constraints

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        if not self.params.path:
            raise UsageError(f"name a pipeline: path=DIRECTORY or path=HUB_ID ({type(self).__name__})")
        self.check()
        self.model = self.family.read(self.params)
        self.model.run = RUNS[self.params.activations]
        self.constraints = self.model.constraints()

    def check(self) -> None:
        """Raise a ``UsageError`` where ``path`` is of another family."""

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

    @functools.cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        networks: Mapping[str, nn.Module] = self.model.networks()
        state = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
        words = [fingerprint({**state, **self.model.buffers()}), *self._settings()]
        return "-".join(words)

    @classmethod
    def full(cls, params: Any) -> Any:
        """The parameters of the pipeline that ``params`` stand for."""
        return params

    @classmethod
    def sketch(cls, params: Any) -> LatentVideoGenerator:
        """The generator without weights, for use inside a ``FakeTensorMode``: what it would cost to run.

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
        """What else decides the output, down to the last bits."""
        named = [self.params.attention, "compiled" if self.params.compile else ""]
        return [setting for setting in named if setting]
