"""Studies: configuration files of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.test_cli import call
from vcfe_bench.core.errors import UsageError
from vcfe_bench.workflows import study as studies
from vcfe_bench.workflows.study import Study

SPECS = st.lists(st.sampled_from(["pgd", "pgd[epsilon=0.02,steps=3]", "bttf[style=false]"]), min_size=1, unique=True)


@given(
    methods=SPECS,
    datasets=SPECS,
    targets=st.lists(st.one_of(st.none(), st.just("m_swin[frames=4]")), min_size=1, max_size=2, unique=True),
    seeds=st.lists(st.integers(0, 9), min_size=1, unique=True),
    budget=st.one_of(st.none(), st.floats(1, 1e6)),
    metrics=st.one_of(st.none(), SPECS),
    out=st.one_of(st.none(), st.just(Path("runs/ä b"))),
)
def test_a_study_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, **fields: object) -> None:
    file = tmp_path_factory.mktemp("study") / "study.yaml"
    written = Study.model_validate(fields)
    studies.write(file, written)
    assert studies.read(file) == written


def test_there_is_a_run_for_each_combination(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text("methods: pgd, bttf[steps=2,style=false]\ndatasets: [a, b]\ntarget: t\nseeds: [0, 1, 2]\n")
    requests = studies.read(file).requests()
    assert [(one.dataset, one.seed) for one in requests] == [(name, seed) for name in "ab" for seed in range(3)]
    assert {one.methods for one in requests} == {("pgd", "bttf[steps=2,style=false]")}
    assert {one.target for one in requests} == {"t"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metho: pgd", "unknown field 'metho'; did you mean 'methods'?"),
        ("limit: many", "limit: Input should be a valid integer"),
        ("- pgd", "is not a study"),
        ("methods: [", "is not YAML"),
        ("configuration: {methods: 3}", "is not the run.json of a run"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        studies.read(file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_writes_the_file_that_repeats_it_and_flags_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my.yaml"
    file.write_text("methods: toy_half\ndatasets: toy_lights\nseeds: [3, 4]\nmetrics: TOY_FLIP\nlimit: 9\n")
    assert call(monkeypatch, "run", "--config", str(file), "--limit", "2", "--seed", "3", "--in-process") == 0
    (first,) = Path("runs").iterdir()
    repeated = studies.read(first / "study.yaml")
    assert repeated == studies.read(first / "run.json").changed({"metrics": ["toy_flip"]})
    assert (repeated.limit, repeated.seeds, repeated.methods) == (2, (3,), ("toy_half",))
    capsys.readouterr()
    assert call(monkeypatch, "run", "--config", str(first / "study.yaml"), "--in-process") == 0
    assert "8 of 8 results are reused" in capsys.readouterr().out
    assert len(list(Path("runs").iterdir())) == 1
    assert call(monkeypatch, "run", "--config", str(file), "--limit", "2", "--out", "both", "--in-process") == 0
    shown = capsys.readouterr().out
    assert len(list(Path("both").iterdir())) == 2
    assert "seed 3 / 4" in shown or "seed 3, 4" in shown, "the last table joins the runs"
