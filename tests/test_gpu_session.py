"""``python -m tests.gpu``: its code paths on the CPU, with small networks and clips."""

from __future__ import annotations

import sys

import pytest
import torch

from tests.gpu import __main__ as session
from tests.gpu import devices_agree, large_model, shared_card
from tests.models import pipelines


def test_without_a_cuda_device_it_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["tests.gpu", "--out", str(tmp_path / "gpu.json")])
    assert session.main() == 0
    assert "no CUDA device" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_fails_fails_the_session(capsys):
    def broken(device: str) -> None:
        raise RuntimeError("no kernel image")

    good = {"embedded": lambda _: {"held": True}, "wan_14b": lambda _: [], "two_workers": lambda _: {"held": True}}
    assert session.passed(session.report("cpu", good))
    assert not session.passed(session.report("cpu", {**good, "embedded": lambda _: {"held": False}}))
    found = session.report("cpu", {**good, "wan_14b": broken})
    assert found["wan_14b"] == {"error": "RuntimeError: no kernel image"}
    assert not session.passed(found)


@pytest.mark.slow
def test_a_device_agrees_with_itself():
    found = devices_agree.compare("cpu", videos=1, methods=("pgd",))
    assert found["held"]
    assert set(found["calls"].values()) == {0.0}
    assert found["videos"]["pgd"] == 0.0
    assert set(found["scores"]) >= {"FR", "L1", "SSIM"}
    assert set(found["scores"].values()) == {0.0}


@pytest.mark.slow
def test_passes_of_a_model_with_random_weights_are_measured(tmp_path):
    transformer = pipelines.wan_transformer(num_attention_heads=2, attention_head_dim=12, ffn_dim=64, num_layers=2)
    pipelines.wan(transformer=transformer, vae=pipelines.wan_vae(base_dim=8)).save_pretrained(tmp_path)
    rows = large_model.measure("cpu", str(tmp_path), (5, 32, 32))
    assert [(row["network"], row["backward"], row["activations"]) for row in rows] == list(large_model.PASSES)
    assert all(row["seconds"] > 0 and row["planned_peak_gb"] > 0 and "error" not in row for row in rows)
    peaks = {(row["network"], row["activations"]): row["planned_peak_gb"] for row in rows if row["backward"]}
    assert peaks["velocity", "offload"] < peaks["velocity", "recompute"] < peaks["velocity", "keep"]


@pytest.mark.slow
def test_two_workers_give_the_same_bits():
    found = shared_card.compare("cpu", videos=3, method="toy_half", dataset="toy_lights")
    assert found["same_bits"]
    assert found["held"]
    assert found["videos"] > 0
