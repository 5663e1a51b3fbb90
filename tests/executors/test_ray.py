"""Workers on a Ray cluster: the same results on one node and on two, and when a node is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.executors import works
from tests.executors.test_pool import Watch, results
from tests.harness.test_resume import assert_same
from tests.harness.toys import METRICS, ask
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.executors.interface import Lost, Needs
from vcfe_bench.workflows import run as workflow

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

from vcfe_bench.executors.ray_cluster import RayCluster  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes with a core each."""
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def slow_node(item: int, report: Any) -> tuple[int, str]:
    time.sleep(0.3)
    return item, ray.get_runtime_context().get_node_id()


@pytest.mark.usefixtures("cluster")
def test_bad_items_are_lost_and_no_others() -> None:
    items = ["exit", 1, "error", 2, "leave", 3, "crash", 4]
    found = results(RayCluster(), works.behave, items)
    for place, item in enumerate(items):
        assert isinstance(found[place], Lost) if isinstance(item, str) else found[place] == item**2
    assert found[0].reason == "SystemExit: 3"
    assert found[2].reason == "ValueError: not today"
    found = dict(RayCluster(timeout=2).execute(works.behave, ["hang", 3], [Needs()] * 2, Watch()))
    assert found[0].reason == "not finished after 2 s, the time limit"
    assert found[1] == 9
    with pytest.raises(UsageError, match="no such thing"):
        results(RayCluster(), works.Unbuildable(UsageError("no such thing")), [1])


def test_a_node_that_is_lost_costs_nothing(cluster: Any) -> None:
    other = cluster.add_node(num_cpus=1)
    nodes = set()
    found = {}
    for place, result in RayCluster().execute(slow_node, range(20), [Needs()] * 20, Watch()):
        found[place] = result
        nodes.add(result[1])
        if len(found) == 5:
            cluster.remove_node(other, allow_graceful=False)
    assert {place: result[0] for place, result in found.items()} == {n: n for n in range(20)}
    assert len(nodes) >= 2


def test_runs_have_the_same_bits_as_in_this_process(cluster: Any, tmp_path: Path) -> None:
    os.environ.setdefault("VCFE_BENCH_CACHE", str(tmp_path))
    request = ask("toy_push", "toy_half", limit=5)
    here = workflow.run(request, tmp_path / "here", METRICS, executor=InProcess())
    assert_same(here, workflow.run(request, tmp_path / "two", METRICS, executor=RayCluster(jobs=2)))
    cluster.remove_node(cluster.worker_nodes.copy().pop())
    assert_same(here, workflow.run(request, tmp_path / "one", METRICS, executor=RayCluster()))
