"""Checkpoints in the layouts of training frameworks, and what is said of files that cannot be used."""

from __future__ import annotations

import os
import pickle
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vcfe_bench.core.checkpoints import load_into
from vcfe_bench.core.weights import CorruptWeights, WeightsUnavailable

State = dict[str, Tensor]


class Tiny(nn.Module):
    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def weights(seed: int = 1) -> State:
    torch.manual_seed(seed)
    return {name: torch.randn(value.shape).to(value.dtype) for name, value in Tiny().state_dict().items()}


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def optimiser() -> dict[str, Any]:
    network = Tiny()
    adam = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 3)).sum().backward()
    adam.step()
    return adam.state_dict()


class Other:
    """An object as trainers keep in their checkpoints."""

    def __init__(self) -> None:
        self.settings = {"lr": 0.1}


def averaged(state: State) -> State:
    network = Tiny()
    network.load_state_dict(state)
    return AveragedModel(network).state_dict()


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "plain": lambda w: w,
    "state_dict": lambda w: {"state_dict": w},
    "model_state_dict": lambda w: {"epoch": 3, "model_state_dict": w, "optimizer_state_dict": optimiser()},
    "model": lambda w: {"model": w, "args": Namespace(lr=0.1)},
    "net": lambda w: {"net": w, "acc": np.float64(0.9)},
    "Lightning": lambda w: {
        "state_dict": under("model.", w) | {"criterion.weight": torch.ones(2)},
        "hyper_parameters": Namespace(out=Path("runs")),
        "optimizer_states": [optimiser()],
    },
    "mmaction2": lambda w: {"meta": {"seed": np.int64(3), "hook": Other()}, "state_dict": w},
    "DataParallel": lambda w: under("module.", w),
    "torch.compile": lambda w: under("_orig_mod.", w),
    "compiled Lightning": lambda w: {"state_dict": under("model._orig_mod.", w)},
    "wrapped part": lambda w: {k.replace("body.", "body.module."): v for k, v in w.items()},
    "backbone of a detector": lambda w: under("backbone.", w) | {"neck.weight": torch.ones(3)},
    "EMA only": lambda w: {"state_dict_ema": w},
    "EMA in a callback": lambda w: {"callbacks": {"EMA": {"ema_state_dict": under("model.", w)}}},
    "AveragedModel": lambda w: {"model": averaged(w)},
    "old batch normalisation": lambda w: {k: v for k, v in w.items() if "num_batches" not in k},
}


def filled(path: Path, network: nn.Module | None = None) -> State:
    network = network or Tiny()
    load_into(network, path)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    return dict(network.state_dict())


def same(one: State, other: State) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items() if "num_batches" not in name)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_understood(tmp_path: Path, layout: str, zipped: bool) -> None:
    torch.save(LAYOUTS[layout](weights()), tmp_path / "w", _use_new_zipfile_serialization=zipped)
    assert same(weights(), filled(tmp_path / "w"))


@given(st.lists(st.sampled_from(["module", "_orig_mod", "model", "net", "encoder", "0"]), max_size=4), st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_prefix_is_found(tmp_path_factory: pytest.TempPathFactory, parts: list[str], nested: bool) -> None:
    state = under("".join(f"{part}." for part in parts), weights())
    path = tmp_path_factory.mktemp("w") / "w.pt"
    torch.save({"state_dict": state} if nested else state, path)
    assert same(weights(), filled(path))


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    save_file(under("module.", weights()), tmp_path / "w.bin")
    assert same(weights(), filled(tmp_path / "w.bin"))


def test_a_wrapped_network_is_filled(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "w.pt")
    wrapped = filled(tmp_path / "w.pt", nn.DataParallel(Tiny()))
    assert same(under("module.", weights()), wrapped)


def test_old_names_of_weight_normalisation_are_read(tmp_path: Path) -> None:
    new = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    old = {"bias": torch.ones(2), "weight_g": torch.full((2, 1), 2.0), "weight_v": torch.eye(2)}
    torch.save(old, tmp_path / "w.pt")
    load_into(new, tmp_path / "w.pt")
    assert torch.equal(new.weight, 2 * torch.eye(2))


def test_current_weights_are_preferred_to_averaged_ones_and_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"ema": weights(2), "model": weights(1)}, tmp_path / "w.pt")
    assert same(weights(1), filled(tmp_path / "w.pt"))
    assert "those of model, not those of ema" in capsys.readouterr().err


def test_of_two_networks_that_fit_none_is_guessed(tmp_path: Path) -> None:
    torch.save(under("student.", weights(1)) | under("teacher.", weights(2)), tmp_path / "w.pt")
    with pytest.raises(CorruptWeights, match=r"several weights of this network.*student.*teacher"):
        filled(tmp_path / "w.pt")
    torch.save(under("student.", weights(1)) | under("teacher.", weights(1)), tmp_path / "w.pt")
    assert same(weights(1), filled(tmp_path / "w.pt"))


def test_a_message_lists_three_names_of_each_kind_and_what_was_tried(tmp_path: Path) -> None:
    state = {f"extra{n}": torch.ones(1) for n in range(5)}
    state |= {name: value for name, value in weights().items() if not name.startswith("body.1")}
    state["head.weight"], state["head.bias"] = torch.ones(7, 4), torch.ones(7)
    torch.save({"state_dict": under("module.", state)}, tmp_path / "w.pt")
    with pytest.raises(CorruptWeights) as error:
        filled(tmp_path / "w.pt")
    message = str(error.value)
    assert "4 missing (body.1.weight, body.1.bias, body.1.running_mean and 1 more)" in message
    assert "5 unexpected (extra0, extra1, extra2 and 2 more)" in message
    assert "2 of another shape (head.weight [7, 4] instead of [2, 4], head.bias [7] instead of [2])" in message
    assert "tried: state_dict without 'module.', state_dict;" in message
    assert "\n" not in message


class Trap:
    """Unpickling an instance creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_is_executed(tmp_path: Path, zipped: bool) -> None:
    content = {"state_dict": weights(), "hook": Trap(tmp_path / "executed")}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(content))
    for name in ("w.pt", "plain.pt"):
        with pytest.raises(CorruptWeights, match="cannot be read"):
            filled(tmp_path / name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [Tiny(), {"model": Tiny(), "epoch": 2}, nn.DataParallel(Tiny())])
def test_a_pickled_network_is_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CorruptWeights, match=r"pickled object of the class \w+ .* save model\.state_dict\(\)"):
        filled(tmp_path / "w.pt")
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CorruptWeights, match=r"save model\.state_dict\(\)"):
        filled(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n", "Keras"),
        (b"nothing of the kind" * 9, "cannot be read as weights"),
    ],
)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_files_of_other_kinds_are_named_and_no_deletion_is_advised(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorruptWeights, match=message) as error:
        filled(tmp_path / name)
    assert "delete" not in str(error.value)
    assert "replace" not in str(error.value)


def test_folders_missing_files_and_scripted_networks_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptWeights, match="is a folder"):
        filled(tmp_path)
    with pytest.raises(WeightsUnavailable, match="there is no file"):
        filled(tmp_path / "nowhere.pt")
    torch.save({"epoch": 3, "loss": 0.1}, tmp_path / "w.pt")
    with pytest.raises(CorruptWeights, match=r"it has epoch, loss"):
        filled(tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_network_is_named(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "w.pt")
    with pytest.raises(CorruptWeights, match="TorchScript"):
        filled(tmp_path / "w.pt")
