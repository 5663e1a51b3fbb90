"""Two worker processes on one card, compared with one."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tests.gpu.devices_agree import VIDEO, pictures
from vcfe_bench.core import devices
from vcfe_bench.executors.pool import Pool
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request
from vcfe_bench.workflows.run import run


def compare(device: str, videos: int = 24, method: str = "pgd", dataset: str = "shape_moving") -> dict[str, Any]:
    """Seconds of the same run with one worker and with two on a device, and whether their results are the same.

    Kernels may add in any order, so that equal bits are reported, and the differences held to the tolerance of videos.
    """
    devices.use(device)
    request = Request((method,), dataset, limit=videos, generator="none")
    seconds, results = {}, []
    with TemporaryDirectory() as folder:
        runs = [Path(folder, str(jobs)) for jobs in (1, 2)]
        for jobs, out in enumerate(runs, start=1):
            start = perf_counter()
            run(request, out, ("l1",), executor=Pool(jobs))
            seconds[jobs] = round(perf_counter() - start, 1)
            results.append({id: record.video_sha256 for id, record in RunDirectory(out).records().items()})
        differences = pictures(*runs)
    devices.use("auto")
    return {
        "videos": sum(video is not None for video in results[0].values()),
        "seconds": seconds,
        "same_bits": results[0] == results[1],
        "differences": differences,
        "held": max(differences.values(), default=0.0) <= VIDEO,
    }
