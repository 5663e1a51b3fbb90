"""Folders of Wan models as people have them: what is said of those that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vcfe_bench.core.errors import UsageError
from vcfe_bench.models import pipeline_folder

PROMPT = "prompt_embeds.safetensors"
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline with a stored prompt."""
    for part in ("transformer", "vae"):
        (tmp_path / "wan" / part).mkdir(parents=True)
        (tmp_path / "wan" / part / "config.json").write_text("{}")
        save_file({"w": torch.ones(99)}, tmp_path / "wan" / part / WEIGHTS)
    (tmp_path / "wan" / PROMPT).write_bytes(b"")
    return tmp_path / "wan"


def test_a_whole_folder_and_a_hub_id_are_left_alone(folder: Path) -> None:
    pipeline_folder.check(str(folder), PROMPT)
    pipeline_folder.check("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", PROMPT)


def empty(folder: Path, *names: str) -> None:
    """Replace the content of the folder by empty files and folders of these names."""
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    for name in names:
        (folder / name).mkdir() if "." not in name else (folder / name).write_text("{}")


def index(folder: Path) -> None:
    files = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "transformer" / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": files}))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "original 2.1": (lambda f: empty(f, "Wan2.1_VAE.pth", "config.json"), "original layout of Wan: .*hf download"),
    "original by its weights": (lambda f: empty(f, "models_t5_umt5-xxl-enc-bf16.pth"), "original layout of Wan"),
    "original 2.2": (lambda f: empty(f, "high_noise_model", "low_noise_model"), "original layout of Wan2.2"),
    "original 5B": (lambda f: empty(f, "Wan2.2_VAE.pth"), "Wan2.2-TI2V-5B-Diffusers"),
    "transformer only": (
        lambda f: (empty(f), (f / "config.json").write_text('{"_class_name": "WanTransformer3DModel"}')),
        "a transformer only",
    ),
    "original config": (
        lambda f: (empty(f), (f / "config.json").write_text('{"_class_name": "WanModel"}')),
        "original layout",
    ),
    "nothing": (empty, "is empty"),
    "something else": (lambda f: empty(f, "notes.txt"), r"is no pipeline of diffusers.*notes\.txt"),
    "no autoencoder": (lambda f: (f / "vae").rename(f / "vea"), r"lacks vae/: download the rest"),
    "no text encoder": (lambda f: (f / PROMPT).unlink(), r"lacks text_encoder/, tokenizer/"),
    "no image encoder": (
        lambda f: (f / "model_index.json").write_text('{"image_encoder": ["transformers", "CLIPVisionModel"]}'),
        r"lacks image_encoder/",
    ),
    "no configuration": (lambda f: (f / "vae" / "config.json").unlink(), r"vae/config\.json is missing"),
    "damaged configuration": (lambda f: (f / "vae" / "config.json").write_text("{"), r"config\.json is damaged"),
    "no weights": (lambda f: (f / "vae" / WEIGHTS).unlink(), "vae/ has no weights"),
    "pointer": (
        lambda f: (f / "transformer" / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid"),
        "1 of 1 weight files of transformer/ are Git LFS pointers",
    ),
    "pointer of the configuration": (
        lambda f: (f / "vae" / "config.json").write_text("version https://git-lfs.github.com/spec/v1\noid"),
        "git lfs pull",
    ),
    "missing shards": (index, r"2 weight files of transformer/ are missing \(model-00001"),
    "a missing shard without an index": (
        lambda f: (f / "vae" / WEIGHTS).rename(f / "vae" / "model-00002-of-00003.safetensors"),
        r"2 weight files of vae/ are missing \(model-00001-of-00003\.safetensors, model-00003",
    ),
    "cut off": (lambda f: cut(f / "vae" / WEIGHTS), r"is cut off \(\d+ of \d+ bytes\)"),
    "web page": (lambda f: (f / "vae" / WEIGHTS).write_text("<!DOCTYPE html>"), "is a web page"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_in_one_line(folder: Path, fault: str) -> None:
    break_it, message = FAULTS[fault]
    break_it(folder)
    with pytest.raises(UsageError, match=message) as error:
        pipeline_folder.check(str(folder), PROMPT)
    assert "\n" not in str(error.value)


def test_single_files_and_missing_folders(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a single file"):
        pipeline_folder.check(str(folder / "vae" / WEIGHTS), PROMPT)
    for path in (str(folder / "nowhere"), "./wan", "models/wan/i2v"):
        with pytest.raises(UsageError, match="there is no folder"):
            pipeline_folder.check(path, PROMPT)


@pytest.mark.parametrize(
    ("names", "variant"),
    [
        (["m.safetensors"], None),
        (["m.fp16.safetensors"], "fp16"),
        (["m.fp16.safetensors", "m.safetensors"], None),
        (["m.fp16-00001-of-00002.safetensors", "m.fp16-00002-of-00002.safetensors"], "fp16"),
        (["m-00001-of-00002.bf16.safetensors"], "bf16"),
        (["m-00001-of-00002.safetensors"], None),
    ],
)
def test_variants_are_read_where_there_is_nothing_else(tmp_path: Path, names: list[str], variant: str | None) -> None:
    (tmp_path / "vae").mkdir()
    for name in names:
        (tmp_path / "vae" / name).write_bytes(b"")
    assert pipeline_folder.variant(str(tmp_path), "vae") == variant


def test_text_to_video_is_refused() -> None:
    pipeline_folder.image_to_video("x", 36, 16, 4)
    with pytest.raises(UsageError, match=r"text-to-video model .* takes 16 channels, image-to-video takes 36"):
        pipeline_folder.image_to_video("x", 16, 16, 4)
    with pytest.raises(UsageError, match="another kind"):
        pipeline_folder.image_to_video("x", 32, 16, 4)
