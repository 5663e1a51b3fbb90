"""Commands in processes that are forked from this one, which has imported everything: a run takes a second or less."""

from __future__ import annotations

import functools
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PLUGINS = [HERE / "plugins", HERE.parent / "toys"]
TRACEBACK = "Traceback (most recent call last)"


def prepare(cache: Path) -> None:
    """Import and look up what every command needs. ``cache`` becomes the cache folder of all of them."""
    os.environ.update(VCFE_BENCH_CACHE=str(cache), OMP_NUM_THREADS="1", COLUMNS="120")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, PLUGINS))
    sys.path[:0] = list(map(str, PLUGINS))
    import torch
    import torch._dynamo

    import vcfe_bench.cli
    import vcfe_bench.cli.progress
    import vcfe_bench.cli.run_study
    import vcfe_bench.report.site
    import vcfe_bench.results.gate.report
    import vcfe_bench.workflows.score_external  # noqa: F401
    from vcfe_bench.core import environment
    from vcfe_bench.executors import choice
    from vcfe_bench.executors.in_process import InProcess
    from vcfe_bench.plugins import registry
    from vcfe_bench.plugins.source import code_identity

    torch.set_num_threads(1)
    choice.DEFAULT = InProcess()  # worker processes are started where a command asks for limits
    for found in (registry.METHODS, registry.DATASETS, registry.TARGETS, registry.GENERATORS, registry.METRICS):
        for name in found.names():
            if name.startswith(("toy_", "hostile", "steady", "lucky", "true", "recon", "no_")) and name != "toy_broken":
                code_identity(found.load(name))
    once = functools.cache(environment.environment)
    for module in list(sys.modules.values()):
        if getattr(module, "environment", None) is environment.environment:
            module.environment = once  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``code`` is negative for a signal, and None if it did not end in time."""

    code: int | None
    out: str
    err: str

    @property
    def last(self) -> str:
        lines = self.err.strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def crashed(self) -> bool:
        """Whether a user sees a traceback, or an error that nobody foresaw."""
        return TRACEBACK in self.err or self.code == 70

    @property
    def one_line(self) -> bool:
        """Whether there is one line that begins with the name of the program, or the box of the argument parser."""
        lines = [line for line in self.err.splitlines() if line.startswith("vcfe-bench: ")]
        return (len(lines) == 1 or "Usage:" in self.err) and not self.crashed


class Command:
    """A running command."""

    def __init__(self, arguments: Sequence[str], before: Callable[[], None] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="torture-"))
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(arguments, before)

    def _become(self, arguments: Sequence[str], before: Callable[[], None] | None) -> None:
        code = 1
        try:
            os.setsid()
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(self.folder / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
            sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.argv = ["vcfe-bench", *arguments]
            from vcfe_bench.cli import main

            if before is not None:
                before()
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code & 255)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 60) -> Ended:
        deadline, status = time.monotonic() + timeout, None
        while status is None and time.monotonic() < deadline:
            pid, found = os.waitpid(self.pid, os.WNOHANG)
            status = found if pid else None
            time.sleep(0.005)
        if status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        texts = [(self.folder / name).read_text(errors="replace") for name in ("out", "err")]
        shutil.rmtree(self.folder)
        return Ended(None if status is None else os.waitstatus_to_exitcode(status), *texts)


def call(*arguments: object, before: Callable[[], None] | None = None, timeout: float = 60) -> Ended:
    """Run a command to its end."""
    return Command([str(argument) for argument in arguments], before).wait(timeout)
