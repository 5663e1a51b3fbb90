from __future__ import annotations

from math import ceil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.test_cli import call
from vcfe_bench.models.trained_target import FileParams
from vcfe_bench.models.video_swin import VideoSwinTarget
from vcfe_bench.plugins.registry import DATASETS
from vcfe_bench.training.recipes import RECIPES, choose
from vcfe_bench.training.target import TargetRecipe

SMALL = "shape_moving[frames=9,size=32]"


@pytest.mark.parametrize(
    ("name", "clip", "epochs"),
    [("m_swin", (32, 224, 224), 1), ("e_swin", (16, 512, 512), 15), ("a_swin_r", (16, 448, 448), 30)],
)
def test_recipes_of_the_paper_match_its_table(name, clip, epochs):
    published = RECIPES[name]
    config = published.recipe.config(DATASETS.build(published.dataset))
    assert (config.length, *config.clip[1:]) == clip
    assert config.stride == 2
    assert published.recipe.epochs == epochs
    assert published.recipe.imagenet
    assert bool(published.recipe.adversary) == (name == "a_swin_r")


def test_the_recipe_for_ultrasound_is_a_regressors():
    published = RECIPES["echo_swin"]
    config = published.recipe.config(DATASETS.build(published.dataset))
    assert (config.length, config.classes, config.limits) == (32, (), (10.0, 80.0))


@given(videos=st.integers(1, 10**6), epochs=st.integers(1, 100), batch=st.integers(1, 512))
def test_every_epoch_passes_over_the_split(videos, epochs, batch):
    updates = TargetRecipe(epochs=epochs, batch=batch).updates(videos)
    assert (updates - 1) * batch < epochs * videos <= updates * batch
    assert TargetRecipe(steps=7, batch=batch).updates(videos) == 7


def test_options_override_the_recipe():
    chosen = choose("e_swin", steps=10, batch=4, size="mini")
    assert (chosen.updates(1000), chosen.batch, chosen.size, chosen.length) == (10, 4, "mini", 16)
    assert choose("e_swin", epochs=2).updates(1000) == ceil(2 * 1000 / 64)
    assert choose("embedded") == TargetRecipe()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "e_swim"], "unknown recipe 'e_swim'; did you mean 'e_swin'?"),
        (["--size", "swin3d_x"], "--size swin3d_x: Input should be 'mini', 'swin3d_t'"),
        (["--steps", "1", "--epochs", "1"], "--steps and --epochs both set the length of training: give only one"),
        (["--length", "6"], f"a clip of 6 frames at a stride of 2 needs 11; the videos of '{SMALL}' have 9"),
        pytest.param(
            ["--length", "2", "--precision", "fp16"],
            "fp16 needs a GPU: choose --precision bf16 or no",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has this precision"),
        ),
        (["--length", "2", "--precision", "int8"], "--precision int8: Input should be '', 'no', 'bf16' or 'fp16'"),
        (["--length", "2", "--start", "gone.pt"], "there is no file gone.pt"),
    ],
)
def test_errors_of_training_are_reported_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "train", "target", SMALL, *arguments, "--out", "target.safetensors") == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"vcfe-bench: {message}")
    assert errors.count("\n") == 1
    assert not Path("target.safetensors").exists()


def test_the_command_writes_a_usable_target(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = ["--length", "4", "--steps", "2", "--batch", "2", "--out", "new/target.safetensors"]
    assert call(monkeypatch, "train", "target", SMALL, *short) == 0
    assert "video_swin[weights=new/target.safetensors]" in capsys.readouterr().out
    target = VideoSwinTarget(FileParams(weights="new/target.safetensors"))
    dataset = DATASETS.build(SMALL)
    assert (target.classes, target.clip) == (dataset.classes, dataset.shape)
    assert target(dataset.sample("validation", 0).video[None]).shape == (1, 4)


def test_help_and_page_list_every_recipe(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert call(monkeypatch, "train", "target", "--help") == 0
    shown = capsys.readouterr().out
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    for name, published in RECIPES.items():
        assert name in shown
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in row.split("|")[2:7]]
        frames = f"{published.recipe.length} frames" + (", every 2nd" if published.recipe.stride == 2 else "")
        passes = str(published.recipe.epochs or f"{published.recipe.steps} updates")
        names = ", ".join(f"`{spec}`" for spec in published.dataset.split(", "))
        assert cells == [names, f"`{published.recipe.size}`", frames, passes, str(published.recipe.batch)]
