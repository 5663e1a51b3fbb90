"""Adapters in the layouts of their training programs, compared with the converters and the loader of diffusers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.loaders import lora_conversion_utils as diffusers_converters
from diffusers.loaders.lora_pipeline import WanLoraLoaderMixin
from safetensors.torch import save_file
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models import adapter_files, adapters

from . import pipelines

State = dict[str, Tensor]
RANK = 2
NAMES = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")


def network() -> nn.Module:
    torch.manual_seed(3)
    return pipelines.wan_transformer().requires_grad_(False)


def adapter(seed: int = 0) -> State:
    """Matrices for the linear layers of all blocks, under the names of diffusers."""
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for name, layer in network().named_modules():
        if isinstance(layer, nn.Linear) and name.startswith("blocks.") and name.endswith(NAMES):
            state[f"{name}.lora_A.weight"] = torch.randn(RANK, layer.in_features, generator=draw)
            state[f"{name}.lora_B.weight"] = torch.randn(layer.out_features, RANK, generator=draw)
    return state


def original(key: str) -> str:
    for new, old in (
        ("attn1", "self_attn"), ("attn2", "cross_attn"), ("to_out.0", "o"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"),
        ("ffn.net.0.proj", "ffn.0"), ("ffn.net.2", "ffn.2"),
    ):  # fmt: skip
        key = key.replace(new, old)
    return key


def kohya(key: str) -> str:
    layer, _, side = original(key).partition(".lora_")
    return f"lora_unet_{layer.replace('.', '_')}.lora_{'down' if side[0] == 'A' else 'up'}.weight"


LAYOUTS: dict[str, Callable[[str], str]] = {
    "diffusers": lambda key: f"transformer.{key}",
    "bare": lambda key: key,
    "DiffSynth": lambda key: original(key).replace(".weight", ".default.weight"),
    "DiffSynth pipeline": lambda key: f"pipe.dit.{original(key)}",
    "ComfyUI": lambda key: f"diffusion_model.{original(key)}",
    "kohya": kohya,
    "kohya, names of diffusers": lambda key: kohya(key) if "ffn" in key else f"transformer.{key}",
    "older diffusers": lambda key: f"transformer.{key}".replace("lora_A", "lora.down").replace("lora_B", "lora.up"),
}


def fused(path: Path, **rest: str) -> State:
    changed = network()
    adapters.fuse(changed, str(path), **rest)
    return dict(changed.state_dict())


def expected(state: State, scale: float = 1.0) -> State:
    result = {name: value.clone() for name, value in network().state_dict().items()}
    for key, down in state.items():
        if ".lora_A." in key:
            up = state[key.replace("lora_A", "lora_B")]
            result[key.replace(".lora_A", "")] += scale * up @ down
    return result


def write(path: Path, state: State, metadata: dict[str, str] | None = None) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_weights(tmp_path: Path, layout: str) -> None:
    write(tmp_path / "any_name.safetensors", {LAYOUTS[layout](key): value for key, value in adapter().items()})
    torch.testing.assert_close(fused(tmp_path), expected(adapter()))


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_alpha_of_kohya_agrees_with_the_converter_of_diffusers(tmp_path: Path, alpha: float) -> None:
    state = {kohya(key): value for key, value in adapter().items()}
    state |= {key.replace("lora_down.weight", "alpha"): torch.tensor(alpha) for key in state if "lora_down" in key}
    write(tmp_path / "kohya.safetensors", state)
    converted = diffusers_converters._convert_musubi_wan_lora_to_diffusers(dict(state))
    theirs = expected({key.removeprefix("transformer."): value for key, value in converted.items()})
    torch.testing.assert_close(fused(tmp_path), theirs)
    torch.testing.assert_close(theirs, expected(adapter(), alpha / RANK))


@pytest.mark.parametrize(("alpha", "stabilised"), [(2, False), (8, False), (8, True)])
def test_the_scale_of_peft_is_that_of_its_configuration(tmp_path: Path, alpha: int, stabilised: bool) -> None:
    write(tmp_path / "adapter_model.safetensors", {f"base_model.model.{k}": v for k, v in adapter().items()})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": alpha, "use_rslora": stabilised}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    scale = alpha / (RANK**0.5 if stabilised else RANK)
    torch.testing.assert_close(fused(tmp_path), expected(adapter(), scale))


def test_metadata_of_diffusers_agree_with_its_loader(tmp_path: Path) -> None:
    stored = {"transformer.r": RANK, "transformer.lora_alpha": 6, "transformer.alpha_pattern": {"attn2.to_q": 1}}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(stored)}
    layers = [key.removesuffix(".lora_A.weight") for key in adapter() if ".lora_A." in key]
    stored |= {"transformer.target_modules": layers}
    state = {f"transformer.{key}": value for key, value in adapter().items()}
    file = write(tmp_path / "a.safetensors", state, {**metadata, "lora_adapter_metadata": json.dumps(stored)})
    theirs = network()
    loaded, described = WanLoraLoaderMixin.lora_state_dict(str(file), return_lora_metadata=True)
    WanLoraLoaderMixin.load_lora_into_transformer(loaded, transformer=theirs, metadata=described)
    theirs.fuse_lora()
    theirs.unload_lora()
    torch.testing.assert_close(fused(file), dict(theirs.state_dict()))


def test_whole_differences_are_added(tmp_path: Path) -> None:
    state = {
        "diffusion_model.blocks.0.self_attn.q.diff": torch.full((24, 24), 0.5),
        "diffusion_model.blocks.0.self_attn.q.diff_b": torch.full((24,), 0.25),
    }
    after, before = fused(write(tmp_path / "a.safetensors", state)), network().state_dict()
    torch.testing.assert_close(after["blocks.0.attn1.to_q.weight"], before["blocks.0.attn1.to_q.weight"] + 0.5)
    torch.testing.assert_close(after["blocks.0.attn1.to_q.bias"], before["blocks.0.attn1.to_q.bias"] + 0.25)


def test_every_layer_of_the_original_code_has_a_name(tmp_path: Path) -> None:
    torch.manual_seed(3)
    with_image = pipelines.wan_transformer(image_dim=16, added_kv_proj_dim=24)
    known = set(adapters._layers(with_image))
    names = ["time_embedding.0", "time_embedding.2", "time_projection.1", "text_embedding.0", "text_embedding.2"]
    names += ["img_emb.proj.1", "img_emb.proj.3", "head.head", "patch_embedding", "blocks.1.cross_attn.k_img"]
    names += ["blocks.1.cross_attn.v_img", "blocks.1.cross_attn.norm_k_img", "blocks.1.norm3", "blocks.0.ffn.2"]
    assert {name.replace(".", "_") for name in names} <= known


def test_networks_in_one_file_read_their_own(tmp_path: Path) -> None:
    state = {f"transformer.{k}": v for k, v in adapter(0).items()}
    state |= {f"transformer_2.{k}": v for k, v in adapter(1).items()}
    file = write(tmp_path / "both.safetensors", state)
    changed = network()
    adapters.fuse(changed, str(file), "transformer_2", ("transformer",))
    torch.testing.assert_close(dict(changed.state_dict()), expected(adapter(1)))
    with pytest.raises(UsageError, match="transformer_2, which this generator does not have"):
        adapters.fuse(network(), str(file))


def without(part: str) -> State:
    return {key: value for key, value in adapter().items() if part not in key}


REFUSED: dict[str, tuple[State, str]] = {
    "no update": ({k: 0 * v for k, v in adapter().items()}, "changes no weight"),
    "no update of the second matrix": (
        {k: v * ("lora_A" in k) for k, v in adapter().items()},
        "changes no weight",
    ),
    "more blocks": (
        {k.replace("blocks.1", "blocks.7"): v for k, v in adapter().items()},
        r"10 of its 20 layers are not in it \(blocks\.7\..* and 7 more\); nothing is applied in part",
    ),
    "other width": ({k: v.repeat(1, 2) if "_A" in k else v for k, v in adapter().items()}, "does not fit the network"),
    "one matrix": (without("blocks.0.attn1.to_q.lora_B"), "lacks one of the two matrices"),
    "DoRA": ({**adapter(), "blocks.0.attn1.to_q.dora_scale": torch.ones(24)}, "DoRA"),
    "LoHa": ({"lora_unet_blocks_0_self_attn_q.hada_w1_a": torch.ones(2, 2)}, "LoHa"),
    "LoKr": ({"lora_unet_blocks_0_self_attn_q.lokr_w1": torch.ones(2, 2)}, "LoKr"),
    "text encoder": ({**adapter(), "text_encoder.a.lora_A.weight": torch.ones(2, 2)}, "text encoder"),
    "whole network": (dict(network().state_dict()), "is not a LoRA"),
    "further keys": ({**adapter(), "blocks.0.attn1.to_q.strange": torch.ones(2)}, "keys of no known LoRA layout"),
    "two adapters": (
        adapter() | {k.replace(".weight", ".other.weight"): v for k, v in adapter().items()},
        "several adapters for the same layer",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_others_are_refused_by_name_and_nothing_is_executed_in_part(tmp_path: Path, case: str) -> None:
    state, message = REFUSED[case]
    file = write(tmp_path / "a.safetensors", state)
    with pytest.raises(UsageError, match=message) as error:
        adapters.fuse(network(), str(file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "without its adapter_config.json"),
        ({"peft_type": "LOHA"}, "is a LOHA adapter"),
        ({"peft_type": "LORA", "use_dora": True}, "DoRA"),
        ({"peft_type": "LORA", "init_lora_weights": "pissa_niter_16"}, "also changes the weights"),
    ],
)
def test_configurations_of_peft_that_cannot_be_fused(tmp_path: Path, config: dict | None, message: str) -> None:
    file = write(tmp_path / "adapter_model.safetensors", {f"base_model.model.{k}": v for k, v in adapter().items()})
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=message):
        adapters.fuse(network(), str(file))


def test_one_of_several_files_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no adapter at"):
        adapter_files.find(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="has no adapter in it"):
        adapter_files.find(str(tmp_path))
    for step in ("100", "200"):
        write(tmp_path / f"step-{step}.safetensors", adapter())
    with pytest.raises(
        UsageError, match=r"several adapters \(step-100\.safetensors, step-200\.safetensors\): name one"
    ):
        adapter_files.find(str(tmp_path))
    assert adapter_files.find(str(tmp_path / "step-200.safetensors")).name == "step-200.safetensors"
    (tmp_path / "lfs").mkdir()
    (tmp_path / "lfs" / "a.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UsageError, match="git lfs pull"):
        adapters.fuse(network(), str(tmp_path / "lfs"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a repository ``someone/wan-lora`` in the cache of the hub, as a download leaves it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository, commit = tmp_path / "hub" / "models--someone--wan-lora", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    return snapshot


def test_adapters_of_the_hub_are_those_of_the_files(hub: Path) -> None:
    state = adapter()
    write(hub / "pytorch_lora_weights.safetensors", {LAYOUTS["ComfyUI"](key): value for key, value in state.items()})
    (hub / "README.md").write_text("a model card")
    torch.testing.assert_close(fused(Path("someone/wan-lora")), expected(state))
    (hub / "old").mkdir()
    write(hub / "old" / "step.safetensors", {f"base_model.model.{key}": value for key, value in state.items()})
    (hub / "old" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 3 * RANK}))
    torch.testing.assert_close(fused(Path("someone/wan-lora/old/step.safetensors")), expected(state, 3.0))


def test_adapters_of_the_hub_are_refused_like_files(hub: Path) -> None:
    with pytest.raises(UsageError, match=r"lora= takes a file, a folder or a hub id"):
        adapter_files.find("someone/wan-lora")
    write(hub / "b.safetensors", {key: 0 * value for key, value in adapter().items()})
    with pytest.raises(UsageError, match="changes no weight"):
        adapters.fuse(network(), "someone/wan-lora")
    write(hub / "a.safetensors", adapter())
    with pytest.raises(UsageError, match=r"name one, such as lora=someone/wan-lora/a\.safetensors"):
        adapter_files.find("someone/wan-lora")
    with pytest.raises(UsageError, match=r"has no file c\.safetensors: it has a\.safetensors, b\.safetensors"):
        adapter_files.find("someone/wan-lora/c.safetensors")
    with pytest.raises(UsageError, match=r"as a hub id it cannot be downloaded .*hf download someone/else"):
        adapter_files.find("someone/else")
    with pytest.raises(UsageError, match=r"no adapter at \.\./nowhere"):
        adapter_files.find("../nowhere")


def test_half_precision_rounds_once(tmp_path: Path) -> None:
    half = copy.deepcopy(network()).bfloat16()
    before = {name: value.float() for name, value in half.state_dict().items()}
    adapters.fuse(half, str(write(tmp_path / "a.safetensors", adapter())))
    name = "blocks.0.attn1.to_q"
    update = adapter()[f"{name}.lora_B.weight"] @ adapter()[f"{name}.lora_A.weight"]
    torch.testing.assert_close(
        half.state_dict()[f"{name}.weight"], (before[f"{name}.weight"] + update).bfloat16(), rtol=0, atol=0
    )
