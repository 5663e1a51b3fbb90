"""Low-rank adapters in the layouts of their training programs, added to the weights of a transformer.

Known are the key layouts of diffusers, PEFT's ``save_pretrained``, kohya's musubi-tuner (``lora_unet_…``), and the
names of the original Wan code with or without a prefix (ComfyUI, lightx2v, DiffSynth-Studio). An adapter is applied as
a whole or refused: a key that belongs to no layer of the network is an error, and so is an adapter that changes
nothing.

The update of a layer is ``W + s B A`` with ``s = alpha / r``, or ``alpha / sqrt(r)`` for rank-stabilised adapters (Hu
et al., arXiv 2106.09685; Kalajdzievski, arXiv 2312.03732). Without a stated alpha, s is 1, as in diffusers and
DiffSynth.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from vcfe_bench.core import checkpoints
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.text import some
from vcfe_bench.models.adapter_files import find

PREFIXES = re.compile(
    r"^(base_model\.model\.|model\.diffusion_model\.|diffusion_model\.|pipe\.dit\.|dit\.|model\.|module\.|"
    r"transformer\.|transformer_2\.|lora_unet_|lora_transformer_|lycoris_)+"
)
MATRIX = re.compile(
    r"^(?P<layer>.+?)(?:\.lora_(?P<side>A|B|down|up)|[._]lora\.(?P<older>down|up))(?:\.(?!weight$|bias$)\w+)?"
    r"\.(?P<kind>weight|bias)$"
)
PART = re.compile(r"^(?P<layer>.+)\.(?P<kind>alpha|diff|diff_b)$")
OTHER_KINDS = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "hada_w": "LoHa",
    "lokr_w": "LoKr",
    "oft_": "OFT",
    "lora_mid": "LoCon with a middle matrix",
    "ia3_l": "IA3",
    "modules_to_save": "whole layers (modules_to_save)",
}
"""Parts of keys of adapters that are not low-rank updates, and what those are called."""
CHANGED_BASE = ("pissa", "olora", "corda", "loftq")
"""Initialisations of PEFT that also change the weights under the adapter."""
PROJECTIONS = (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("o", "to_out.0"))
ORIGINAL_WAN = (
    ("self_attn.norm_q", "attn1.norm_q"),
    ("self_attn.norm_k", "attn1.norm_k"),
    ("cross_attn.norm_q", "attn2.norm_q"),
    ("cross_attn.norm_k_img", "attn2.norm_added_k"),
    ("cross_attn.norm_k", "attn2.norm_k"),
    ("cross_attn.k_img", "attn2.add_k_proj"),
    ("cross_attn.v_img", "attn2.add_v_proj"),
    *((f"self_attn.{a}", f"attn1.{b}") for a, b in PROJECTIONS),
    *((f"cross_attn.{a}", f"attn2.{b}") for a, b in PROJECTIONS),
    ("norm3", "norm2"),
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
    ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    ("head.head", "proj_out"),
)
"""Layers in the names of the original Wan code, and of diffusers."""


@dataclass
class Update:
    """What an adapter has for one layer."""

    down: Tensor | None = None
    up: Tensor | None = None
    bias: Tensor | None = None
    alpha: float | None = None
    diff: Tensor | None = None
    diff_b: Tensor | None = None

    @property
    def complete(self) -> bool:
        """Whether both matrices are there, or neither and a difference."""
        pair = self.down is not None and self.up is not None
        neither = self.down is None and self.up is None
        return pair or (neither and (self.diff is not None or self.diff_b is not None))


@dataclass(frozen=True)
class Scale:
    """The stated scale of an adapter: ``alpha`` (None: s = 1), and by pattern of layer names."""

    alpha: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    stabilised: bool = False

    def of(self, layer: str, rank: int, own: float | None) -> float:
        """s for a layer; ``own`` is the alpha among its keys."""
        pattern = next((key for key in self.patterns if re.match(rf"(.*\.)?({key})$", layer)), None)
        alpha = own if own is not None else self.patterns[pattern] if pattern else self.alpha
        if alpha is None:
            return 1.0
        return alpha / (rank**0.5 if self.stabilised else rank)


def fuse(transformer: nn.Module, path: str, network: str = "transformer", others: Sequence[str] = ()) -> None:
    """Add the adapter at ``path`` (a file, a folder with one, or a hub id) to the weights of ``transformer``.

    Of a file with keys of several networks (``transformer.…``, ``transformer_2.…``), those of ``network`` are used;
    ``others`` are further networks of the generator, which read their own.

    Raises:
        UsageError: there is no adapter, or not exactly one; it is of another kind; it does not fit the network; or it
            changes no weight.
    """
    file = find(path)
    state = _tensors(file, network, others)
    scale = _scale(file, network, state)
    updates = _updates(file, state)
    layers = _layers(transformer)
    unknown = [name for name in updates if _flat(name) not in layers]
    if unknown:
        raise UsageError(
            f"{file} does not fit the network: {len(unknown)} of its {len(updates)} layers are not in it "
            f"({some(unknown)}); nothing is applied in part: give an adapter of this model"
        )
    changed = [_apply(layers[_flat(name)], name, update, scale, file) for name, update in updates.items()]
    if not any(changed):
        raise UsageError(f"{file} changes no weight (its updates are zero): train the adapter, or leave out lora=")


def _tensors(file: Path, network: str, others: Sequence[str]) -> dict[str, Tensor]:
    state = checkpoints.read(file)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError(f"{file} contains something other than named tensors, so it is no adapter")
    foreign = [key for key in state if key.startswith(("text_encoder", "lora_te"))]
    if foreign:
        raise UsageError(f"{file} also adapts the text encoder ({some(foreign)}), which is not supported")
    named = {name: [key for key in state if key.startswith(f"{name}.")] for name in ("transformer", "transformer_2")}
    if all(named.values()):
        surplus = [name for name in named if name not in (network, *others)]
        if surplus:
            raise UsageError(f"{file} has weights of {surplus[0]}, which this generator does not have")
        return {key: state[key] for key in named[network]}
    return dict(state)


def _scale(file: Path, network: str, state: Mapping[str, Tensor]) -> Scale:
    """The scale that PEFT's ``adapter_config.json`` or the metadata of diffusers state."""
    config: dict[str, Any] = {}
    if file.suffix == ".safetensors":
        with safe_open(file, framework="pt") as opened:
            stored = json.loads((opened.metadata() or {}).get("lora_adapter_metadata", "{}"))
        marks = [key.partition(".")[0] for key in stored]
        owner = network if network in marks else next(iter(marks), network)
        config = {key.removeprefix(f"{owner}."): value for key, value in stored.items() if key.startswith(f"{owner}.")}
    beside = file.with_name("adapter_config.json")
    if beside.exists():
        config = json.loads(beside.read_text(encoding="utf-8"))
    elif not config and all(key.startswith("base_model.model.") for key in state):
        raise UsageError(f"{file} is an adapter of PEFT without its adapter_config.json, which states its scale")
    kind = config.get("peft_type", "LORA")
    if kind != "LORA" or config.get("use_dora"):
        raise UsageError(f"{file} is a {'DoRA' if kind == 'LORA' else kind} adapter: only LoRA can be fused")
    if str(config.get("init_lora_weights")).lower().startswith(CHANGED_BASE):
        raise UsageError(
            f"{file} was initialised with {config['init_lora_weights']}, which also changes the weights under it: "
            "convert it to a plain LoRA (PEFT's path_initial_model_for_weight_conversion)"
        )
    return Scale(config.get("lora_alpha"), config.get("alpha_pattern") or {}, bool(config.get("use_rslora")))


def _updates(file: Path, state: Mapping[str, Tensor]) -> dict[str, Update]:
    """The updates by layer, as it is named in the file without prefixes."""
    updates: dict[str, Update] = defaultdict(Update)
    unknown: list[str] = []
    for key, value in state.items():
        kind = next((name for part, name in OTHER_KINDS.items() if part in key), None)
        if kind:
            raise UsageError(f"{file} is not a plain LoRA but has {kind} ({key}): only LoRA can be fused")
        if match := MATRIX.match(key):
            lower = (match["side"] or match["older"]) in ("A", "down")
            part = "bias" if match["kind"] == "bias" else "down" if lower else "up"
        elif match := PART.match(key):
            part = match["kind"]
        else:
            unknown.append(key)
            continue
        update = updates[PREFIXES.sub("", match["layer"])]
        if getattr(update, part) is not None:
            raise UsageError(f"{file} has several adapters for the same layer ({key}): save one of them by itself")
        setattr(update, part, float(value) if part == "alpha" else value)
    if unknown:
        what = "has keys of no known LoRA layout" if updates else "is not a LoRA: its keys have no known layout"
        raise UsageError(f"{file} {what} ({some(unknown)}); known are those of diffusers, PEFT, kohya and Wan")
    if not updates:
        raise UsageError(f"{file} has no tensors")
    incomplete = [name for name, update in updates.items() if not update.complete]
    if incomplete:
        raise UsageError(f"{file} lacks one of the two matrices of {some(incomplete)}: copy the file again")
    return dict(updates)


def _layers(transformer: nn.Module) -> dict[str, nn.Module]:
    """The layers with weights, by their names in diffusers and in the original code, dots as underscores."""
    layers = {
        name: layer for name, layer in transformer.named_modules() if isinstance(getattr(layer, "weight", 0), Tensor)
    }
    original = {
        name.removesuffix(new) + old: layer
        for name, layer in layers.items()
        for old, new in ORIGINAL_WAN
        if name == new or name.endswith(f".{new}")
    }
    return {_flat(name): layer for name, layer in {**original, **layers}.items()}


@torch.no_grad()
def _apply(layer: nn.Module, name: str, update: Update, scale: Scale, file: Path) -> bool:
    """Add the update; whether a weight or bias has changed, in its own precision."""
    changed = False
    if update.down is not None and update.up is not None:
        s = scale.of(name, len(update.down), update.alpha)
        product = update.up.float().flatten(1) @ update.down.float().flatten(1)
        changed |= _add(layer, "weight", s * product, name, file)
        if update.bias is not None:
            changed |= _add(layer, "bias", s * update.bias.float(), name, file)
    for parameter, difference in (("weight", update.diff), ("bias", update.diff_b)):
        if difference is not None:
            changed |= _add(layer, parameter, difference.float(), name, file)
    return changed


def _add(layer: nn.Module, parameter: str, difference: Tensor, name: str, file: Path) -> bool:
    if not difference.any():
        return False
    weight = getattr(layer, parameter, None)
    if weight is None or weight.numel() != difference.numel() or len(weight) != len(difference):
        shape = "no such parameter" if weight is None else list(weight.shape)
        raise UsageError(
            f"{file} does not fit the network: the update of {name}.{parameter} is {list(difference.shape)}, the "
            f"network has {shape}; give an adapter of this model"
        )
    new = (weight.float() + difference.to(weight.device).reshape(weight.shape)).to(weight.dtype)
    changed = bool((new != weight).any())
    weight.copy_(new)
    return changed


def _flat(name: str) -> str:
    return name.replace(".", "_")
