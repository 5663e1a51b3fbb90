"""The documentation is true: its commands parse, its tables match the code, every method has a page."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.harness.test_cli import call
from vcfe_bench.cli import app
from vcfe_bench.goals import ClassGoal
from vcfe_bench.plugins.registry import DATASETS, GENERATORS, METHODS, METRICS, TARGETS
from vcfe_bench.results.gate import files
from vcfe_bench.results.submissions import description

yaml = pytest.importorskip("yaml", reason="the extra 'docs' is not installed")
pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECTIONS = ["Idea", "Algorithm", "Parameters", "Cost", "Known failures"]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """``docs/hooks.py``, as MkDocs loads it."""
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec
    assert spec.loader
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def documented() -> Iterator[Any]:
    """Every call of ``vcfe-bench`` in a shell code block that is not abbreviated with ``…``."""
    for page in PAGES:
        for block in blocks(page, "bash"):
            for words in re.findall(r"vcfe-bench ([a-z][^…]*?)(?: && |$)", block.replace("\\\n", " "), re.MULTILINE):
                yield pytest.param(words, id=f"{page.stem}: {words}")


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands that are not groups, by the words that call them."""
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, below in command.commands.items():
        yield from commands(below, (*words, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def parse(text: str) -> None:
    """Parse the arguments of ``vcfe-bench`` without running the command. Errors are raised."""
    given = shlex.split(re.sub(r'"\$\(.*\)"', "0123456789abcdef0123", text))
    words = next(words for words in COMMANDS if tuple(given[: len(words)]) == words)
    COMMANDS[words].make_context(" ".join(words), given[len(words) :])


@pytest.mark.parametrize("words", list(documented()))
def test_documented_commands_parse(words: str) -> None:
    parse(words)


def test_unknown_commands_and_options_do_not_parse() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse("run --methods pgd --dataset shape_moving --videos 3")
    with pytest.raises(StopIteration):
        parse("walk --methods pgd")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example(words: tuple[str, ...]) -> None:
    assert examples(words)
    for example in examples(words):
        assert tuple(shlex.split(example)[: len(words)]) == words
        parse(example)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_on_a_terminal_keeps_the_brackets_of_an_example(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).output
    for example in examples(words):
        assert "".join(example.split()) in "".join(shown.split())


def examples(words: tuple[str, ...]) -> list[str]:
    """The arguments of each example in the help of a command."""
    return re.findall(r"^(?:Example|Or): vcfe-bench (.*)$", COMMANDS[words].epilog or "", re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete(shell: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("vcfe-bench")],
        env={
            "_VCFE_BENCH_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": "vcfe-bench lea",
            "COMP_CWORD": "1",
            "_TYPER_COMPLETE_ARGS": "vcfe-bench lea",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
        capture_output=True,
        text=True,
    )
    assert "leaderboard" in done.stdout
    assert "check-plugin" not in done.stdout


def page_of(method: str) -> Path:
    """The page whose introduction names the method."""
    (page,) = (
        page
        for page in (ROOT / "docs" / "methods").glob("*.md")
        if page.stem != "index" and f"`{method}`" in page.read_text(encoding="utf-8").split("##")[0]
    )
    return page


@pytest.mark.parametrize("method", METHODS.names())
def test_a_method_has_a_page(method: str, hooks: ModuleType) -> None:
    if method not in {listing.name for listing in hooks.ours(METHODS)}:
        pytest.skip("of another distribution")
    text = page_of(method).read_text(encoding="utf-8")
    assert [title for title in re.findall(r"^## (.*)$", text, re.MULTILINE) if title in SECTIONS] == SECTIONS
    described = [name for kind, name in re.findall(hooks.MARKER, text) if kind == "parameters"]
    own = METHODS.load(method).Params
    assert not dataclasses.fields(own) or own in {METHODS.load(name).Params for name in described}


def test_a_page_of_methods_that_run_on_the_embedded_networks_has_a_strip(hooks: ModuleType) -> None:
    data = DATASETS.build("shape_moving")
    target, generator = TARGETS.build(data.target), GENERATORS.build(data.generator)
    runs = [
        listing.name
        for listing in hooks.ours(METHODS)
        if METHODS.build(listing.name).supports(data, target, generator, ClassGoal(0)) is None
    ]
    assert "bttf" in runs
    pages = {page_of(name) for name in runs}
    shown = {page for page in pages for name in runs if f"images/{name}.png)" in page.read_text(encoding="utf-8")}
    assert pages - shown == set()


def test_the_table_of_parameters_matches_the_code(hooks: ModuleType) -> None:
    lines = hooks.parameters("pgd").splitlines()
    assert lines[0] == "| parameter | default | values |"
    assert "| `epsilon` | `20.0` | number, > 0 |" in lines
    assert "| `size` | `per_voxel` | `per_voxel`, `absolute` |" in lines
    for method in ("bttf", "cg_video_mid"):
        header, _, *rows = hooks.parameters(method).split("\n\n")[0].splitlines()
        cls = METHODS.load(method)
        assert [row.split("`")[1] for row in rows] == [field.name for field in dataclasses.fields(cls.Params)]
        assert ("`--preset paper`" in header) == ("paper" in cls.presets)
        for row in rows:
            name, default, *_ = re.findall(r"`([^`]*)`", row)
            assert METHODS.build(f"{method}[{name}={default}]").spec == method
            if row.endswith("`"):
                paper = METHODS.build(method, "paper")
                assert METHODS.build(f"{method}[{name}={row.split('`')[-2]}]", "paper").params == paper.params


def test_every_card_is_documented(hooks: ModuleType) -> None:
    text = hooks.metrics()
    for listing in hooks.ours(METRICS):
        card = METRICS.build(listing.name).card
        section = text.split(f"### {card.name}\n")[1].split("### ")[0]
        assert f"`{listing.name}`, version {card.version}" in section
        assert card.question in section
        assert ("↑" in section, "↓" in section) == (card.direction == "higher", card.direction == "lower")


def test_every_command_is_documented(hooks: ModuleType) -> None:
    text = hooks.commands()
    for words, command in COMMANDS.items():
        section = text.split(f"`vcfe-bench {' '.join(words)}`\n")[1].split("\n#")[0]
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert {option for option in options if not re.search(f"`(-\\w, )?{option}", section)} == set()


def test_markers_become_tables_and_unknown_ones_are_errors(hooks: ModuleType) -> None:
    text = hooks.on_page_markdown("before\n\n<!-- parameters: pgd -->\n\nafter", None, None, [])
    assert text == f"before\n\n{hooks.parameters('pgd')}\n\nafter"
    with pytest.raises(KeyError):
        hooks.on_page_markdown("<!-- parametres: pgd -->", None, None, [])
    with pytest.raises(Exception, match="unknown method 'pdg'"):
        hooks.on_page_markdown("<!-- parameters: pdg -->", None, None, [])


def test_the_tables_of_kanehira_stand_alongside_ours(hooks: ModuleType) -> None:
    text = hooks.kanehira()
    ours = files.read(ROOT / "leaderboards" / "shape_scenes.csv").frame.set_index("method")
    cells = {row.split(" | ")[1]: row.strip("| ").split(" | ") for row in text.splitlines() if row.count(" | ") > 6}
    assert cells["p(A) falls"][2:4] == ["0.76 / 0.89", "0.68 / 0.88"]
    assert cells["concept, top 5"][2] == "0.12 / 0.59"
    assert cells["negative, fc 3"][2:4] == ["0.46 / 0.59", "0.44 / 0.61"]
    assert cells["p(A) falls"][4 + hooks.TUBES.index("tubes")] == f"{ours.loc['tubes', 'positive_drop']:.2f}"
    assert hooks._value(None, "tubes", "positive_drop") == "–"
    assert hooks._value(ours, "true_edit", "positive_drop") == "–"
    named = ours.rename(index={"tubes": "tubes[explainer=a.safetensors]"})
    assert hooks._value(named, "tubes", "positive_drop") == f"{ours.loc['tubes', 'positive_drop']:.2f}"


def test_the_table_of_the_readme_is_an_excerpt_of_the_committed_one() -> None:
    committed = files.read(ROOT / "leaderboards" / "shape_moving.csv").frame.set_index("method")
    metrics = ["FR", "semantic_FR", "SSIM", "LPIPS(st-alex)", "FVD(i3d)"]
    rows = re.findall(
        r"^\| `(\w+)` \|((?: \d[^|]*\|){5})$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [method for method, _ in rows] == ["bttf", "pgd", "true_edit", "reconstruction", "no_edit"]
    for method, cells in rows:
        for metric, cell in zip(metrics, cells.split("|"), strict=False):
            for text, suffix in zip(re.findall(r"[\d.]+", cell), ("", "_low", "_high"), strict=False):
                digits = len(text.partition(".")[2])
                assert f"{committed.loc[method, metric + suffix]:.{digits}f}" == text, (method, metric + suffix)


def test_the_citation_has_the_current_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["title"] == project["name"]


def shell_of_ci() -> str:
    """The commands of the pre-commit hook."""
    _, hook = (yaml.safe_load(block) for block in blocks(ROOT / "docs" / "ci.md", "yaml"))
    return str(hook["repos"][0]["hooks"][0]["entry"])


def test_the_action_takes_what_its_page_says_and_its_commands_parse() -> None:
    action = yaml.safe_load((ROOT / ".github" / "actions" / "check" / "action.yml").read_text())
    steps, _ = (yaml.safe_load(block) for block in blocks(ROOT / "docs" / "ci.md", "yaml"))
    (used,) = [step for step in steps if "/.github/actions/check@" in step["uses"]]
    needed = {name for name, about in action["inputs"].items() if about.get("required")}
    assert needed <= set(used["with"]) <= set(action["inputs"])
    values = {**{name.upper(): about.get("default", "") for name, about in action["inputs"].items()}, "OUT": "run"}
    values |= {"METHODS": used["with"]["methods"], "AGAINST": used["with"]["against"], "ARGUMENTS": ""}
    calls = [step["run"] for step in action["runs"]["steps"] if step.get("run", "").startswith("vcfe-bench ")]
    assert len(calls) == 2
    for words in calls:
        parse(re.sub(r"\$([A-Z]+)", lambda match: values[match[1]], words.removeprefix("vcfe-bench ")))


def test_the_pre_commit_hook_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, _, script = shlex.split(shell_of_ci().replace("my_method", "pgd"))
    run, check = (shlex.split(call)[1:] for call in script.split(" && ")[1:])
    assert call(monkeypatch, *run) == 0
    assert call(monkeypatch, *check) == 2
    assert call(monkeypatch, *check, "--update") == 0
    assert call(monkeypatch, *check) == 0


def test_the_workflow_of_submissions_checks_their_folder() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "submission.yml").read_text())
    trigger = workflow[True]["pull_request"]["paths"]  # YAML reads "on" as true
    assert trigger == [f"leaderboards/{description.FOLDER}/**"]
    (call,) = [step["run"].partition(" #")[0] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    parse(call.removeprefix("vcfe-bench "))
    assert "--check" in call
    assert call.split()[-1] == f"leaderboards/{description.FOLDER}/*/"


@pytest.mark.parametrize("form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda p: p.stem)
def test_issue_forms_have_labels_and_different_ids(form: Path) -> None:
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= content.keys()
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
