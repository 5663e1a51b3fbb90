"""``run --dry-run``: what a run would do, without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vcfe_bench.runs import plan
from vcfe_bench.runs.found import CONFIGURATION
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request, resolve
from vcfe_bench.workflows.run import directory_of


def dry_run(request: Request, out: Path | None = None) -> Iterator[str]:
    """Lines about a run: its question, its directory, and for each method how many tasks would run.

    Plug-ins are built, and the target is run on the originals, since goals depend on its predictions. Nothing is
    written.

    Raises:
        UsageError: anything the user has to change.
    """
    setup = resolve(request)
    made = setup.configuration()
    directory = directory_of(made, out)
    store = RunDirectory(directory) if (directory / CONFIGURATION).exists() else None
    planned = plan.make(setup, Originals(setup, store.originals() if store else {}))
    done = {id for id, record in store.records().items() if record.status == "ok"} if store else set()
    generator = made.generator.spec if made.generator else "no generator"
    yield f"{made.dataset} ({made.split}, {made.limit} videos), {made.target.spec}, {generator}, seed {made.seed}"
    yield f"directory: {directory}{'' if store else ' (new)'}"
    total = Counter(task.method for task in planned.tasks)
    skipped = Counter(task.method for task in planned.tasks if task.skip is not None)
    ready = Counter(task.method for task in planned.tasks if task.id in done)
    for method in setup.methods:
        spec = method.spec
        parts = [f"{total[spec] - skipped[spec] - ready[spec]} of {total[spec]} tasks to run"]
        parts += [f"{ready[spec]} done"] if ready[spec] else []
        parts += [f"{skipped[spec]} declined"] if skipped[spec] else []
        yield f"{spec}: {', '.join(parts)}"
