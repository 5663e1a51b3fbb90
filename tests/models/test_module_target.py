"""The user's own networks, by import path."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import CorruptWeights
from vcfe_bench.models.module_target import ModuleParams, ModuleTarget

SOURCE = """
import torch
from torch import nn


class Colours(nn.Module):
    '''Weighted mean of each colour.'''

    def __init__(self, colours=3):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(colours))

    def forward(self, clip):
        assert clip.shape[1:] == (3, 4, 16, 16), clip.shape
        return self.weight * clip.mean(dim=(2, 3, 4))


def build():
    return Colours().double()


def grey():
    return 'grey'


def broken():
    return 1 / 0


ready = Colours()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the current folder, which is not on the path; unloaded after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    Path("own_colours.py").write_text(SOURCE)
    Path("labels.txt").write_text("red\ngreen\nblue\n")


def params(**rest: Any) -> ModuleParams:
    return ModuleParams(**{"build": "own_colours:build", "frames": 4, "size": 16, **rest})


@pytest.mark.parametrize("build", ["build", "Colours", "ready"])
def test_functions_classes_and_networks_can_be_imported(build: str) -> None:
    target = ModuleTarget(
        params(build=f"own_colours:{build}", classes="labels.txt", mean=(0.5, 0.25, 0.0), std=(0.1, 0.5, 2.0))
    )
    video = torch.tensor([0.7, 0.5, 1.0]).view(1, 1, 3, 1, 1).expand(2, 9, 3, 20, 30)
    torch.testing.assert_close(target(video), torch.tensor([[2.0, 0.5, 0.5]] * 2))
    assert target.classes == ("red", "green", "blue")
    assert target.clip == (4, 16, 16)
    assert not target.training
    assert not any(parameter.requires_grad for parameter in target.parameters())


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_checkpoints_are_read(suffix: str) -> None:
    state = {"weight": torch.tensor([1.0, 2.0, 3.0]).half()}
    save_file(state, "own.safetensors")
    torch.save(state, "own.pt")
    target = ModuleTarget(params(weights=f"own{suffix}", mean=(0, 0, 0), std=(1, 1, 1)))
    torch.testing.assert_close(target(torch.full((1, 4, 3, 16, 16), 0.5)), torch.tensor([[0.5, 1.0, 1.5]]))


def test_nothing_inside_a_checkpoint_is_executed() -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return Path.touch, (Path("sprung"),)

    torch.save({"weight": Trap()}, "trap.pt")
    with pytest.raises(CorruptWeights, match=r"trap\.pt cannot be read as weights"):
        ModuleTarget(params(weights="trap.pt"))
    assert not Path("sprung").exists()


def test_the_fingerprint_depends_on_the_source_of_the_network() -> None:
    before = ModuleTarget(params()).fingerprint
    assert ModuleTarget(params()).fingerprint == before
    assert ModuleTarget(params(std=(1, 1, 1))).fingerprint != before
    Path("own_colours.py").write_text(SOURCE.replace("return self.weight", "return 2 * self.weight"))
    del sys.modules["own_colours"]
    assert ModuleTarget(params()).fingerprint != before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"build": ""}, r"build= is not of the form package\.module:name"),
        ({"build": "own_colours"}, r"build=own_colours is not of the form package\.module:name"),
        ({"build": "own_colors:build"}, "cannot import own_colors from here: ModuleNotFoundError"),
        ({"build": "own_colours:biuld"}, r"own_colours has no 'biuld'; did you mean 'build'\?"),
        ({"build": "own_colours:grey"}, r"own_colours:grey returned a str, not a torch\.nn\.Module"),
        ({"build": "own_colours:broken"}, r"own_colours:broken\(\) failed: ZeroDivisionError"),
        ({"weights": "nowhere.safetensors"}, "there is no file nowhere.safetensors"),
        ({"classes": "nowhere.txt"}, "cannot read the class names in nowhere.txt"),
        ({"std": (0.1, 0.0, 0.1)}, "every channel's has to be positive"),
    ],
)
def test_errors_are_reported(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ModuleTarget(params(**wrong))
