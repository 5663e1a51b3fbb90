"""Training on two processes, as ``accelerate launch`` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vcfe_bench.core import weights
from vcfe_bench.plugins.registry import DATASETS
from vcfe_bench.training import target
from vcfe_bench.training.target import TargetRecipe

SPEC = "shape_moving[frames=9,size=32]"


def _moved(state: dict[str, torch.Tensor], start: torch.nn.Module) -> torch.Tensor:
    """All changes of the weights in one vector."""
    return torch.cat([(state[name] - p).flatten() for name, p in start.state_dict().items()])


@pytest.mark.slow
def test_two_processes_share_a_batch(tmp_path: Path) -> None:
    dataset, recipe = DATASETS.build(SPEC), TargetRecipe(length=4, steps=3, batch=4)

    def trained(name: str, recipe: TargetRecipe) -> torch.nn.Module:
        return target.train(dataset, tmp_path / name, recipe, str)

    start = trained("start", replace(recipe, steps=1, lr=0))
    alone = _moved(trained("alone", recipe).state_dict(), start)
    half = _moved(trained("half", replace(recipe, batch=2)).state_dict(), start)
    launch = ["--cpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--main_process_port=0"]
    script = str(Path(sys.executable).with_name("vcfe-bench"))
    options = ["--length=4", "--steps=3", "--batch=4", "--checkpoints=both", "--out=both.safetensors"]
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *launch, script, "train", "target", SPEC, *options],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 3/3") == 1
    both = _moved(weights.read(tmp_path / "both.safetensors"), start)
    assert float((both - alone).norm() / alone.norm()) < 0.02
    assert float((half - alone).norm() / alone.norm()) > 0.2
