"""Arguments and files that make no sense: one line, exit code 2, and nothing else."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.torture.counts import Line
from tests.torture.server import Ended, call

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
NUMBER = st.one_of(st.integers().map(str), st.floats().map(str), st.sampled_from(["1e999", "-0", "0x10", "٣", "1_0"]))
NAMES = st.sampled_from(["toy_push", "toy_half", "steady", "toy_lights", "toy_conv", "toy_flip", "toy_broken", "exits"])
SPEC = st.one_of(
    TEXT,
    st.builds(
        lambda name, key, value: f"{name}[{key}={value}]",
        NAMES,
        st.one_of(TEXT, st.just("steps")),
        st.one_of(NUMBER, TEXT),
    ),
    st.builds(
        lambda name, rest: name + rest,
        NAMES,
        st.sampled_from(["[", "]", "[[]]", "[=]", "[,]", "[steps", "[steps=]"]),
    ),
    st.integers(1, 3000).map(lambda depth: "pgd[" + "[" * depth + "]" * depth + "]"),
)
OPTIONS = {
    "--methods": SPEC,
    "--dataset": SPEC,
    "--target": SPEC,
    "--generator": SPEC,
    "--metrics": SPEC,
    "--limit": st.one_of(NUMBER, TEXT),
    "--seed": st.one_of(NUMBER, TEXT),
    "--budget": st.one_of(NUMBER, TEXT),
    "--goals": st.one_of(TEXT, NUMBER, st.sampled_from(["left:left", "left:up", "a:b:c", ":", "all:all"])),
    "--split": TEXT,
    "--preset": TEXT,
    "--timeout": st.one_of(NUMBER, TEXT),
    "--jobs": st.one_of(NUMBER, TEXT),
}
"""Options of ``run`` and values for them."""
GOOD = {"--methods": "steady", "--dataset": "toy_lights", "--limit": "1", "--metrics": "toy_flip"}


def judged(ended: Ended, case: str) -> tuple[str, str]:
    case = f"{case}: code {ended.code}: {ended.last[:200]}"
    if ended.crashed or (ended.code is not None and ended.code < 0):
        return "traceback", case
    if ended.code == 2:
        return ("one line" if ended.one_line else "many lines"), case
    return ("harmless" if ended.code in (0, 1) else "other end"), case


def arguments(folder: Path, examples: int) -> Line:
    """Commands with arguments drawn by Hypothesis."""
    line = Line("arguments of `run` drawn by Hypothesis", "one line and exit code 2, or an ordinary run")

    @seed(0)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(sorted(OPTIONS)).flatmap(lambda name: st.tuples(st.just(name), OPTIONS[name])))
    def tried(option: tuple[str, str]) -> None:
        name, value = option
        shutil.rmtree(folder / "out", ignore_errors=True)
        given_options = {**GOOD, name: value}
        flat = [part for pair in given_options.items() for part in pair]
        process = [] if name in ("--timeout", "--jobs") else ["--in-process"]
        if process or name not in ("--timeout", "--jobs"):
            line.add(*judged(call("run", *flat, *process, "--out", folder / "out"), f"{name} {value!r}"[:200]))
        else:  # without --methods that exist, so that a valid value starts no workers
            flat[1] = "toy_pusch"
            line.add(*judged(call("run", *flat, "--out", folder / "out"), f"{name} {value!r}"[:200]))

    tried()
    return line


CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "zeros": b"\0" * 500,
    "noise": bytes(range(256)) * 4,
    "text": b"hello\n",
    "header": b"method,n\n",
    "ragged": b"method,n\na,1,2,3\n",
    "twice": b"method,method\na,b\n",
    "json": b"{}",
    "list": b"[]",
    "null": b"null",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "long number": b'{"scheme": ' + b"9" * 5000 + b"}",
    "utf-16": "name,goal\n".encode("utf-16"),
}


def files(folder: Path, every: int) -> Line:
    """Files of every kind replaced by something else, given to the commands that read them."""
    line = Line("run directories, tables and paths that are something else", "one line and exit code 2")
    run = folder / "whole"
    goods = [part for pair in GOOD.items() for part in pair]
    assert call("run", *goods, "--in-process", "--out", run).code == 0
    assert call("check", run, "--against", folder / "base.csv", "--update").code == 0
    for name, content in list(CONTENTS.items())[::every]:
        broken = folder / "broken"
        for file in ("run.json", "journal.jsonl", "records.parquet", "sets.parquet", "metrics.json"):
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(run, broken)
            (broken / file).write_bytes(content)
            line.add(*judged(call("leaderboard", broken), f"leaderboard, {file} is {name}"))
        for suffix in ("csv", "json", "parquet"):
            for part in folder.glob("base.*"):
                shutil.copy(part, folder / f"other{part.suffix}")
            (folder / f"other.{suffix}").write_bytes(content)
            line.add(*judged(call("check", run, "--against", folder / "other.csv"), f"check, {suffix} is {name}"))
        goals, originals = folder / "goals.csv", folder / "originals"
        goals.write_bytes(content)
        originals.mkdir(exist_ok=True)
        (originals / "a.mkv").write_bytes(content)
        both = ("--originals", originals, "--counterfactuals", originals, "--goals", goals)
        ended = call("score", *both, "--dataset", "toy_lights", "--out", folder / "scored", "--metrics", "toy_flip")
        line.add(*judged(ended, f"score, files are {name}"))
        weights = folder / "weights.safetensors"
        weights.write_bytes(content)
        for target in (f"toy_conv[weights={weights}]", f"video_swin[weights={weights}]"):
            ended = call("run", *goods, "--target", target, "--in-process", "--out", folder / "out")
            line.add(*judged(ended, f"{target.partition('[')[0]}, weights are {name}"))
    paths = ["/proc/x", "/dev/null", "x" * 300, str(folder / "goals.csv"), str(folder / "goals.csv/x"), "/etc/passwd"]
    for path in paths[::every]:
        for command in ("leaderboard", "report", "rescore", "verify", "status", "curves"):
            line.add(*judged(call(command, path), f"{command} {path[:40]}"))
        line.add(*judged(call("run", *goods, "--in-process", "--out", path), f"run --out {path[:40]}"))
    (folder / "empty").mkdir()
    (folder / "notes.json").write_text(json.dumps({"a": 1}))
    for command in ("leaderboard", "report", "rescore", "verify", "status"):
        line.add(*judged(call(command, folder / "empty"), f"{command} of an empty folder"))
    return line


def lines(folder: Path, every: int) -> Iterator[Line]:
    """The lines of the table, with every ``every``-th case."""
    yield arguments(folder, examples=math.ceil(420 / every))
    yield files(folder, every)
