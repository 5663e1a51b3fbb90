"""Folders of video diffusion models as people have them: what is wrong with one, and what to download or convert."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import unlike_weights

WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
EXAMPLE = "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_NUMBER = re.compile(r"(\w+)-(\d{5})-of-(\d{5})(\.\w+)$")


def check(path: str, prompt_file: str) -> None:
    """Check a local pipeline folder; a path that could be a hub id is left to the hub.

    Raises:
        UsageError: it has another layout, lacks parts or files, or has files that are not what they should be.
    """
    root = Path(path)
    if root.is_file():
        raise UsageError(
            f"{path} is a single file: give a folder in the layout of diffusers, such as {_download(EXAMPLE)}"
        )
    if not root.is_dir():
        if path.startswith((".", "/", "~", os.sep)) or path.count("/") > 1:
            raise UsageError(f"there is no folder {path}: give a folder in the layout of diffusers, or a hub id")
        return
    if problem := _other_layout(root):
        raise UsageError(f"{path} {problem}")
    parts = ["transformer", "vae"]
    index = read_json(root / "model_index.json")
    parts += [name for name in ("transformer_2", "image_encoder") if (index.get(name) or [None])[0]]
    if not (root / prompt_file).exists():
        parts += ["text_encoder", "tokenizer"]
    missing = [name for name in parts if not (root / name).is_dir()]
    if missing:
        raise UsageError(f"{path} lacks {', '.join(f'{name}/' for name in missing)}: {_fetch(missing, index)}")
    for name in parts:
        if name != "tokenizer" and (problem := _part(root / name)):
            raise UsageError(f"{path}: {problem}")


def variant(path: str, part: str) -> str | None:
    """The variant (``fp16``, …) of the weights in a part of a local folder that has no others; else None."""
    files = [file for file in (Path(path) / part).glob("*") if file.suffix in WEIGHTS]
    variants = {_SHARD.sub("", file.name).removesuffix(file.suffix).partition(".")[2] for file in files}
    return next(iter(variants)) if len(variants) == 1 and "" not in variants else None


def image_to_video(path: str, channels: int, latent_channels: int, mask_channels: int) -> None:
    """Check that a transformer takes the latent, a mask and an encoded image.

    Raises:
        UsageError: it has the input of a text-to-video or another model.
    """
    wanted = 2 * latent_channels + mask_channels
    if channels != wanted:
        kind = "text-to-video" if channels == latent_channels else "another kind of"
        raise UsageError(
            f"{path} is a {kind} model (its transformer takes {channels} channels, image-to-video takes {wanted}): "
            f"use an image-to-video model, such as {_download(EXAMPLE)}"
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no such file.

    Raises:
        UsageError: the file is damaged or a pointer.
    """
    if not path.exists():
        return {}
    content = path.read_bytes()
    if reason := unlike_weights(content[:64]):
        raise UsageError(f"{path} {reason}")
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}): download it again") from None
    return parsed if isinstance(parsed, dict) else {}


def _other_layout(root: Path) -> str:
    """What a folder is, if it is not a pipeline of diffusers."""
    names = {entry.name for entry in root.iterdir()}
    config = read_json(root / "config.json")
    if {"transformer", "vae"} & names:
        return ""
    if {"high_noise_model", "low_noise_model"} & names:
        return f"has the original layout of Wan2.2: {_fetch_instead('Wan-AI/Wan2.2-I2V-A14B-Diffusers')}"
    original = any(re.match(r"Wan2\.\d_VAE\.pth|models_(t5|clip)_.*\.pth", name) for name in names)
    if (
        original
        or config.get("_class_name") == "WanModel"
        or config.get("model_type") in ("i2v", "t2v", "ti2v", "flf2v")
    ):
        new = "Wan-AI/Wan2.2-TI2V-5B-Diffusers" if "Wan2.2_VAE.pth" in names else EXAMPLE
        return f"has the original layout of Wan: {_fetch_instead(new)}"
    if "Transformer3DModel" in str(config.get("_class_name")):
        return "contains a transformer only: give the folder of the pipeline, which also has vae/"
    if not names:
        return f"is empty: download a model into it, such as {_download(EXAMPLE)}"
    found = ", ".join(sorted(names)[:3])
    return f"is no pipeline of diffusers, which has transformer/ and vae/ (it has {found}): use {_download(EXAMPLE)}"


def _part(folder: Path) -> str:
    """What is wrong with the files of one part; empty if nothing."""
    if not (folder / "config.json").exists():
        return f"{folder.name}/config.json is missing: download the folder {folder.name} again"
    read_json(folder / "config.json")
    files = sorted(file for file in folder.iterdir() if file.suffix in WEIGHTS)
    pointers = [file.name for file in files if "LFS" in unlike_weights(_start(file))]
    if pointers:
        return (
            f"{len(pointers)} of {len(files)} weight files of {folder.name}/ are Git LFS pointers ({pointers[0]}): run "
            "'git lfs pull' in the folder"
        )
    missing = sorted(set(_shards(folder)) - {file.name for file in files})
    if missing:
        return f"{len(missing)} weight files of {folder.name}/ are missing ({', '.join(missing[:3])}): download them"
    if not files:
        return f"{folder.name}/ has no weights: download the folder again"
    for file in files:
        if reason := unlike_weights(_start(file)) or _cut_off(file):
            return f"{folder.name}/{file.name} {reason}"
    return ""


def _shards(folder: Path) -> Iterator[str]:
    """Names of the files that an index or the numbers in names call for."""
    for index in folder.glob("*.index*.json"):
        yield from set(read_json(index).get("weight_map", {}).values())
    for file in folder.iterdir():
        if match := _NUMBER.match(file.name):
            yield from (f"{match[1]}-{k:05d}-of-{match[3]}{match[4]}" for k in range(1, int(match[3]) + 1))


def _cut_off(file: Path) -> str:
    """Whether a safetensors file is shorter than its header says."""
    if file.suffix != ".safetensors":
        return ""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= size - 8:
            return "is cut off or damaged: download it again"
        try:
            header = json.loads(opened.read(length))
        except ValueError:
            return "is damaged: download it again"
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    whole = 8 + length + max(ends, default=0)
    return f"is cut off ({size} of {whole} bytes): download it again" if size < whole else ""


def _start(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(64)


def _download(name: str) -> str:
    return f"'hf download {name}'"


def _fetch_instead(name: str) -> str:
    return (
        f"download the same model in the layout of diffusers ({_download(name)}), or convert it with diffusers' "
        "scripts/convert_wan_to_diffusers.py"
    )


def _fetch(parts: list[str], index: dict[str, Any]) -> str:
    name = index.get("_name_or_path") or "MODEL"
    included = " ".join(f"--include '{part}/*'" for part in parts)
    return f"download the rest, 'hf download {name} {included}'"
