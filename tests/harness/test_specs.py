"""The text form of plug-ins with parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass as validated

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import specs


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("bttf[steps=15,style=false],pgd", ["bttf[steps=15,style=false]", "pgd"]),
        (" a , b[x=[1,2],y=3] ,", ["a", "b[x=[1,2],y=3]"]),
        ('a[path="x,]y"],b', ['a[path="x,]y"]', "b"]),
        ("", []),
    ],
)
def test_split_respects_brackets_and_quotes(text: str, pieces: list[str]) -> None:
    assert specs.split(text) == pieces


def test_parse() -> None:
    assert specs.parse("pgd") == ("pgd", {})
    assert specs.parse("pgd[]") == ("pgd", {})
    assert specs.parse("a[x=1, y=none,z=[1,[2,3]]]") == ("a", {"x": "1", "y": None, "z": ("1", ("2", "3"))})


@pytest.mark.parametrize(
    "text", ["", "a[", "a]", "a[x]", "a[x=1]b", "a[=1]", "a[x=1,x=2]", "a[[x=1]", 'a[x="\\q"]', "a b"]
)
def test_bad_specs_are_usage_errors_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as error:
        specs.parse(text)
    assert "\n" not in str(error.value)


@validated(frozen=True, config={"extra": "forbid"})
class Everything:
    """One parameter of each type."""

    count: int = 3
    share: float = 0.5
    switch: bool = True
    text: str = ""
    maybe: float | None = 1.0
    shape: tuple[int, ...] = (1, 2)
    names: tuple[str, ...] = ()


@given(
    st.builds(
        Everything,
        count=st.integers(),
        share=st.floats(allow_nan=False),
        switch=st.booleans(),
        text=st.text(),
        maybe=st.none() | st.floats(allow_nan=False),
        shape=st.lists(st.integers()).map(tuple),
        names=st.lists(st.text()).map(tuple),
    )
)
def test_any_parameters_survive_the_round_trip(parameters: Everything) -> None:
    text = specs.format("method", vars(parameters) | {"text": parameters.text})
    values = {key: value for key, value in specs.parse(text)[1].items()}
    assert Everything(**values) == parameters  # type: ignore[arg-type]
    assert specs.split(f"{text},{text}") == [text, text]
