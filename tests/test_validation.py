from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from tests.harness.test_cli import call
from vcfe_bench.core import seeds
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Context, PairMetric, Query
from vcfe_bench.plugins import registry
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.workflows.negative_controls import AnotherVideo, Blurred, Corrupted, Flickering, Noise
from vcfe_bench.workflows.validate_metrics import auroc, auroc_interval, compare
from vcfe_datasets.shapes.shape_moving import ShapeMoving

values = arrays(float, st.integers(1, 15), elements=st.integers(-5, 5).map(float))


@given(values, values)
def test_auroc_is_the_rank_statistic_of_mann_and_whitney(true, fake):
    expected = stats.mannwhitneyu(true, fake).statistic / (len(true) * len(fake))
    assert auroc(true, fake) == pytest.approx(expected)


@given(values)
def test_auroc_is_fair(both):
    assert auroc(both, both) == 0.5
    assert auroc(both + 20, both) == 1
    assert auroc(both - 20, both) == 0


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1000))
def test_the_interval_is_that_of_a_bootstrap_over_videos(seed):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=12)
    fake = true + rng.normal(-0.5, 1, size=12)
    low, high = auroc_interval(true, fake)
    draws = rng.integers(12, size=(2000, 12))
    expected = np.quantile([auroc(true[draw], fake[draw]) for draw in draws], [0.025, 0.975])
    np.testing.assert_allclose([low, high], expected, atol=0.04)


def test_without_videos_there_is_no_number():
    none = np.array([])
    assert math.isnan(auroc(none, none))
    assert all(map(math.isnan, auroc_interval(none, none)))
    assert all(map(math.isnan, auroc_interval(np.ones(1), np.zeros(1))))


def test_metrics_are_oriented_by_their_cards_and_compared_where_both_sides_have_a_value():
    records = pd.DataFrame(
        {
            "sample": ["a", "b", "c"] * 2,
            "method": ["true_edit"] * 3 + ["fake"] * 3,
            "good": [0.9, 0.8, math.nan, 0.1, 0.85, 0.2],
            "bad": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "either": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        }
    )
    card = ScoredCard("good", "good", "sample", criterion="realism", direction="higher")
    cards = [
        card,
        replace(card, name="bad", direction="lower"),
        replace(card, name="either", direction=None),
        replace(card, name="absent", direction=None, unavailable="no weights"),
        replace(card, name="FID", direction="lower", level="set"),
    ]
    comparisons = pd.DataFrame(compare(records, cards)).set_index("metric")
    assert comparisons.index.tolist() == ["good", "bad", "either"]
    assert comparisons["auroc"].tolist() == [0.75, 1.0, 0.0]
    assert comparisons["n"].tolist() == [2, 3, 3]
    assert comparisons.loc["good", ["true_mean", "fake_mean"]].tolist() == pytest.approx([0.85, 0.475])


@pytest.fixture(scope="module")
def context() -> Context:
    dataset = ShapeMoving()
    return Context(dataset, registry.TARGETS.build(dataset.target).eval().requires_grad_(False))


@pytest.fixture(scope="module")
def queries(context: Context) -> list[Query]:
    samples = [context.dataset.sample("validation", index) for index in range(8)]
    return [Query(s, ClassGoal((int(s.label) + 1) % 4), seeds.derive(0, s.id)) for s in samples]


@pytest.mark.parametrize("like", ["pgd[epsilon=5,steps=2]", "true_edit"])
def test_noise_has_the_norm_of_the_change_it_imitates(context, queries, like):
    method = registry.METHODS.build(like)
    change, noise = (
        [e.video - q.sample.video for e, q in zip(made, queries, strict=True)]
        for made in (method.answer(queries, context), Noise(method).answer(queries, context))
    )
    for imitated, difference in zip(change, noise, strict=True):
        assert 0.75 * imitated.norm() < difference.norm() <= 1.0001 * imitated.norm()
        assert difference.abs().max() < 10 * difference.std(), "spread over all voxels"


def test_edits_are_corrupted_as_described(context, queries):
    for query in queries[:3]:
        true = context.dataset.true_edit(query.sample, query.goal)
        (blurred,), (flickering,), (fading,) = (
            method.run([query], context) for method in (Blurred(), Flickering(), Corrupted("fades"))
        )
        steps = [video.diff(dim=3).abs().amax() for video in (blurred.video, true)]
        assert steps[0] < 0.5 * steps[1]
        assert blurred.video.mean() == pytest.approx(true.mean().item(), rel=0.02)
        ratio = flickering.video.mean(dim=(1, 2, 3)) / true.mean(dim=(1, 2, 3))
        assert ratio[0] == 1
        assert ratio[1:].std() > 0.05
        assert torch.equal(fading.video, context.dataset.corrupted_edit(query.sample, query.goal, "fades"))


def test_another_video_meets_the_goal(context, queries):
    originals = [context.dataset.sample("validation", index).video for index in range(8)]
    for query, found in zip(queries, AnotherVideo().answer(queries, context), strict=True):
        assert not any(torch.equal(found.video, video) for video in originals)
        direction = context.target(found.video[None]).argmax()
        assert direction == query.goal.index


def test_the_study_writes_a_row_for_every_metric_and_fake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out = tmp_path / "metrics.csv"
    arguments = ["--dataset", "toy_lights", "--limit", "4", "--methods", "toy_half", "--out", str(out)]
    assert call(monkeypatch, "validate", "metrics", *arguments) == 0
    table = pd.read_csv(out)
    assert not table.duplicated(["metric", "fake"]).any()
    fakes = set(table["fake"])
    assert {"pgd", "noise[like=pgd]", "blurred", "flickering", "another_video", "reconstruction", "no_edit"} <= fakes
    assert "toy_half" in fakes
    assert len(table) == table["metric"].nunique() * len(fakes)
    value = table.set_index(["metric", "fake"])
    assert value.loc[("semantic_FR", "no_edit"), ["auroc", "true_mean", "fake_mean"]].tolist() == [1, 1, 0]
    assert value.loc[("L1", "no_edit"), "auroc"] == 0
    assert value.loc[("L1", "noise[like=true_edit]"), "n"] == 4
    spread = value.loc["spread(mean)"]
    assert (spread["n"] == 2).all()
    assert ((spread["low"] <= spread["auroc"]) & (spread["auroc"] <= spread["high"])).all()
    assert (spread["null_low"] < 0.1).all(), "half of the videos at a time show nothing"
    assert spread.loc["no_edit", "auroc"] < 0.5, "what changes nothing is never farther"
    assert spread.loc["no_edit", "fake_mean"] == 0 < spread.loc["no_edit", "true_mean"]
    text = capsys.readouterr().out
    assert "noise[like=" in text
    assert "prefers" in text


STUDY = Path(__file__).parents[1] / "leaderboards" / "validation" / "shape_moving.csv"
MADE = {"bttf", "ldvice"}
"""Methods in the committed study; all others are negative controls."""


def test_the_committed_study_supports_its_page() -> None:
    study = pd.read_csv(STUDY)
    assert (study.loc[study["metric"] == "FR", "n"] >= 32).all()
    auroc = study.pivot(index="metric", columns="fake", values="auroc")
    constructed = auroc.columns.difference(list(MADE))
    meaningless = [fake for fake in constructed if fake.startswith(("pgd", "noise", "reconstruction", "no_edit"))]
    assert len(meaningless) == 9
    assert (auroc.loc["semantic_FR", meaningless] >= 0.95).all()
    assert (auroc.loc["valid_share", constructed] >= 0.95).all()
    assert auroc.loc["FR", "pgd"] == pytest.approx(0.5, abs=0.05)
    assert (auroc.loc[["SSIM", "LPIPS(st-alex)", "L1", "FID(st-vgg)", "FVD(i3d)"], "pgd"] <= 0.05).all()
    assert (auroc.loc[["transfer_FR", "survives_reconstruction"], "pgd"] >= 0.95).all()


def test_the_committed_study_includes_every_metric() -> None:
    dataset, known = ShapeMoving(), set(pd.read_csv(STUDY)["metric"])
    for listing in registry.METRICS.listings():
        if listing.distribution == "vcfe-bench" and listing.error is None:
            metric = registry.METRICS.build(listing.name)
            if not isinstance(metric, PairMetric) and metric.unavailable(dataset) is None:
                assert metric.card.name in known


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "toy_dimmer", "--out", "x.csv"], "dataset 'toy_dimmer' has no true edits"),
        (["--dataset", "toy_lights", "--out", "none/x.csv"], "cannot write none/x.csv: there is no directory none"),
        (["--dataset", "toy_light", "--out", "x.csv"], "unknown dataset 'toy_light'; did you mean 'toy_lights'?"),
    ],
)
def test_misuse_is_reported_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "validate", "metrics", *arguments) == 2
    assert capsys.readouterr().err.startswith(f"vcfe-bench: {message}")
