"""What all tests share: the toy distribution is importable and registered, here and in subprocesses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vcfe_bench.core import weights
from vcfe_bench.executors import choice
from vcfe_bench.executors.in_process import InProcess

DOWNLOADS = [file for file in weights.cache().glob("*") if file.is_file()]
TOYS = Path(__file__).parent / "toys"
sys.path.insert(0, str(TOYS))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes results in the user's cache; weights that were downloaded are still found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCFE_BENCH_CACHE", str(_cache(tmp_path_factory.mktemp("cache"))))
        yield


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads what another one has cached."""
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(_cache(tmp_path_factory.mktemp("cache"))))


def _cache(folder: Path) -> Path:
    for file in DOWNLOADS:
        (folder / file.name).symlink_to(file)
    return folder


@pytest.fixture(autouse=True)
def _toys_in_subprocesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(TOYS), os.environ.get("PYTHONPATH")])))


@pytest.fixture(scope="session", autouse=True)
def _no_worker_processes() -> Iterator[None]:
    """Runs of tests start no worker process unless they ask for one: it takes longer than a run of the toys, and does
    not see what a test patches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "DEFAULT", InProcess())
        yield
