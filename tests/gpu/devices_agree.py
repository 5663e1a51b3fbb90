"""The embedded world on a device compared with the CPU: single calls, methods, and scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from vcfe_bench.core import devices
from vcfe_bench.core.weights import ZOO
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.plugins import registry
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request
from vcfe_bench.video import lossless
from vcfe_bench.workflows.run import run

DATASET, TARGET = "shape_moving", "m_swin"
GENERATOR = f"wan[path={ZOO / 'wan_shape_moving'},dtype=float32,activations=keep]"
"""The shipped generator, on the default device."""
METHODS = ("pgd", "bttf", "ldvice")
METRICS = ("fr", "confidence_after", "l1", "ssim", "lpips_st_alex", "warping_error")
CALL, VIDEO, SCORE = 1e-3, 0.02, 0.05
"""Tolerances of ``docs/precision.md``: of a call, as a share of its largest value; of a video and a score, absolute."""


def compare(device: str, videos: int = 2, methods: Sequence[str] = METHODS) -> dict[str, Any]:
    """Differences between the CPU and a device, with their tolerances and whether all hold; and seconds on both."""
    calls = {name: _relative(*outputs) for name, outputs in _calls(device).items()}
    with TemporaryDirectory() as folder:
        runs, seconds = [], []
        for number, place in enumerate(("cpu", device)):
            devices.use(place)
            start = perf_counter()
            request = Request(tuple(methods), DATASET, "validation", videos, target=TARGET, generator=GENERATOR)
            runs.append(run(request, Path(folder, str(number)), METRICS, executor=InProcess()))
            seconds.append(round(perf_counter() - start, 1))
        devices.use("auto")
        videos_differ, scores = pictures(*runs), _scores(*runs)
    held = (
        max(calls.values()) <= CALL
        and max(videos_differ.values(), default=0.0) <= VIDEO
        and max(scores.values(), default=0.0) <= SCORE
    )
    return {
        "calls": calls,
        "videos": videos_differ,
        "scores": scores,
        "tolerances": {"calls": CALL, "videos": VIDEO, "scores": SCORE},
        "held": bool(held),
        "seconds": {"cpu": seconds[0], "device": seconds[1]},
    }


@torch.no_grad()
def _calls(device: str) -> dict[str, list[Tensor]]:
    """Outputs of each network on the CPU and on the device, for the same input."""
    world = registry.DATASETS.build(DATASET)
    video = world.sample("validation", 0).video[None]
    noise = torch.Generator().manual_seed(0)
    found: dict[str, list[Tensor]] = {name: [] for name in ("target", "encode", "velocity", "decode")}
    for place in ("cpu", device):
        devices.use(place)
        target, generator = registry.frozen_target(TARGET), registry.GENERATORS.build(GENERATOR)
        condition = generator.condition(video[:, 0], world.shape)
        latent = torch.randn(1, *generator.latent_shape(world.shape), generator=noise.manual_seed(0))
        found["target"].append(target(video).cpu())
        found["encode"].append(generator.encode(video))
        found["velocity"].append(generator.velocity(latent, 0.7, condition))
        found["decode"].append(generator.decode(latent))
    devices.use("auto")
    return found


def _relative(cpu: Tensor, other: Tensor) -> float:
    return float((cpu - other).abs().max() / cpu.abs().max())


def pictures(cpu: Path, other: Path) -> dict[str, float]:
    """Mean absolute difference of the counterfactuals in [0, 1], by method: that of the worst video."""
    worst: dict[str, float] = {}
    ours, theirs = RunDirectory(cpu), RunDirectory(other)
    results = theirs.records()
    for id, record in ours.records().items():
        twin = results[id]
        if record.video and twin.video:
            first, second = (
                lossless.dequantise(store.video(one)) for store, one in ((ours, record.video), (theirs, twin.video))
            )
            worst[record.method] = max(worst.get(record.method, 0.0), float((first - second).abs().mean()))
    return worst


def _scores(cpu: Path, other: Path) -> dict[str, float]:
    """Largest absolute difference of a score of one counterfactual, by metric."""
    ours, theirs = (pd.read_parquet(path / "records.parquet").set_index("id") for path in (cpu, other))
    names = [card.name for card in RunDirectory(cpu).cards() if card.level == "sample" and card.name in ours]
    return {name: float((ours[name] - theirs[name]).abs().max()) for name in names if ours[name].notna().any()}
