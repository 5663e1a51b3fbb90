"""Runs whose methods work in other processes: the same bits, and no method takes the others down."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.harness.test_resume import assert_same
from tests.harness.toys import METRICS, ask
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.executors.interface import Executor
from vcfe_bench.executors.pool import Pool
from vcfe_bench.goals import ClassGoal
from vcfe_bench.runs.micro_batch import BatchWork
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Setup, resolve
from vcfe_bench.video import lossless
from vcfe_bench.workflows import explain, score_external, tune, validate_metrics
from vcfe_bench.workflows import run as workflow
from vcfe_bench.workflows.explain_request import ExplainRequest
from vcfe_bench.workflows.one_video import OneVideo, OneVideoParams

METHODS = ("toy_push", "toy_half")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "undisturbed", InProcess(), *METHODS)


def run(out: Path, executor: Executor, *methods: str) -> Path:
    return workflow.run(ask(*methods, limit=5), out, METRICS, executor=executor)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_workers_make_the_same_bits(tmp_path: Path, undisturbed: Path, jobs: int) -> None:
    assert_same(undisturbed, run(tmp_path / "run", Pool(jobs), *METHODS))


@pytest.mark.slow
def test_a_method_that_ends_its_process_or_hangs_costs_its_own_video_only(tmp_path: Path, undisturbed: Path) -> None:
    bad = {
        "toy_fragile[fail=exit]": "SystemExit: 0",
        "toy_fragile[fail=die]": "the worker process exited with code 0",
        "toy_fragile[fail=hang]": "not finished after 10 s, the time limit",
    }
    out = run(tmp_path / "run", Pool(timeout=10), *bad, *METHODS)
    records = pd.read_parquet(out / "records.parquet")
    failed = records[records["status"] == "failed"].set_index("method")
    assert failed["reason"].to_dict() == bad
    assert (failed["sample"] == "light-1").all()
    stuck = next(record for record in RunDirectory(out).records().values() if record.id == failed["id"].iloc[-1])
    assert "methods.py" in stuck.traceback
    before = pd.read_parquet(undisturbed / "records.parquet").set_index("id")["video_sha256"]
    assert records.set_index("id")["video_sha256"][before.index].equals(before)
    assert (records.loc[records["method"].str.startswith("toy_fragile"), "status"] == "ok").sum() == 12


@pytest.mark.slow
def test_an_interrupt_ends_the_workers_and_writes_the_tables(tmp_path: Path, undisturbed: Path) -> None:
    class Impatient(Observer):
        def finished(self, records) -> None:  # type: ignore[no-untyped-def]
            if records[0].method == "toy_push":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workflow.run(ask(*METHODS, limit=5), tmp_path / "run", METRICS, Impatient(), executor=Pool())
    assert (tmp_path / "run" / "records.parquet").exists()
    assert_same(undisturbed, run(tmp_path / "run", Pool(), *METHODS))


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import vcfe_bench as vb\n"
        "print('started')\n"
        "run = vb.run('toy_half', 'toy_lights', limit=2, metrics='toy_flip,toy_spread', out='run')\n"
        "print(sorted(set(run.records['status'])))\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "started\n['ok']\n"), done.stderr


def _explain(folder: Path) -> Setup:
    lossless.write(folder / "clip.mkv", torch.randint(0, 255, (9, 3, 12, 12), dtype=torch.uint8), 10.0)
    request = ExplainRequest(folder / "clip.mkv", "toy_conv", "toy_push[steps=2]", generator="toy_blocks")
    dataset = OneVideo(OneVideoParams(str(request.video), 5, 12))
    dataset.spec, dataset.classes = "one_video", ("left", "middle", "right")
    return explain._setup(request, dataset, ClassGoal(1))


SETUPS: dict[str, Callable[[Path], Setup]] = {
    "run": lambda folder: resolve(ask("toy_push")),
    "tune": lambda folder: tune._setup(ask("toy_push"), "toy_push[steps=3]"),
    "validate": lambda folder: validate_metrics._setup(ask("true_edit", "toy_half")),
    "score": lambda folder: score_external._with_files(ask("true_edit"), score_external.Files("mine", {}), True),
    "explain": _explain,
}


@pytest.mark.parametrize("command", SETUPS)
def test_the_work_of_every_command_is_the_same_where_it_is_built_again(command: str, tmp_path: Path) -> None:
    work = BatchWork(SETUPS[command](tmp_path))
    again = pickle.loads(pickle.dumps(work))
    assert again.setup.configuration() == work.setup.configuration()
    assert [(method.spec, method.width) for method in again.setup.methods] == [
        (method.spec, method.width) for method in work.setup.methods
    ]
    assert again.setup.dataset.sample("test", 0).video.equal(work.setup.dataset.sample("test", 0).video)


def test_other_plug_ins_in_a_worker_are_an_error() -> None:
    work = BatchWork(resolve(ask("toy_push")))
    build, (kind, recipe, configuration) = work.__reduce__()
    assert build(kind, recipe, configuration).setup.configuration() == work.setup.configuration()
    configuration["methods"]["toy_push"]["source"] = "other"
    with pytest.raises(UsageError, match="the code or the weights of method toy_push have changed"):
        build(kind, recipe, configuration)
