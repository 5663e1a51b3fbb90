"""``vcfe-bench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Context, Option

from vcfe_bench.cli import completion, output
from vcfe_bench.cli import target as flags


def run(
    ctx: Context,
    methods: Annotated[
        str,
        Option(
            help="Method specs, separated by commas; parameters go in brackets.",
            autocompletion=completion.plugins("method"),
        ),
    ] = "",
    dataset: Annotated[
        str,
        Option(
            help="Dataset specs; parameters go in brackets. There is one run for each.",
            autocompletion=completion.plugins("dataset"),
        ),
    ] = "",
    config: Annotated[
        Path | None,
        Option(
            help="YAML file with what to run (methods, datasets, targets, generators, seeds, limit, metrics, ...), or "
            "the run.json or study.yaml of a run; other options replace its values."
        ),
    ] = None,
    split: Annotated[str, Option(help="Split of the dataset: train, validation or test.")] = "test",
    limit: Annotated[
        int, Option(help="Number of videos, drawn from the split with every class; the same for every seed.")
    ] = 8,
    goals: Annotated[
        str,
        Option(
            help="one: a randomly drawn target class per video; all: every other class; SRC:DST: class DST for videos "
            "predicted as SRC; or a group of goals on the dataset's card. For regressors, one: a drawn value; all: one "
            "value below and one above; uniform: drawn from the whole range; or a number."
        ),
    ] = "one",
    target: Annotated[
        str | None,
        Option(
            help="Target spec, or package.module:name of your own network; by default the dataset's target.",
            autocompletion=completion.plugins("target"),
        ),
    ] = None,
    generator: Annotated[
        str | None,
        Option(
            help="Generator spec, or none; by default the dataset's generator.",
            autocompletion=completion.plugins("generator"),
        ),
    ] = None,
    preset: Annotated[
        str | None,
        Option(
            help="Named set of parameters, applied to all methods that define it; 'tuned' for those that 'tune' found."
        ),
    ] = None,
    seed: Annotated[int, Option(help="Base random seed.")] = 0,
    budget: Annotated[
        float | None,
        Option(
            metavar="CALLS",
            help="What each method may spend on the network calls for a task, in forward passes of the generator on "
            "one video; a method that spends more has not answered.",
        ),
    ] = None,
    metrics: output.Metrics = None,
    out: Annotated[
        Path | None, Option(help="Run directory; by default runs/DATASET-HASH, with a hash of the request.")
    ] = None,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Delete the run that the run directory holds, and start again.")
    ] = False,
    jobs: Annotated[
        int | None, Option(min=1, help="Number of worker processes that generate; each loads all networks.")
    ] = None,
    executor: Annotated[
        str | None,
        Option(help="pool: worker processes on this machine, the default; ray: on a cluster; or one of a plug-in."),
    ] = None,
    address: Annotated[
        str | None, Option(help="Address of a Ray cluster, or auto; by default ray starts one on this machine.")
    ] = None,
    timeout: Annotated[
        float | None,
        Option(
            min=1,
            metavar="SECONDS",
            help="Time limit of a method for a micro-batch; by default an hour or more, by the size of the clips.",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        Option(
            min=0.1, metavar="GB", help="Memory limit of a worker process; by default 90 % of the machine's in all."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        Option(
            metavar="I/N",
            help="Run the I-th of N equal parts of the tasks, into a directory of its own; 'merge' joins all parts.",
        ),
    ] = None,
    device: Annotated[
        str,
        Option(help="Where networks run: auto, cpu, cuda, cuda:1, mps; auto spreads workers over all CUDA devices."),
    ] = "auto",
    in_process: flags.InProcess = False,
    force: flags.Force = False,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    columns: output.Columns = None,
    full: output.Full = False,
    intervals: output.Intervals = False,
    hooks: Annotated[
        str | None, Option(help="Hooks that follow the run, separated by commas; mlflow logs it to MLflow.")
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Print what would run, and write nothing.")] = False,
    quiet: output.Quiet = False,
    verbose: output.Verbose = False,
    fail_fast: Annotated[bool, Option("--fail-fast", help="End the run when a method fails on a video.")] = False,
    pdb: Annotated[bool, Option("--pdb", help="Open the debugger where a method fails; implies --in-process.")] = False,
) -> None:
    """Generate counterfactuals, score them and print a summary. The same command resumes an interrupted run."""
    from vcfe_bench.plugins import metric_names, names
    from vcfe_bench.workflows import study as studies

    given = {name: value for name, value in ctx.params.items() if _was_given(ctx, name)}
    chosen = {field: given[flag] for flag, field in FIELDS.items() if flag in given}
    described = flags.target_spec(target, weights, classes, clip, mean, std)
    if described != target:
        chosen["targets"] = (described,)
    study = (studies.read(config) if config else studies.Study()).changed(chosen)
    requests = study.requests()
    for kind in ("method", "dataset", "target", "generator"):
        names.check(kind, getattr(study, f"{kind}s"))
    if study.metrics is not None:
        study = study.changed({"metrics": metric_names.resolve(",".join(study.metrics), names.names("metric"))})
    if dry_run:
        from vcfe_bench.cli.run_study import print_plans

        print_plans(study, requests)
        return
    from vcfe_bench.cli.run_study import Manner, run_study
    from vcfe_bench.core import devices
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.executors import choice
    from vcfe_bench.executors.in_process import InProcess
    from vcfe_bench.executors.interface import Options
    from vcfe_bench.runs.shards import Shard

    part = None if shard is None else Shard.parse(shard)
    devices.use(device)
    if (in_process or pdb) and executor:
        raise UsageError("give either --executor or --in-process (which --pdb implies)")
    options = Options(jobs, timeout, None if memory is None else memory * 1e9, address)
    workers = InProcess.configured(options) if in_process or pdb else choice.chosen(executor, options)
    run_study(study, requests, Manner(workers, part, overwrite, force, quiet, verbose, fail_fast, pdb, full, intervals))


FIELDS = {
    "methods": "methods",
    "dataset": "datasets",
    "target": "targets",
    "generator": "generators",
    "seed": "seeds",
    **{name: name for name in ("split", "limit", "goals", "preset", "budget", "metrics", "columns", "hooks", "out")},
}
"""Fields of a study by the option that replaces them."""


def _was_given(ctx: Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
