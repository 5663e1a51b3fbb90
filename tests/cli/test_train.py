from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from vcfe_toys.dataset import Lights
from vcfe_toys.methods import Half

from tests.harness.test_cli import call
from vcfe_bench.core import weights
from vcfe_bench.models.wan import Wan, WanParams
from vcfe_bench.training import transformer, vae
from vcfe_bench.training.transformer import TransformerRecipe
from vcfe_bench.training.vae import VAERecipe


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toy_lights", "--method", "toy_half"], "method 'toy_half' has nothing to train"),
        (["toy_lights", "--method", "toy_halv"], "unknown method 'toy_halv'; did you mean 'toy_half'?"),
    ],
)
def test_explainer_needs_a_method_that_learns(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "train", "explainer", *arguments, "--out", "explainer.safetensors") == 2
    assert capsys.readouterr().err.startswith(f"vcfe-bench: {message}")
    assert not Path("explainer.safetensors").exists()


def test_explainer_needs_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lights, "target", "")
    out = tmp_path / "explainer.safetensors"
    assert call(monkeypatch, "train", "explainer", "toy_lights", "--method", "toy_half", "--out", str(out)) == 2
    assert capsys.readouterr().err.startswith("vcfe-bench: dataset 'toy_lights' has no target of its own")


def test_explainer_stores_what_the_method_has_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self, dataset, target, folder, steps, log=print):
        grown = torch.full((2,), float(steps)) * target(dataset.sample("train", 0).video[None]).numel()
        return {"grown": grown, "frozen": torch.tensor(not any(p.requires_grad for p in target.parameters()))}

    monkeypatch.setattr(Half, "fit", fit)
    out = tmp_path / "new" / "explainer.safetensors"
    arguments = ["toy_lights", "--method", "toy_half", "--steps", "5", "--out", str(out)]
    assert call(monkeypatch, "train", "explainer", *arguments) == 0
    stored = weights.read(out)
    assert stored["grown"].tolist() == [15, 15]
    assert stored["frozen"]


def test_c3d_resnet_writes_weights_that_its_target_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vcfe_bench.models.c3d_resnet import C3DResNetTarget
    from vcfe_bench.models.trained_target import FileParams

    out = tmp_path / "c3d.safetensors"
    folder = str(tmp_path / "checkpoints")
    arguments = ["toy_lights", "--steps", "2", "--fc", "2", "--out", str(out), "--checkpoints", folder]
    assert call(monkeypatch, "train", "c3d_resnet", *arguments) == 0
    assert C3DResNetTarget(FileParams(str(out)))(torch.rand(1, 5, 3, 32, 32)).shape == (1, 3)


def test_a_small_wan_needs_muon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    assert call(monkeypatch, "train", "generator", "shape_moving[frames=9,size=32]", "--out", "wan") == 2
    assert capsys.readouterr().err.startswith("vcfe-bench: training a small Wan needs torch 2.9 or newer")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9 has no Muon optimiser")
def test_a_small_wan_in_few_steps_and_its_checkpoints_are_of_one_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vae, "VAERecipe", partial(VAERecipe, channels=8, latent_channels=4, patch=2))
    small = {"heads": 2, "head_width": 12, "layers": 1, "feed_forward": 32, "text_width": 8}
    monkeypatch.setattr(transformer, "TransformerRecipe", partial(TransformerRecipe, **small))
    arguments = ["--steps", "2", "--out", "wan"]
    assert call(monkeypatch, "train", "generator", "shape_moving[frames=9,size=32]", *arguments) == 0
    assert "step 2/2" in capsys.readouterr().out
    assert Wan(WanParams(path="wan", dtype="float32")).latent_shape((9, 32, 32)) == (4, 3, 4, 4)
    assert (
        call(
            monkeypatch,
            "train",
            "autoencoder",
            "shape_moving[frames=9,size=32]",
            "--steps",
            "3",
            "--out",
            "ae",
            "--checkpoints",
            "of_its_own",
        )
        == 0
    )
    assert "step 3/3" in capsys.readouterr().out
    reused = ["--autoencoder", "ae", "--steps", "2", "--out", "reused", "--checkpoints", "reusing"]
    assert call(monkeypatch, "train", "generator", "shape_moving[frames=9,size=32]", *reused) == 0
    assert (
        Path("reused/vae/diffusion_pytorch_model.safetensors").read_bytes()
        == Path("ae/diffusion_pytorch_model.safetensors").read_bytes()
    )
    capsys.readouterr()
    assert call(monkeypatch, "train", "generator", "shape_moving[frames=9,size=32,look=other]", *arguments) == 2
    assert "vae.pt belongs to another training" in capsys.readouterr().err
