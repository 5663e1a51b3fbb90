from __future__ import annotations

from pathlib import Path

import pytest

from vcfe_datasets.recorded import clip_cache


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test, and no copy that the user may have."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(folder))
    monkeypatch.delenv("VCFE_DATA", raising=False)
    return folder


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos are converted in this process; starting others takes longer than the conversion of a few small videos."""
    monkeypatch.setattr(clip_cache, "_cores", lambda: 1)
