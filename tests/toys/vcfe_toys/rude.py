"""A method that breaks one rule of the contract at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.goals import Goal
from vcfe_bench.interfaces import Context, Dataset, Explanation, Generator, Method, Query, Target


@validated(frozen=True, config={"extra": "forbid"})
class RudeParams:
    """``fault``: the rule that the method breaks; empty for none."""

    fault: str = ""


class Rude(Method):
    """Darkens videos, in pairs."""

    Params = RudeParams
    params: RudeParams
    width = 2
    calls = 0

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        return False if self.params.fault == "supports" else None  # type: ignore[return-value]

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        self.calls += 1
        videos = torch.stack([query.sample.video for query in queries]) / 2
        trace: dict[str, list] = {"loss": [1.0]}
        artefacts = {"mask": np.ones(2)}
        match self.params.fault:
            case "raise":
                raise ValueError("not today")
            case "count":
                return []
            case "shape":
                videos = videos[:, 1:]
            case "type":
                videos = (255 * videos).to(torch.uint8)
            case "range":
                videos = 255 * videos
            case "nan":
                videos[1, 0, 0, 0, 0] = float("nan")
            case "trace":
                trace["norm"] = [1.0, 2.0]
            case "artefacts":
                artefacts = {"mask": np.array([None])}
            case "calls":
                hidden = context.target._forward.__closure__  # type: ignore[attr-defined]
                next(c.cell_contents for c in hidden if isinstance(c.cell_contents, Target))(videos)
            case "inputs":
                queries[0].sample.video.mul_(0.5)
            case "target":
                context.target.train()
            case "luck":
                videos = videos + torch.rand(())
            case "state":
                videos = videos + self.calls / 50
            case "neighbours":
                videos = (videos + videos.mean(dim=0)) / 2
        return [Explanation(video, trace, artefacts) for video in videos]
