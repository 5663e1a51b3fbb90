"""Results of synthetic methods, drawn from known truths, as the two sides of a gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from vcfe_bench.results.gate.baseline import RECORD_COLUMNS, SCHEME, Description, FeaturesByHash, Result
from vcfe_bench.runs.configuration import Configuration, MethodIdentity, NetworkIdentity, short_hash
from vcfe_bench.runs.records import ScoredCard

RATES = {"FR": 0.9, "semantic_FR": 0.7, "valid_share": 0.6}
MEANS = {"SSIM": 0.9, "LPIPS(st-alex)": 0.1}
DISTANCE = "FVD(i3d)"
DECIDING = (*RATES, *MEANS, DISTANCE)
NETWORK, WIDTH = "net", 8


def _card(name: str, level: str, direction: str, unit: str = "") -> ScoredCard:
    rest = {"unit": unit, "version": 1, "criterion": "validity", "unanswered": 0.0 if unit == "rate" else None}
    return ScoredCard.read({"name": name, "spec": name.lower(), "level": level, "direction": direction, **rest})


CARDS = (
    *(_card(name, "sample", "higher", "rate") for name in RATES),
    _card("SSIM", "sample", "higher"),
    _card("LPIPS(st-alex)", "sample", "lower"),
    replace(_card(DISTANCE, "set", "lower"), spec="fvd_i3d", network=NETWORK),
)


def _configuration(videos: int, methods: int) -> Configuration:
    network = NetworkIdentity("net", "x")
    names = {f"m{number}": MethodIdentity("x", "", 1) for number in range(methods)}
    return Configuration(names, "videos", "test", videos, "one", network, ("a", "b"), network, 0, 2)


def draw(
    rng: np.random.Generator,
    videos: int,
    methods: int = 1,
    truth: Mapping[str, float] | None = None,
    shift: float = 1.0,
) -> Result:
    """One draw of the results of ``methods`` methods over ``videos`` videos.

    ``truth`` are the rates and means that differ from ``RATES`` and ``MEANS``, and ``shift`` is how far features of
    counterfactuals lie from those of the originals. What a video contributes to its values is the same in every draw.
    """
    true = {**RATES, **MEANS, **(truth or {})}
    of_video = np.random.default_rng(0)
    originals = of_video.normal(size=(videos, 1, WIDTH))
    features: dict[str, np.ndarray] = {f"o{i}": originals[i].astype(np.float16) for i in range(videos)}
    parts, rows = [], []
    for number in range(methods):
        effect = {name: of_video.normal(size=videos) for name in MEANS}
        columns = {name: (rng.random(videos) < true[name]).astype(float) for name in RATES}
        columns |= {name: true[name] + 0.05 * effect[name] + 0.02 * rng.normal(size=videos) for name in MEANS}
        ids = [f"{number}-{i}-{rng.integers(1 << 60)}" for i in range(videos)]
        edits = originals + shift * (1 + rng.normal(size=originals.shape))
        features |= {id: edit.astype(np.float16) for id, edit in zip(ids, edits, strict=True)}
        parts.append(
            pd.DataFrame(
                {
                    "method": f"m{number}",
                    "sample": [f"v{i:03d}" for i in range(videos)],
                    "goal": "class=1",
                    "status": "ok",
                    "reason": "",
                    "video_sha256": ids,
                    "original_sha256": [f"o{i}" for i in range(videos)],
                    "seed": 0,
                    "seconds": 1.0,
                    **columns,
                }
            )
        )
        row: dict[str, object] = {"method": f"m{number}", "n": videos, "failed": 0, "skipped": 0}
        for name in (*RATES, *MEANS):
            row |= {name: columns[name].mean(), f"{name}_low": 0.0, f"{name}_high": 1.0}
        rows.append({**row, DISTANCE: 1.0, f"{DISTANCE}_low": 0.5, f"{DISTANCE}_high": 1.5})
    configuration = _configuration(videos, methods)
    about = Description(
        scheme=SCHEME,
        vcfe_bench="0",
        revision=None,
        configuration_hash=short_hash(configuration.write()),
        configuration=configuration,
        methods=tuple(configuration.methods),
        metrics=CARDS,
        deciding=DECIDING,
        seeds=(0,),
    )
    records = pd.concat(parts, ignore_index=True).astype(RECORD_COLUMNS)

    def stored(network: str) -> FeaturesByHash:
        return features if network == NETWORK else {}

    return Result(pd.DataFrame(rows), about, records, stored)
