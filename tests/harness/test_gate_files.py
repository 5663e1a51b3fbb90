"""A committed table: what its files hold, and what happens when they are damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.gate_worlds import DECIDING, draw
from vcfe_bench.core.errors import UsageError
from vcfe_bench.results.gate import deciding, files, gate
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.runs.records import ScoredCard

TABLES = Path(__file__).parents[2] / "leaderboards"


@pytest.fixture(scope="module")
def result() -> Result:
    return draw(np.random.default_rng(1), 8, 2)


@pytest.fixture(scope="module")
def written(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "toys.csv"
    files.write(result, path)
    return path


@pytest.fixture
def table(written: Path, tmp_path: Path) -> Path:
    """A copy of the files."""
    for file in written.parent.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / written.name


def test_what_is_written_is_what_is_read(result: Result, written: Path) -> None:
    read = files.read(written)
    pd.testing.assert_frame_equal(read.frame, result.frame, check_dtype=False)
    assert read.records is not None
    assert result.records is not None
    pd.testing.assert_frame_equal(read.records, result.records)
    assert replace(read.about, seal="") == result.about
    features, before = read.features("net"), result.features("net")
    assert set(features) == set(before)
    assert all(np.array_equal(features[sha256], before[sha256]) for sha256 in before)
    assert read.features("other") == {}
    assert {each.verdict for each in gate.check(result, read, {})} == {"same"}


def test_the_table_for_reviewers_is_narrow_and_the_rest_is_in_the_parquet(result: Result, tmp_path: Path) -> None:
    cards = [ScoredCard(f"x{i}", f"x{i}", "sample", direction="higher") for i in range(60)]
    columns = {f"{card.name}{part}": 0.5 for card in cards for part in ("", "_low", "_high")}
    more = pd.DataFrame({**columns, "seconds": 1.0, "reasons": ""}, index=result.frame.index)
    frame = pd.concat([result.frame, more], axis=1)
    about = replace(result.about, metrics=(*result.about.metrics, *cards))
    files.write(replace(result, frame=frame, about=about), tmp_path / "wide.csv")
    columns = pd.read_csv(tmp_path / "wide.csv").columns.tolist()
    assert len(columns) == files.COLUMNS
    assert columns[:4] == ["method", "n", "failed", "skipped"]
    assert columns[4:10] == ["FR", "FR_low", "FR_high", "semantic_FR", "semantic_FR_low", "semantic_FR_high"]
    assert len(files.read(tmp_path / "wide.csv").frame.columns) == len(frame.columns) > 200
    assert len(pq.read_table(tmp_path / "wide.parquet")) == 16


def test_a_large_table_takes_less_than_five_megabytes(tmp_path: Path) -> None:
    """Fourteen methods, 128 videos, 65 metrics, 400 features."""
    one = draw(np.random.default_rng(0), 128, 14)
    assert one.records is not None
    rng = np.random.default_rng(1)
    records = one.records.assign(**{f"x{i}": rng.random(len(one.records)) for i in range(60)})
    cards = [ScoredCard(f"x{i}", f"x{i}", "sample", direction="higher") for i in range(60)]
    features = {sha256: rng.normal(size=(1, 400)).astype(np.float16) for sha256 in one.features("net")}
    about = replace(one.about, metrics=(*one.about.metrics, *cards))
    large = replace(one, about=about, records=records, features=lambda network: features)
    files.write(large, tmp_path / "large.csv")
    assert 1e6 < (tmp_path / "large.parquet").stat().st_size <= files.LARGEST == 5_000_000
    many = {sha256: rng.normal(size=(17, 400)).astype(np.float16) for sha256 in features}
    with pytest.raises(UsageError, match="more than 5,000,000: let fewer set metrics decide"):
        files.write(replace(large, features=lambda network: many), tmp_path / "large.csv")


def test_the_deciding_metrics_may_be_edited_and_are_kept(result: Result, table: Path) -> None:
    about = json.loads(table.with_suffix(".json").read_text())
    assert about["deciding"] == list(DECIDING)
    about["deciding"] = ["SSIM", "FR"]
    table.with_suffix(".json").write_text(json.dumps(about))
    assert files.read(table).about.deciding == ("SSIM", "FR")
    files.write(result, table)
    assert files.read(table).about.deciding == ("SSIM", "FR")
    about = json.loads(table.with_suffix(".json").read_text())
    for names, message in (
        (["SIM"], "'SIM' among the deciding metrics cannot decide; did you mean 'SSIM'?"),
        (["FR", "FR"], "have to be one or more different names"),
        ([], "have to be one or more different names"),
    ):
        table.with_suffix(".json").write_text(json.dumps({**about, "deciding": names}))
        with pytest.raises(UsageError, match=message.replace("?", r"\?")):
            files.read(table)


def test_one_of_each_family_decides() -> None:
    names = ("FVD(i3d)", "LPIPS(st-alex)", "LPIPS(alex)", "FR", "L1", "FVDX")
    cards = [ScoredCard(name, name, "sample", direction="higher") for name in names]
    assert deciding.default(cards) == ("FR", "LPIPS(alex)", "FVD(i3d)")
    assert deciding.default(cards[4:]) == ("FVDX", "L1"), "without any of them, all decide"


def test_line_ends_of_another_system_are_no_edit(table: Path) -> None:
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    files.read(table)


def in_json(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(table: Path) -> None:
        file = table.with_suffix(".json")
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: table.write_text(table.read_text().replace("0.", "1.", 1)),
        lambda table: table.write_text(""),
        lambda table: table.write_bytes(b"\xff\xfe"),
        lambda table: table.with_suffix(".parquet").write_bytes(b"PAR1"),
        lambda table: table.with_suffix(".parquet").unlink(),
        lambda table: table.with_suffix(".json").unlink(),
        lambda table: table.with_suffix(".json").write_text("{"),
        lambda table: table.with_suffix(".json").write_text("[]"),
        lambda table: table.with_suffix(".json").write_text("[" * 100_000),
        in_json(lambda content: content.update(scheme=3)),
        in_json(lambda content: content.update(scheme=[])),
        in_json(lambda content: content.update(scheme=1)),
        in_json(lambda content: content.update(deciding="FR")),
        in_json(lambda content: content.update(methods=["m1", "m0"])),
        in_json(lambda content: content["metrics"][0].update(direction="lower")),
        in_json(lambda content: content["metrics"][0].update(direction="up")),
        in_json(lambda content: content["configuration"].update(limit=9)),
        in_json(lambda content: content["configuration"].update(limit="many")),
        in_json(lambda content: content.pop("configuration")),
        in_json(lambda content: content.pop("seal")),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(result: Result, table: Path, damage: Callable[[Path], None]) -> None:
    damage(table)
    with pytest.raises(UsageError) as error:
        gate.check(result, files.read(table), {})
    assert "\n" not in str(error.value)
    assert "toys" in str(error.value)


def read_or_refused(path: Path) -> Result | None:
    """The table, or None where it is refused; any other exception is a mistake."""
    try:
        return files.read(path)
    except UsageError:
        return None


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_of_a_file_is_refused(result: Result, written: Path, tmp_path: Path, data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from((".csv", ".json", ".parquet")))
    for file in written.parent.iterdir():
        shutil.copy(file, tmp_path)
    file = tmp_path / f"toys{suffix}"
    content = file.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(("cut", "replace", "insert", "swap")))
    new = data.draw(st.binary(min_size=1, max_size=8))
    changed = {
        "cut": content[:place],
        "replace": content[:place] + new + content[place + len(new) :],
        "insert": content[:place] + new + content[place:],
        "swap": content[place:] + content[:place],
    }[kind]
    file.write_bytes(changed)
    read = read_or_refused(tmp_path / "toys.csv")
    if read is not None:
        untouched = files.read(written)
        pd.testing.assert_frame_equal(read.frame, untouched.frame)
        assert replace(read.about, deciding=()) == replace(untouched.about, deciding=())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_in_the_description_of_an_old_table_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Tables of scheme 1 have no seal."""
    about = json.loads((TABLES / "shape_moving_quick.json").read_text())
    shutil.copy(TABLES / "shape_moving_quick.csv", tmp_path / "old.csv")
    entry, key = about, data.draw(st.sampled_from(sorted(about)))
    while isinstance(entry[key], dict | list) and data.draw(st.booleans()):
        entry = entry[key]
        if not entry:
            return
        key = data.draw(st.sampled_from(sorted(entry) if isinstance(entry, dict) else range(len(entry))))
    entry[key] = data.draw(JSON)
    (tmp_path / "old.json").write_text(json.dumps(about))
    old = read_or_refused(tmp_path / "old.csv")
    if old is not None:
        assert not any(each.failing for each in gate.check(old, old, {}))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_of_the_csv_of_an_old_table_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    shutil.copy(TABLES / "shape_moving_quick.json", tmp_path / "old.json")
    content = (TABLES / "shape_moving_quick.csv").read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.sampled_from((b"", b",", b"\n", b"x", b'"', b"\x00", b"-", b"9", b"e")))
    (tmp_path / "old.csv").write_bytes(content[:place] + new + content[place + 1 :])
    old = read_or_refused(tmp_path / "old.csv")
    if old is not None:
        assert not any(each.failing for each in gate.check(old, old, {}))


def test_an_old_table_without_values_of_videos_cannot_tell(tmp_path: Path, result: Result) -> None:
    about = replace(result.about, scheme=1, deciding=())
    old = replace(result, about=about, records=None, features=lambda network: {})
    worse = result.frame.assign(FR=result.frame["FR"] - 0.1, SSIM=result.frame["SSIM"] + 0.1)
    old = replace(old, about=replace(about, deciding=DECIDING))
    assert {each.verdict for each in gate.check(result, old, {})} == {"same"}
    run = replace(result, frame=worse)
    findings = gate.check(run, old, {})
    assert not any(each.failing for each in findings)
    judged = {(each.method, each.metric): each for each in findings}
    assert judged["m0", "FR"].verdict == "cannot tell"
    assert judged["m0", "FR"].text.endswith("no values of single videos to test it with: write it again (--update)")
    assert judged["m0", "SSIM"].verdict == "noise"
    strict = gate.check(run, old, {}, strict=True)
    assert {each.metric for each in strict if each.failing} == {"FR"}


def test_only_csv_names_are_written(result: Result, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--update writes a .csv file, not"):
        files.write(result, tmp_path / "toys.parquet")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        files.write(result, tmp_path / "file" / "toys.csv")
