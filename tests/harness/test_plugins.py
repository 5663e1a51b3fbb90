"""The registry, with a real third-party distribution on the path."""

from __future__ import annotations

import io
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from vcfe_bench import cli
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.registry import METHODS, REGISTRIES


def test_canonical_spec_has_only_what_differs_sorted() -> None:
    assert METHODS.build("toy_push").spec == "toy_push"
    assert METHODS.build("toy_push[steps=05, noise=0.02]").spec == "toy_push"
    method = METHODS.build("toy_push[steps=7,noise=0]")
    assert method.spec == "toy_push[noise=0.0,steps=7]"
    assert METHODS.build(method.spec).params == method.params
    odd = METHODS.build('toy_push[label="a,b]"]')
    assert METHODS.build(odd.spec).params.label == "a,b]"


def test_presets_fill_what_the_spec_leaves_open_and_show_in_the_spec() -> None:
    assert METHODS.build("toy_push", "strong").spec == "toy_push[rate=60.0,steps=8]"
    assert METHODS.build("toy_push[steps=5]", "strong").spec == "toy_push[rate=60.0]"
    assert METHODS.build("toy_half", "strong").spec == "toy_half"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("toy_pusch", "unknown method 'toy_pusch'; did you mean 'toy_push'?"),
        ("toy_push[stepps=3]", "method 'toy_push' has no parameter 'stepps'; did you mean 'steps'?"),
        ("toy_push[steps=many]", "method 'toy_push': steps=many: Input should be a valid integer"),
        ("toy_push[steps=0]", "method 'toy_push': steps=0: Input should be greater than or equal to 1"),
        ("no_edit[x=1]", "method 'no_edit' has no parameter 'x'; there are none"),
        ("toy_broken", "method 'toy_broken' cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_errors_say_what_to_change(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        METHODS.build(spec)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_name_unlike_any_other_lists_all() -> None:
    with pytest.raises(UsageError, match=r"there are: .*shape_moving.*toy_lights"):
        registry.DATASETS.build("zzzzzz")


def test_a_broken_plugin_is_listed_with_its_error_beside_the_others() -> None:
    listings = {listing.name: listing for listing in METHODS.listings()}
    assert listings["toy_broken"].error == "ModuleNotFoundError: No module named 'a_package_that_is_not_installed'"
    push = listings["toy_push"]
    assert push.error is None
    assert (push.distribution, push.version) == ("vcfe-toys", "0.1")
    assert push.file.endswith("vcfe_toys/methods.py")
    assert push.parameters["steps"] == "5"
    assert push.presets == ("strong",)
    assert push.summary == "Gradient descent on the pixels, three videos side by side."


def test_every_kind_lists_the_builtin_and_the_strangers_plugins() -> None:
    toys = {"methods": "toy_push", "datasets": "toy_lights", "targets": "toy_conv", "generators": "toy_blocks"}
    for kind, name in {**toys, "metrics": "toy_flip"}.items():
        assert name in REGISTRIES[kind].names()
    assert {"true_edit", "reconstruction", "no_edit"} <= set(METHODS.names())


def test_a_plugin_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_entries", lambda kind: {"x": (EntryPoint("x", "vcfe_toys.methods:Push", ""),)})
    with pytest.raises(UsageError, match="is not a Dataset"):
        registry.DATASETS.load("x")


def test_a_name_registered_for_two_things_is_refused_and_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = tuple(EntryPoint("x", f"vcfe_toys.methods:{name}", "") for name in ("Push", "Half"))
    monkeypatch.setattr(registry, "_entries", lambda kind: {"x": entries})
    with pytest.raises(UsageError, match=r"registered more than once: vcfe_toys.methods:Push, vcfe_toys.methods:Half"):
        METHODS.load("x")
    assert [listing.name for listing in METHODS.listings()] == ["x", "x"]


@pytest.mark.parametrize(
    "fault", ["sys.exit('badplug: no CUDA')", "raise SystemExit(3)", "import a_missing_package", "1 / 0"]
)
def test_a_plugin_that_exits_is_listed_with_its_error(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "badplug.py").write_text(f"import sys\n{fault}\n")
    (tmp_path / "badplug-0.1.dist-info").mkdir()
    (tmp_path / "badplug-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: badplug\nVersion: 0.1\n")
    points = "[vcfe_bench.methods]\nbadplug = badplug:Method\n"
    (tmp_path / "badplug-0.1.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entries.cache_clear()
    try:
        listings = {listing.name: listing.error for listing in METHODS.listings()}
        assert listings["badplug"]
        assert listings["toy_push"] is None
        with pytest.raises(UsageError, match="method 'badplug' cannot be loaded"):
            METHODS.build("badplug")
    finally:
        registry._entries.cache_clear()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_signs_that_an_output_cannot_encode_are_replaced(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", written)
    monkeypatch.setattr("vcfe_bench.cli.app", lambda args: print("accuracy \u2191 \u03b5 0.5"))
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    written.flush()
    shown = written.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert shown.startswith("accuracy ")
    assert ("\u2191" in shown) == (encoding == "utf-8")
    assert shown.rstrip().endswith("0.5")
